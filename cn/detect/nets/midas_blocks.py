"""Common parts of the two depth networks: the decoder that fuses four feature maps, and the interface.

Source: MiDaS blocks.py and midas_net_custom.py.
"""

from collections.abc import Sequence
from typing import Literal, cast

import torch.nn.functional as F
from torch import Tensor, nn


class Interpolate(nn.Module):
    """Bilinear upsampling by 2."""

    def __init__(self, align_corners: bool):
        super().__init__()
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        return upsample(x, self.align_corners)


def upsample(x: Tensor, align_corners: bool = True) -> Tensor:
    """(B, C, h, w) → (B, C, 2h, 2w), bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=align_corners)


class ResidualConvUnit(nn.Module):
    """x + conv(relu(conv(relu(x)))), any size; x itself is added, not relu(x) as in the older MiDaS networks."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class FeatureFusionBlock(nn.Module):
    """Adds one skip connection, upsamples by 2 and changes the channels from `width` to `out`."""

    def __init__(self, width: int, out: int):
        super().__init__()
        # The published files also hold the first unit, unused, of the coarsest block, which has no skip.
        self.resConfUnit1 = ResidualConvUnit(width)
        self.resConfUnit2 = ResidualConvUnit(width)
        self.out_conv = nn.Conv2d(width, out, 1)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        if skip is not None:
            x = x + self.resConfUnit1(skip)
        return self.out_conv(upsample(self.resConfUnit2(x)))


class Decoder(nn.Module):
    """`scratch` of the published files: features at 1/4, 1/8, 1/16 and 1/32 of the size → inverse depth at full size.

    `channels` are those of the features, `widths` those that each is projected to. `align_corners` is that of the
    upsampling in the head, which differs between the networks.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int], head: int, align_corners: bool):
        super().__init__()
        outs = (widths[0], *widths[:-1])
        for level, (c, width, out) in enumerate(zip(channels, widths, outs, strict=True), start=1):
            self.add_module(f"layer{level}_rn", nn.Conv2d(c, width, 3, padding=1, bias=False))
            self.add_module(f"refinenet{level}", FeatureFusionBlock(width, out))
        self.output_conv = nn.Sequential(
            nn.Conv2d(widths[0], head, 3, padding=1),
            Interpolate(align_corners),
            nn.Conv2d(head, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 1, 1),
            nn.ReLU(),
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Four features, finest first → (B, H, W) ≥ 0, large where near."""
        path: Tensor | None = None
        for level, feature in reversed(list(enumerate(features, start=1))):
            adapted = self.get_submodule(f"layer{level}_rn")(feature)
            fuse = self.get_submodule(f"refinenet{level}")
            path = fuse(adapted) if path is None else fuse(path, adapted)
        return cast(Tensor, self.output_conv(path)).squeeze(1)


class DepthNetwork(nn.Module):
    """Images (B, 3, H, W) → inverse depth (B, H, W), in an arbitrary unit; sides are multiples of 32."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    side: int
    """Side in pixels of the square images that the network was trained with."""
    midas_rule: Literal["minimal", "upper_bound"]
    """How MiDaS itself resizes images for this network (`cn.detect.surfaces.preprocessing.InputSize`)."""
    default_preprocessing: Literal["released", "midas"]
