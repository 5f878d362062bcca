"""The network that reads images of the built-in world: what is in each cell, and where and when it is.

It says of each cell of 4×4 pixels which part of which thing is there, in which color, and how far away the middle of
that thing is; and of the whole image the ground, the light, the weather and the number of people. Trained on renderings
(`cn.pretrain.reader`), in minutes. `cn.caption.scene_captioner` turns what it says into captions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cn.caption.captioner import Image
from cn.caption.scene_labels import COLORS, GROUNDS, LIGHTS, MAX_PEOPLE, PARTS, SIZE, WEATHERS

WIDTHS = (24, 56, 96, 120)
ANSWERS = {"ground": len(GROUNDS), "light": len(LIGHTS), "weather": len(WEATHERS), "people": MAX_PEOPLE + 1}
"""What is said of the whole image, and how many answers there are."""


class Reading(NamedTuple):
    """What the network says: logits; cells are (n, h, w, answers), the rest (n, answers)."""

    parts: Tensor
    colors: Tensor
    across: Tensor
    """(n, h, w): how far to the right the middle of the cell's thing is, in widths of the image."""
    ground: Tensor
    light: Tensor
    weather: Tensor
    people: Tensor

    def rows(self, first: int, count: int = 1) -> "Reading":
        """The same of some of the images."""
        return Reading(*(part[first : first + count] for part in self))


class Block(nn.Module):
    """Two convolutions with a way around them; the first may halve the sides."""

    def __init__(self, before: int, after: int, stride: int = 1):
        super().__init__()
        self.one = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.two = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.GroupNorm(8, after) for _ in range(2))
        self.around = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.around(x) + self.norms[1](self.two(F.relu(self.norms[0](self.one(x))))))


class SceneReader(nn.Module):
    """float (n, 3, SIZE, SIZE) from -1 to 1 → `Reading`: a small U-Net."""

    def __init__(self, widths: Sequence[int] = WIDTHS):
        super().__init__()
        a, b, c, d = widths
        self.stem = nn.Conv2d(3, a, 5, 2, 2)
        self.cells, self.coarse, self.whole = Block(a, b, 2), Block(b, c, 2), Block(c, d, 2)
        self.context = Block(d, d)
        self.up = nn.ModuleList([nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1)])
        self.merged = nn.ModuleList([Block(c, c), Block(b, b)])
        self.parts, self.colors = nn.Conv2d(b, len(PARTS), 1), nn.Conv2d(b, len(COLORS), 1)
        self.across = nn.Conv2d(b, 1, 1)
        self.places = nn.ModuleDict({name: nn.Linear(2 * d, count) for name, count in ANSWERS.items()})

    def forward(self, images: Tensor) -> Reading:
        fine, whole = self.features(images)
        cells = (self.parts(fine).permute(0, 2, 3, 1), self.colors(fine).permute(0, 2, 3, 1), self.across(fine)[:, 0])
        return Reading(*cells, *(self.places[name](whole) for name in ANSWERS))

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What it has seen of the cells (n, c, h, w), and of the whole (n, 2·d): means and maxima."""
        cells = self.cells(F.relu(self.stem(images)))
        coarse = self.coarse(cells)
        deep = self.context(self.whole(coarse))
        coarse = self.merged[0](coarse + _twice(self.up[0](deep)))
        fine = self.merged[1](cells + _twice(self.up[1](coarse)))
        return fine, torch.cat([deep.mean((2, 3)), deep.amax((2, 3))], 1)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def shrink(images: Tensor) -> Tensor:
    """(n, 3, h, w) of any size → (n, 3, SIZE, SIZE): the whole image, as a square."""
    return F.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)


def prepare(images: Sequence[Image], device: torch.device) -> Tensor:
    """uint8 (h, w, 3) each → float32 (n, 3, SIZE, SIZE) from -1 to 1."""
    made = []
    for image in images:
        pixels = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
        made.append(shrink(pixels))
    return torch.cat(made)
