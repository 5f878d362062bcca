"""A captioner for the bundled base: a small network reads the words of the built-in world off an image.

It says of each cell of 4×4 pixels which part of which thing is there, and in which color, and of the whole image where
and when it is. Trained on renderings by `tools/train_scene_reader.py`, in minutes on one core.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cn.archives.archive import open_archive
from cn.caption.captioner import Compute, Image
from cn.caption.scene_labels import (
    COLORS,
    GROUNDS,
    LIGHTS,
    MAX_PEOPLE,
    NOTHING,
    PARTS,
    PERSON,
    REST,
    Seen,
    caption_of,
)
from cn.caption.settings import CaptionSettings
from cn.caption.weights import SCENE_READER, load

SIZE, CELL = 96, 4
"""Pixels of a side that the network sees, and of a cell."""
WIDTHS = (16, 40, 64, 80)
MIN_CELLS = 4.0
"""A thing is named where the probabilities of its parts add up to so many cells."""
RIVAL = 0.2
"""A cell belongs to a thing that is named unless another one is so many times likelier (the inverse) there."""
MIN_COLOR_CELLS = 0.6


class Reading(NamedTuple):
    """What the network says: logits; cells are (n, h, w, answers), the rest (n, answers)."""

    parts: Tensor
    colors: Tensor
    ground: Tensor
    light: Tensor
    people: Tensor


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
    """float (n, 3, SIZE, SIZE) from -1 to 1 → what is in the cells, and where and when it is: a small U-Net."""

    def __init__(self, widths: Sequence[int] = WIDTHS):
        super().__init__()
        a, b, c, d = widths
        self.stem = nn.Conv2d(3, a, 5, 2, 2)
        self.cells, self.coarse, self.whole = Block(a, b, 2), Block(b, c, 2), Block(c, d, 2)
        self.context = Block(d, d)
        self.up = nn.ModuleList([nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1)])
        self.merged = nn.ModuleList([Block(c, c), Block(b, b)])
        self.parts, self.colors = nn.Conv2d(b, len(PARTS), 1), nn.Conv2d(b, len(COLORS), 1)
        self.places = nn.ModuleDict(
            {
                name: nn.Linear(2 * d, n)
                for name, n in (("ground", len(GROUNDS)), ("light", len(LIGHTS)), ("people", MAX_PEOPLE + 1))
            }
        )

    def forward(self, images: Tensor) -> Reading:
        cells = self.cells(F.relu(self.stem(images)))
        coarse = self.coarse(cells)
        deep = self.context(self.whole(coarse))
        coarse = self.merged[0](coarse + _twice(self.up[0](deep)))
        fine = self.merged[1](cells + _twice(self.up[1](coarse)))
        whole = torch.cat([deep.mean((2, 3)), deep.amax((2, 3))], 1)
        cells = (self.parts(fine).permute(0, 2, 3, 1), self.colors(fine).permute(0, 2, 3, 1))
        return Reading(*cells, self.places["ground"](whole), self.places["light"](whole), self.places["people"](whole))


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def prepare(images: Sequence[Image], device: torch.device) -> Tensor:
    """uint8 (h, w, 3) each → float32 (n, 3, SIZE, SIZE) from -1 to 1; the whole image is seen, as a square."""
    made = []
    for image in images:
        pixels = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
        made.append(F.interpolate(pixels, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False))
    return torch.cat(made)


def open_scene_captioner(settings: CaptionSettings, compute: Compute) -> "SceneCaptioner":
    """The bundled one. It computes in fp32, whatever is asked for: it takes milliseconds."""
    with torch.device("meta"):
        model = SceneReader()
    load(model, open_archive(SCENE_READER).entries, SCENE_READER, torch.float32)
    return SceneCaptioner(model, settings, compute)


class SceneCaptioner:
    """`cn.caption.captioner.Captioner` for images of the built-in world."""

    def __init__(self, model: SceneReader, settings: CaptionSettings, compute: Compute):
        self.settings = settings
        self.compute = compute
        self.model = model.to(compute.device).eval().requires_grad_(False)

    def caption(self, images: Sequence[Image]) -> list[str]:
        """See `Captioner`. Settings of decoding do not apply: each question has one most probable answer."""
        return [caption_of(*found) for found in self.read(images)]

    @torch.inference_mode()
    def read(self, images: Sequence[Image]) -> list[tuple[list[Seen], str, str]]:
        """Of each image the things that are seen, from left to right, its ground and its light."""
        reading = self.model(prepare(images, self.compute.device))
        return [
            (
                self._seen(Reading(*(part[i : i + 1] for part in reading))),
                GROUNDS[int(reading.ground[i].argmax())],
                LIGHTS[int(reading.light[i].argmax())],
            )
            for i in range(len(images))
        ]

    def _seen(self, one: Reading) -> list[Seen]:
        parts, colors = one.parts.softmax(-1)[0], one.colors.softmax(-1)[0]
        across = torch.linspace(0, 1, parts.shape[1], device=parts.device)
        found: list[tuple[float, Seen]] = []
        for thing, mass in _things(parts):
            own = parts * (mass > 0)[..., None]
            if thing == PERSON:
                for where in self._people(mass, int(one.people.argmax())):
                    side = (where > 0).to(own)[..., None]
                    found.append((_middle(where, across), Seen(thing, _colors(thing, own * side, colors))))
            else:
                found.append((_middle(mass, across), Seen(thing, _colors(thing, own, colors))))
        return [seen for _, seen in sorted(found, key=lambda pair: pair[0])]

    def _people(self, mass: Tensor, count: int) -> list[Tensor]:
        """Where each of the people is (h, w): two of them are on both sides of their middle."""
        across = torch.linspace(0, 1, mass.shape[1], device=mass.device)
        if count < 2:
            return [mass]
        left = (across < _middle(mass, across)).to(mass)
        return [mass * left, mass * (1 - left)]


def _things(parts: Tensor) -> list[tuple[str, Tensor]]:
    """The things that are seen, and where (h, w), from probabilities (h, w, parts): the clearest one first.

    What may be one thing or another is all taken by the likeliest one of its place, so that it is named once.
    """
    names = [thing for thing, _ in PARTS]
    things = list(dict.fromkeys(names[1:]))
    each = torch.stack([parts[..., [k for k, name in enumerate(names) if name == thing]].sum(-1) for thing in things])
    free = (parts[..., 0] < 0.5).to(parts)
    found = []
    while (masses := (each * free).sum((1, 2))).max() >= MIN_CELLS:
        best = int(masses.argmax())
        share = each[best] / each.amax(0).clamp_min(1e-6)
        taken = free * (share >= RIVAL)
        found.append((things[best], (1 - parts[..., 0]) * taken))
        free = free * (1 - taken)
    return found


def _middle(mass: Tensor, across: Tensor) -> float:
    return float((mass.sum(0) * across).sum() / mass.sum().clamp_min(1e-6))


def _colors(thing: str, parts: Tensor, colors: Tensor) -> dict[str, str]:
    """The color of each part of a thing of which enough is seen."""
    found = {}
    for k, (name, part) in enumerate(PARTS):
        if name == thing and part != REST and (name, part) != NOTHING and parts[..., k].sum() >= MIN_COLOR_CELLS:
            found[part] = COLORS[int(torch.einsum("hw,hwc->c", parts[..., k], colors).argmax())]
    return found
