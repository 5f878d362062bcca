"""UPerNet on UniFormer-S, the network that made the maps of the released segmentation ControlNet (ADE20K).

Names are those of `state_dict` in the published upernet_global_small.pth. Source: mmseg's UPerHead and FCNHead with
configs/_base_/models/upernet_uniformer.py; Xiao et al., arXiv:1807.10221.
"""

from collections.abc import Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn.detect.nets.uniformer import WIDTHS, UniFormer

CLASSES = 150
WIDTH = 512
POOLS = (1, 2, 3, 6)
"""Cells a side to which the coarsest features are averaged, to know what kind of place it is."""

AUXILIARY_WIDTH = 256


class ConvModule(nn.Module):
    """Convolution without bias, BatchNorm, ReLU."""

    def __init__(self, channels: int, width: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, h, w) at the size of `like`, bilinear."""
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


class UPerHead(nn.Module):
    """`decode_head`: a pyramid of averages over the coarsest features, then all four scales joined at the finest."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(WIDTH, CLASSES, 1)
        pooled = (nn.Sequential(nn.AdaptiveAvgPool2d(pool), ConvModule(WIDTHS[-1], WIDTH, 1)) for pool in POOLS)
        self.psp_modules = nn.ModuleList(pooled)
        self.bottleneck = ConvModule(WIDTHS[-1] + len(POOLS) * WIDTH, WIDTH, 3)
        self.lateral_convs = nn.ModuleList(ConvModule(c, WIDTH, 1) for c in WIDTHS[:-1])
        self.fpn_convs = nn.ModuleList(ConvModule(WIDTH, WIDTH, 3) for _ in WIDTHS[:-1])
        self.fpn_bottleneck = ConvModule(len(WIDTHS) * WIDTH, WIDTH, 3)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Four features, finest first → logits (B, 150, h, w) of the size of the finest."""
        coarsest = features[-1]
        around = [enlarged(pooled(coarsest), coarsest) for pooled in self.psp_modules]
        path = self.bottleneck(torch.cat([coarsest, *around], dim=1))
        paths = [path]
        for lateral, feature in reversed(list(zip(self.lateral_convs, features[:-1], strict=True))):
            path = lateral(feature) + enlarged(path, feature)
            paths.insert(0, path)
        refined = [conv(x) for conv, x in zip(self.fpn_convs, paths[:-1], strict=True)]
        joined = torch.cat([enlarged(x, features[0]) for x in [*refined, paths[-1]]], dim=1)
        return self.conv_seg(self.fpn_bottleneck(joined))


class AuxiliaryHead(nn.Module):
    """`auxiliary_head`: a second opinion from the third stage that helped in training. It has no forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(AUXILIARY_WIDTH, CLASSES, 1)
        self.convs = nn.Sequential(ConvModule(WIDTHS[2], AUXILIARY_WIDTH, 3))


class UniFormerUPerNet(nn.Module):
    """RGB (B, 3, H, W) by `mean` and `deviation`, sides ≥ 32 → logits (B, 150, H // 4, W // 4) of ADE20K's classes.

    The published file holds an auxiliary head that nothing uses; it is there to take its tensors. `auxiliary=False`
    is the network of a file from which it was removed.
    """

    mean = (123.675, 116.28, 103.53)
    deviation = (58.395, 57.12, 57.375)
    """Of red, green and blue in 0..255."""

    @classmethod
    def for_tensors(cls, shapes: Mapping[str, tuple[int, ...]]) -> Self:
        """With the auxiliary head where the file has it."""
        return cls(any(name.startswith("auxiliary_head.") for name in shapes))

    def __init__(self, auxiliary: bool = True) -> None:
        super().__init__()
        self.backbone = UniFormer()
        self.decode_head = UPerHead()
        if auxiliary:
            self.auxiliary_head = AuxiliaryHead()

    def forward(self, x: Tensor) -> Tensor:
        return self.decode_head(self.backbone(x))
