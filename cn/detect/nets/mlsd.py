"""M-LSD, line segments from one pass of a MobileNetV2: the large and the tiny network.

Source: models/mbv2_mlsd_{large,tiny}.py of lhwcv/mlsd_pytorch (weights converted from NAVER's), as in the release.
Padding follows TensorFlow Lite, the origin of the weights: only at the right and bottom if the stride is 2.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MULTIPLE = 16
"""Both sides of an image must be multiples of this."""

FIRST_MAP = 7
"""First of the 16 output channels that is used; those before it are for training only."""

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
"""Of MobileNetV2: expansion, channels, blocks, stride of the first block."""


class _ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm, ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1):
        padding = kernel // 2 if stride == 1 else 0
        conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), nn.ReLU6())
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)) if self.stride == 2 else x)


class _InvertedResidual(nn.Module):
    """1×1 expansion, depthwise convolution, 1×1 projection."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        self.adds = stride == 1 and inputs == outputs
        wide = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_ConvNorm(inputs, wide, kernel=1)]
        layers += [_ConvNorm(wide, wide, stride=stride, groups=wide)]
        layers += [nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


class _MobileNetV2(nn.Module):
    """The first stages of MobileNetV2 for four input channels; returns the outputs of the blocks `taps`."""

    def __init__(self, stages: int, taps: Sequence[int]):
        super().__init__()
        self.taps = tuple(taps)
        width = 32
        features: list[nn.Module] = [_ConvNorm(4, width, stride=2)]
        for expansion, channels, blocks, stride in _STAGES[:stages]:
            for index in range(blocks):
                features.append(_InvertedResidual(width, channels, 1 if index else stride, expansion))
                width = channels
        self.features = nn.Sequential(*features)

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for index, block in enumerate(self.features):
            x = block(x)
            if index in self.taps:
                outputs.append(x)
        return outputs


def _layer(inputs: int, outputs: int, kernel: int = 3, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class _Join(nn.Module):
    """Block A: concatenates fine features and coarse ones, upsampled by 2 if `enlarge`."""

    def __init__(self, fine: int, coarse: int, width: int, enlarge: bool = True):
        super().__init__()
        self.enlarge = enlarge
        self.conv1 = _layer(coarse, width, kernel=1)
        self.conv2 = _layer(fine, width, kernel=1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        fine, coarse = self.conv2(fine), self.conv1(coarse)
        if self.enlarge:
            coarse = _upsample(coarse)
        return torch.cat([fine, coarse], dim=1)


class _Mix(nn.Module):
    """Block B: a residual layer, then one that changes the number of channels."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = _layer(inputs, inputs)
        self.conv2 = _layer(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x) + x)


class _Head(nn.Module):
    """Block C: a dilated convolution, then the 16 output channels."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = _layer(width, width, dilation=5)
        self.conv2 = _layer(width, width)
        self.conv3 = nn.Conv2d(width, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.conv2(self.conv1(x)))[:, FIRST_MAP:]


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


class MLSDLarge(nn.Module):
    """mlsd_large_512_fp32.pth."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _MobileNetV2(stages=5, taps=(1, 3, 6, 10, 13))
        self.block15, self.block16 = _Join(64, 96, 64, enlarge=False), _Mix(128, 64)
        self.block17, self.block18 = _Join(32, 64, 64), _Mix(128, 64)
        self.block19, self.block20 = _Join(24, 64, 64), _Mix(128, 64)
        self.block21, self.block22 = _Join(16, 64, 64), _Mix(128, 64)
        self.block23 = _Head(64)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4, H, W), sides multiples of 16 → (B, 9, H / 2, W / 2), of which `lines.hough.decode` reads five.

        The channels are red, green, blue of 0..255 and a channel of ones, all divided by 127.5, minus 1.
        """
        c1, c2, c3, c4, c5 = self.backbone(x)
        x = self.block16(self.block15(c4, c5))
        x = self.block18(self.block17(c3, x))
        x = self.block20(self.block19(c2, x))
        return self.block23(self.block22(self.block21(c1, x)))


class MLSDTiny(nn.Module):
    """mlsd_tiny_512_fp32.pth; input and output as `MLSDLarge`."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _MobileNetV2(stages=4, taps=(3, 6, 10))
        self.block12, self.block13 = _Join(32, 64, 64), _Mix(128, 64)
        self.block14, self.block15 = _Join(24, 64, 32), _Mix(64, 64)
        self.block16 = _Head(64)

    def forward(self, x: Tensor) -> Tensor:
        c2, c3, c4 = self.backbone(x)
        x = self.block13(self.block12(c3, c4))
        return _upsample(self.block16(self.block15(self.block14(c2, x))))
