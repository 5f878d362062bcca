"""DeepLabV2 on ResNet-101, trained by the authors of COCO-Stuff: 182 labels, at one scale or at three.

Names are those of the published deeplabv2_resnet101_msc-cocostuff164k-100000.pth. Source: kazuto1011/deeplab-pytorch
(libs/models); Chen et al., arXiv:1606.00915.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LABELS = 182
DEPTHS = (3, 4, 23, 3)
WIDTHS = (256, 512, 1024, 2048)
STRIDES = (1, 2, 1, 1)
DILATIONS = (1, 1, 2, 4)
"""Of ResNet's four stages; dilation keeps the last two at 1/8 of the image's size."""

RATES = (6, 12, 18, 24)
"""Dilations of the four 3×3 convolutions whose outputs are added."""

SCALES = (0.5, 0.75)
"""The additional scales of `DeepLabV2MSC` with `multi_scale`."""


class ConvBn(nn.Module):
    """Convolution without bias, and BatchNorm."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(channels, width, kernel, stride, padding, dilation, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 and the shortcut; the first 1×1 has the stride, as in the original ResNet."""

    def __init__(self, channels: int, width: int, stride: int, dilation: int, first: bool):
        super().__init__()
        narrow = width // 4
        self.reduce = ConvBn(channels, narrow, 1, stride)
        self.conv3x3 = ConvBn(narrow, narrow, 3, dilation=dilation)
        self.increase = ConvBn(narrow, width, 1)
        self.shortcut = ConvBn(channels, width, 1, stride) if first else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.conv3x3(F.relu(self.reduce(x), inplace=True)), inplace=True)
        return F.relu(self.increase(h) + self.shortcut(x), inplace=True)


class Layer(nn.Sequential):
    """A sequence of bottlenecks, "block1", "block2", …"""

    def __init__(self, channels: int, width: int, depth: int, stride: int, dilation: int):
        super().__init__()
        for index in range(depth):
            first = index == 0
            block = Bottleneck(channels if first else width, width, stride if first else 1, dilation, first)
            self.add_module(f"block{index + 1}", block)


class Stem(nn.Module):
    """Reduces to 1/4 of the size; the pooling rounds up, as in Caffe."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = ConvBn(3, width, 7, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(self.conv1(x), inplace=True), 3, 2, 1, ceil_mode=True)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: the sum of four dilated convolutions."""

    def __init__(self, channels: int, labels: int):
        super().__init__()
        for index, rate in enumerate(RATES):
            self.add_module(f"c{index}", nn.Conv2d(channels, labels, 3, padding=rate, dilation=rate))

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.children()
        total = first(x)
        for conv in others:
            total = total + conv(x)
        return total


class DeepLabV2(nn.Sequential):
    """(B, 3, H, W) → logits (B, 182, h, w) at about 1/8 of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = Stem(64)
        inputs = (64, *WIDTHS[:-1])
        for index, shape in enumerate(zip(inputs, WIDTHS, DEPTHS, STRIDES, DILATIONS, strict=True), start=2):
            self.add_module(f"layer{index}", Layer(*shape))
        self.aspp = ASPP(WIDTHS[-1], LABELS)


class DeepLabV2MSC(nn.Module):
    """BGR (B, 3, H, W) of 0..255 minus `mean` → logits (B, 182, h, w) of COCO-Stuff's labels, at about 1/8 of the size.

    With `multi_scale` the image is also processed at half and at three quarters of its size, as its authors evaluate
    it, and the maximum of the logits is used; that takes nearly twice as long.
    """

    mean = (104.008, 116.669, 122.675)
    """Of blue, green and red."""

    def __init__(self) -> None:
        super().__init__()
        self.base = DeepLabV2()

    def forward(self, x: Tensor, multi_scale: bool = False) -> Tensor:
        logits = self.base(x)
        for scale in SCALES if multi_scale else ():
            smaller = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
            rescaled = F.interpolate(self.base(smaller), logits.shape[-2:], mode="bilinear", align_corners=False)
            logits = torch.maximum(logits, rescaled)
        return logits
