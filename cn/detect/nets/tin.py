"""TIN, traditional-method-inspired edge detection: a small network under the MIT license.

Source: model.py of jannctu/TIN; its weights are TIN1.pth (one stage) and TIN2.pth (two).
"""

from collections.abc import Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (16, 64)
"""Channels of the two stages; the second works at half the resolution."""

ENRICHED, SCORED, RATE = 32, 8, 4


class Enrichment(nn.Module):
    """The sum of features and of four dilated convolutions of them."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, ENRICHED, 3, padding=1)
        for index in range(1, 5):
            dilation = RATE * index
            self.add_module(f"conv{index}", nn.Conv2d(ENRICHED, ENRICHED, 3, padding=dilation, dilation=dilation))

    def forward(self, x: Tensor) -> Tensor:
        near = F.relu(self.conv(x), inplace=True)
        total = near
        for index in range(1, 5):
            total = total + F.relu(self.get_submodule(f"conv{index}")(near), inplace=True)
        return total


class TIN(nn.Module):
    """`stages` is 1 or 2, the number in the file's name."""

    @classmethod
    def for_tensors(cls, shapes: Mapping[str, tuple[int, ...]]) -> Self:
        """TIN1 or TIN2, depending on the file."""
        return cls(2 if "conv2_1.weight" in shapes else 1)

    def __init__(self, stages: int = 2):
        super().__init__()
        self.stages = stages
        channels = 3
        for stage, width in enumerate(WIDTHS[:stages], start=1):
            for part, inputs in enumerate((channels, width), start=1):
                self.add_module(f"conv{stage}_{part}", nn.Conv2d(inputs, width, 3, padding=1))
                self.add_module(f"em{stage}_{part}", Enrichment(width))
                self.add_module(f"conv{stage}_{part}_down", nn.Conv2d(ENRICHED, SCORED, 1))
            self.add_module(f"score_stage{stage}", nn.Conv2d(SCORED, 1, 1))
            channels = width
        if stages > 1:
            self.score_final = nn.Conv2d(stages, 1, 1)

    def _stage(self, x: Tensor, stage: int) -> tuple[Tensor, Tensor]:
        """Features for the next stage and this one's logits, at the resolution of `x`."""
        summed: Tensor | None = None
        for part in (1, 2):
            x = F.relu(self.get_submodule(f"conv{stage}_{part}")(x), inplace=True)
            down = self.get_submodule(f"conv{stage}_{part}_down")(self.get_submodule(f"em{stage}_{part}")(x))
            summed = down if summed is None else summed + down
        return x, self.get_submodule(f"score_stage{stage}")(summed)

    def forward(self, x: Tensor) -> Tensor:
        """BGR (B, 3, H, W) of 0..255, any size → the probability of an edge (B, 1, H, W)."""
        size = (x.shape[-2], x.shape[-1])
        x, fine = self._stage(x, 1)
        if self.stages == 1:
            return torch.sigmoid(fine)
        _, coarse = self._stage(F.max_pool2d(x, 2, ceil_mode=True), 2)
        coarse = F.interpolate(coarse, size, mode="bilinear", align_corners=True)
        return torch.sigmoid(self.score_final(torch.cat([fine, coarse], dim=1)))
