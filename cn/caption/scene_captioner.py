"""A captioner for the bundled base: the words of the built-in world, read off an image by `cn.caption.scene_reader`."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cn.archives.archive import open_archive
from cn.caption.captioner import Compute, Image
from cn.caption.scene_labels import (
    COLORS,
    GROUNDS,
    LIGHTS,
    MAX_PEOPLE,
    PARTS,
    PERSON,
    REST,
    WEATHERS,
    Seen,
    caption_of,
)
from cn.caption.scene_reader import Reading, SceneReader, prepare
from cn.caption.settings import CaptionSettings
from cn.caption.weights import SCENE_READER, load

MIN_CELLS = 5.0
"""A thing is named where the probabilities of its parts add up to so many cells."""
RIVAL = 0.2
"""A cell belongs to a thing that is named unless another one is so many times likelier (the inverse) there."""
MIN_COLOR_CELLS = 0.8
APART = 0.09
"""Middles of two things of one kind are farther apart than this, in widths of the image."""


class SceneReading(NamedTuple):
    """What an image shows: its things from left to right, and where and when it is."""

    seen: list[Seen]
    ground: str
    light: str
    weather: str


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
    def read(self, images: Sequence[Image]) -> list[SceneReading]:
        """What each image shows."""
        return readings(self.model(prepare(images, self.compute.device)))


def readings(reading: Reading) -> list[SceneReading]:
    """The most probable answers, image by image."""
    cells = Reading(*(part.float().cpu() for part in reading))
    wholes = zip(*(answer.argmax(-1).tolist() for answer in cells[3:]), strict=True)
    return [
        SceneReading(_seen(cells.rows(i), people), GROUNDS[ground], LIGHTS[light], WEATHERS[weather])
        for i, (ground, light, weather, people) in enumerate(wholes)
    ]


def _seen(one: Reading, people: int) -> list[Seen]:
    parts, colors = one.parts.softmax(-1)[0], one.colors.softmax(-1)[0]
    columns = (torch.arange(parts.shape[1]) + 0.5) / parts.shape[1]
    middles = columns + one.across[0]
    found: list[tuple[float, Seen]] = []
    for thing, mass in _things(parts):
        own = parts * (mass > 0)[..., None]
        for where in _instances(mass, middles, people if thing == PERSON else None):
            side = where.to(own)[..., None]
            middle = float((mass * where * middles).sum() / (mass * where).sum().clamp_min(1e-6))
            found.append((middle, Seen(thing, _colors(thing, own * side, colors))))
    return [seen for _, seen in sorted(found, key=lambda pair: pair[0])]


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


def _instances(mass: Tensor, middles: Tensor, count: int | None) -> list[Tensor]:
    """Where (h, w) each of the things of one kind is, from left to right, by where its cells say that its middle is.

    As many as `count` says (at least one); where it is None, there is a boundary wherever middles are far apart.
    """
    inside = mass > 0
    votes, weights = middles[inside], mass[inside]
    order = votes.argsort()
    votes, weights = votes[order], weights[order]
    bounds = _gaps(votes, weights) if count is None else _boundaries(votes, weights, max(1, count))
    edges = torch.tensor([-torch.inf, *bounds, torch.inf])
    groups = [inside & (middles > low) & (middles <= high) for low, high in itertools.pairwise(edges)]
    return [group for group in groups if group.any()]


def _gaps(votes: Tensor, weights: Tensor) -> list[float]:
    """Boundaries between sorted middles, each in the middle of a stretch that hardly any cell votes for."""
    bins = 64
    histogram = torch.zeros(bins).index_add_(0, (votes * bins).long().clamp(0, bins - 1), weights)
    crowded = torch.nonzero(histogram >= max(0.5, 0.04 * float(weights.sum())))[:, 0].tolist()
    wide = [(low, high) for low, high in itertools.pairwise(crowded) if high - low > APART * bins]
    found, rest = [], 0.0
    for low, high in wide:
        bound = (low + high + 1) / (2 * bins)
        here = float(weights[(votes > rest) & (votes <= bound)].sum())
        after = float(weights[votes > bound].sum())
        if min(here, after) >= MIN_CELLS:
            found.append(bound)
            rest = bound
    return found


def _boundaries(votes: Tensor, weights: Tensor, count: int) -> list[float]:
    """Boundaries between `count` groups of sorted middles with the least squared deviation: k-means in one dimension.

    Exact by dynamic programming over 64 places (Wang and Song 2011): k-means proper depends on where it starts.
    """
    bins = 64
    place = (votes * bins).long().clamp(0, bins - 1)
    zero = torch.zeros(bins, dtype=torch.float64)
    sums = [zero.index_add(0, place, (weights * votes**power).double()) for power in range(3)]
    n, s, q = (torch.cat([zero[:1], values.cumsum(0)]) for values in sums)
    number, total, squares = n[None] - n[:, None], s[None] - s[:, None], q[None] - q[:, None]
    cost = (squares - total**2 / number.clamp_min(1e-9)).clamp_min(0)
    cost = cost.masked_fill(torch.ones_like(cost).tril(-1).bool(), torch.inf)
    best, cuts = cost[0], []
    for _ in range(min(count, MAX_PEOPLE) - 1):
        through = best[:, None] + cost
        best, cut = through.min(0)
        cuts.append(cut)
    bounds, end = [], bins
    for cut in reversed(cuts):
        end = int(cut[end])
        bounds.append(end / bins)
    return sorted({bound for bound in bounds if 0 < bound < 1})


def _colors(thing: str, parts: Tensor, colors: Tensor) -> dict[str, str]:
    """The color of each part of a thing of which enough is seen."""
    found = {}
    for k, (name, part) in enumerate(PARTS):
        if name == thing and part != REST and parts[..., k].sum() >= MIN_COLOR_CELLS:
            found[part] = COLORS[int(torch.einsum("hw,hwc->c", parts[..., k], colors).argmax())]
    return found
