"""Anime2Sketch: a pix2pix U-Net from images to line drawings.

Source: model.py of Mukosame/Anime2Sketch (netG.pth), as controlnet_aux runs it.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

MULTIPLE = 256
"""Both sides of an image must be multiples of this, for eight halvings."""

WIDTHS = (64, 128, 256, 512, 512, 512, 512, 512)
"""Channels after each halving."""


def _norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)


def _down(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)


def _up(inputs: int, outputs: int) -> nn.Module:
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)


class _Level(nn.Module):
    """One level of the U-Net: halving, the levels below it, upsampling; concatenated with the skip connection.

    The skip is the output of the activation, because the published one is in-place. (The ReLU after it makes no
    difference.)
    """

    def __init__(self, outer: int, inner: int, below: nn.Module | None):
        super().__init__()
        layers: list[nn.Module] = [nn.LeakyReLU(0.2), _down(outer, inner)]
        if below is not None:
            layers += [_norm(inner), below]
        layers += [nn.ReLU(), _up(inner if below is None else 2 * inner, outer), _norm(outer)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.model[0](x)
        return torch.cat([skip, self.model[1:](skip)], dim=1)


class _Outermost(nn.Module):
    def __init__(self, below: nn.Module):
        super().__init__()
        self.model = nn.Sequential(_down(3, WIDTHS[0]), below, nn.ReLU(), _up(2 * WIDTHS[0], 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Anime2Sketch(nn.Module):
    """RGB to one channel of dark lines on white."""

    def __init__(self) -> None:
        super().__init__()
        below: nn.Module | None = None
        for outer, inner in reversed(list(pairwise(WIDTHS))):
            below = _Level(outer, inner, below)
        assert below is not None
        self.model = _Outermost(below)

    def forward(self, x: Tensor) -> Tensor:
        """RGB (B, 3, H, W) of -1..1, sides multiples of 256 → (B, 1, H, W) of -1 (line) to 1 (paper)."""
        return self.model(x)
