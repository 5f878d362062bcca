"""UPerNet on UniFormer-S, the network behind the maps of the released segmentation ControlNet (ADE20K).

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
"""Side lengths of the pooled grids of the pyramid, which add global context."""

AUXILIARY_WIDTH = 256


class ConvModule(nn.Module):
    """Convolution without bias, BatchNorm, ReLU."""

    def __init__(self, channels: int, width: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def resize_like(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, h, w) resized bilinearly to the size of `like`."""
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


class UPerHead(nn.Module):
    """`decode_head`: pyramid pooling of the coarsest features, then a feature pyramid over all four scales."""

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
        context = [resize_like(pooled(coarsest), coarsest) for pooled in self.psp_modules]
        path = self.bottleneck(torch.cat([coarsest, *context], dim=1))
        paths = [path]
        for lateral, feature in reversed(list(zip(self.lateral_convs, features[:-1], strict=True))):
            path = lateral(feature) + resize_like(path, feature)
            paths.insert(0, path)
        refined = [conv(x) for conv, x in zip(self.fpn_convs, paths[:-1], strict=True)]
        joined = torch.cat([resize_like(x, features[0]) for x in [*refined, paths[-1]]], dim=1)
        return self.conv_seg(self.fpn_bottleneck(joined))


class AuxiliaryHead(nn.Module):
    """`auxiliary_head`: a second classifier on the third stage, used in training only. It has no forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(AUXILIARY_WIDTH, CLASSES, 1)
        self.convs = nn.Sequential(ConvModule(WIDTHS[2], AUXILIARY_WIDTH, 3))


class UniFormerUPerNet(nn.Module):
    """RGB (B, 3, H, W) normalized by `mean` and `std`, sides ≥ 32 → logits (B, 150, H // 4, W // 4) for ADE20K.

    The published file holds an unused auxiliary head, which exists here to load its tensors. `auxiliary=False` is for
    files from which it was removed.
    """

    mean = (123.675, 116.28, 103.53)
    std = (58.395, 57.12, 57.375)
    """Of red, green and blue in 0..255."""

    @classmethod
    def for_tensors(cls, shapes: Mapping[str, tuple[int, ...]]) -> Self:
        """With the auxiliary head if the file has it."""
        return cls(any(name.startswith("auxiliary_head.") for name in shapes))

    def __init__(self, auxiliary: bool = True) -> None:
        super().__init__()
        self.backbone = UniFormer()
        self.decode_head = UPerHead()
        if auxiliary:
            self.auxiliary_head = AuxiliaryHead()

    def forward(self, x: Tensor) -> Tensor:
        return self.decode_head(self.backbone(x))
