"""HED, holistically-nested edge detection: VGG-16 with a one-channel side output at each of five scales.

Two networks have been published under this name for ControlNet, and files of both are in use.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = (64, 128, 256, 512, 512)
DEPTHS = (2, 2, 3, 3, 3)
"""Channels and convolutions of VGG-16's five blocks; the image is halved before each but the first."""

MULTIPLE = 16
"""Both sides of an image must be multiples of this, so that the four poolings drop no row."""

BSDS500_MEAN = (104.00698793, 116.66876762, 122.67891434)
"""Mean of blue, green and red, which the original subtracts."""

_NAMES = ("One", "Two", "Thr", "Fou", "Fiv")


class _Block(nn.Module):
    """3×3 convolutions, each with a ReLU, and the 1×1 projection to the side output."""

    def __init__(self, channels: int, width: int, depth: int):
        super().__init__()
        inputs = [channels] + [width] * (depth - 1)
        self.convs = nn.Sequential(*(nn.Conv2d(n, width, 3, padding=1) for n in inputs))
        self.projection = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for conv in self.convs:
            x = F.relu(conv(x), inplace=True)
        return x, self.projection(x)


class ControlNetHED(nn.Module):
    """The network that ControlNet ships since April 2023 (ControlNetHED.pth): RGB, no fusing layer.

    Source: annotator/hed/__init__.py of the release.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Parameter(torch.zeros(1, 3, 1, 1))
        for index, (channels, width, depth) in enumerate(zip((3, *CHANNELS[:-1]), CHANNELS, DEPTHS, strict=True)):
            self.add_module(f"block{index + 1}", _Block(channels, width, depth))

    def forward(self, x: Tensor) -> list[Tensor]:
        """RGB (B, 3, H, W) of 0..255 → five maps of logits (B, 1, H / 2ⁱ, W / 2ⁱ), finest first."""
        x, sides = x - self.norm, []
        for index in range(len(CHANNELS)):
            x, side = self.get_submodule(f"block{index + 1}")(F.max_pool2d(x, 2) if index else x)
            sides.append(side)
        return sides


class BSDS500HED(nn.Module):
    """The network of ControlNet's first release (network-bsds500.pth, converted from the authors' Caffe model).

    Source: the class Network in annotator/hed/__init__.py of the first commit, e38d22a.
    """

    def __init__(self) -> None:
        super().__init__()
        for name, channels, width, depth in zip(_NAMES, (3, *CHANNELS[:-1]), CHANNELS, DEPTHS, strict=True):
            layers: list[nn.Module] = [] if name == "One" else [nn.MaxPool2d(2)]
            for n in [channels] + [width] * (depth - 1):
                layers += [nn.Conv2d(n, width, 3, padding=1), nn.ReLU(inplace=True)]
            self.add_module(f"moduleVgg{name}", nn.Sequential(*layers))
        for name, width in zip(_NAMES, CHANNELS, strict=True):
            self.add_module(f"moduleScore{name}", nn.Conv2d(width, 1, 1))
        self.moduleCombine = nn.Sequential(nn.Conv2d(len(CHANNELS), 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """BGR (B, 3, H, W) of 0..255 → the probability of an edge (B, 1, H, W)."""
        size = (x.shape[-2], x.shape[-1])
        x, sides = x - x.new_tensor(BSDS500_MEAN).view(1, 3, 1, 1), []
        for name in _NAMES:
            x = self.get_submodule(f"moduleVgg{name}")(x)
            side = self.get_submodule(f"moduleScore{name}")(x)
            sides.append(F.interpolate(side, size, mode="bilinear", align_corners=False))
        return self.moduleCombine(torch.cat(sides, dim=1))
