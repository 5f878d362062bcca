"""What OpenPifPaf's two fields say, made ready for putting people together: a map, seeds and connections.

CIF (17, 5, h, w) holds for each joint and cell a number that is not used, a confidence, a place (x, y) and a size; CAF
(19, 8, h, w) for each limb and cell the same of two ends. Places and sizes are in cells, `stride` pixels apart; all
that is given here is in pixels. Only cells above a threshold are ever looked at. Sources: the description in Kreiss
and others (2021), and the constants of OpenPifPaf 0.13.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.coco_skeleton import LIMBS

HR_CONFIDENCE = 0.3
"""Cells of CIF that the map is made of."""

SEED_CONFIDENCE = 0.2
"""What a cell of CIF needs, by itself and together with the map, to begin a person."""

LIMB_CONFIDENCE = 0.3
"""What a cell of CAF needs, by itself and after it has been held against the map."""

_NEIGHBORS = 16
"""Cells that tell of one joint: together they fill the map up to 1."""

_MAP_SHARE = 0.9
_TRUNCATED = 1 - 1 / 16
_AT_ONCE = 1 << 18
_LARGEST = 1e5
_GROWTH = 1.15

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Seeds:
    """Places where a person may begin, the surest first: arrays (n,)."""

    joint: NDArray[np.int64]
    score: Floats
    x: Floats
    y: Floats
    size: Floats


@dataclass(frozen=True)
class Connections:
    """The cells of one limb in one direction, from left to right by their starts: arrays (n,)."""

    sorted_x: list[float]
    """`x`, for looking up quickly."""
    x: Floats
    y: Floats
    score: Floats
    ends: Floats
    """(n, 3): x, y and size of the other end."""


class JointMap:
    """How sure every pixel is to be the joint, 0..1, for each of the 17 (CIF's cells, added up at full size)."""

    def __init__(self, cif: Floats, stride: int):
        fields, _, height, width = cif.shape
        self.height, self.width = (height - 1) * stride + 1, (width - 1) * stride + 1
        # Of zeros, memory is taken only where something is written: a few patches of a large map.
        self.values = np.zeros(fields * self.height * self.width, np.float32)
        joint, cells = _cells(cif, HR_CONFIDENCE)
        confidence, x, y, size = cells
        x, y, sigma = x * stride, y * stride, np.clip(0.5 * stride * size, 1, _LARGEST)
        near = (np.abs(x - self.width / 2) < self.width / 2 + sigma) & (
            np.abs(y - self.height / 2) < self.height / 2 + sigma
        )
        for part in _alike(sigma, near):
            self._add(joint[part], confidence[part] / _NEIGHBORS, x[part], y[part], sigma[part])

    def _add(self, joint: NDArray[np.int64], height: Floats, x: Floats, y: Floats, sigma: Floats) -> None:
        """Add a bump for each cell: a Gaussian, cut off at one deviation, whose nearest pixel has the whole height."""
        columns, rows = _window(x, sigma, self.width), _window(y, sigma, self.height)
        across, down = _squares(columns, x, sigma, self.width), _squares(rows, y, sigma, self.height)
        # (1 - d² / 16 σ²)⁸, OpenPifPaf's quick stand-in for exp(-d² / 2 σ²).
        bump = (1 - down)[:, :, None] - across[:, None, :]
        inside = bump >= _TRUNCATED
        row, column = _nearest(rows, y), _nearest(columns, x)
        hit = np.flatnonzero((row >= 0) & (column >= 0))
        bump[hit, row[hit], column[hit]] = 1
        for _ in range(3):
            np.multiply(bump, bump, out=bump)
        bump *= height[:, None, None]
        bump *= inside
        lines = joint[:, None] * self.height + np.minimum(rows, self.height - 1)
        places = (lines * self.width)[:, :, None] + np.minimum(columns, self.width - 1)[:, None, :]
        np.add.at(self.values, places.ravel(), bump.ravel())

    def at(self, joint: NDArray[np.int64], x: Floats, y: Floats) -> Floats:
        """The values at the pixels nearest to x and y (n,); 0 where that is no pixel of the map."""
        known = (x >= -0.49) & (y >= -0.49) & (x <= self.width - 0.51) & (y <= self.height - 0.51)
        column, row = (np.where(known, v + np.float32(0.5), 0).astype(np.int64) for v in (x, y))
        found = self.values[(joint * self.height + row) * self.width + column]
        return np.where(known, np.minimum(found, 1), np.float32(0))


def _alike(sigma: Floats, wanted: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The numbers of the wanted cells in parts of nearly the same size, none of which takes much memory."""
    order = np.flatnonzero(wanted)
    order = order[np.argsort(sigma[order], kind="stable")]
    sizes, parts, start = sigma[order], [], 0
    while start < len(order):
        end = int(np.searchsorted(sizes, sizes[start] * _GROWTH + 0.5, "right"))
        most = max(1, int(_AT_ONCE / (2 * sizes[end - 1] + 2) ** 2))
        end = min(end, start + most)
        parts.append(order[start:end])
        start = end
    return parts


def _window(center: Floats, sigma: Floats, limit: int) -> NDArray[np.int64]:
    """For each center (n,) the pixels (n, k), from 0 on, that are not further away than `sigma`; and some more."""
    span = np.arange(min(int(2 * sigma.max()) + 2, limit))
    return np.ceil(center - sigma).astype(np.int64).clip(0)[:, None] + span


def _squares(pixels: NDArray[np.int64], center: Floats, sigma: Floats, limit: int) -> Floats:
    """((pixel - center) / 4 sigma)², (n, k); too much for any bump where the pixel is not below `limit`."""
    squares = ((pixels - center[:, None]) * (0.25 / sigma)[:, None]).astype(np.float32) ** 2
    squares[pixels >= limit] = 2
    return squares


def _nearest(pixels: NDArray[np.int64], center: Floats) -> NDArray[np.int64]:
    """Which of the pixels (n, k) is less than half a pixel from the center (n,); -1 where none is."""
    close = np.abs(pixels - center[:, None]) < 0.5
    return np.where(close.any(axis=1), close.argmax(axis=1), -1)


def _cells(field: Floats, least: float) -> tuple[NDArray[np.int64], Floats]:
    """Of the cells that are at least so confident: which joint or limb (n,), and all numbers that are used (k, n)."""
    number, row, column = np.nonzero(field[:, 1] >= least)
    cells = field[number, 1:, row, column]
    sane = (np.abs(cells) < _LARGEST).all(axis=1)
    return number[sane], cells[sane].T


def find_seeds(cif: Floats, joints: JointMap, stride: int) -> Seeds:
    """Where people may begin: cells of CIF that are sure themselves and lie where the map is sure."""
    joint, cells = _cells(cif, SEED_CONFIDENCE)
    confidence, x, y, size = cells
    x, y, size = x * stride, y * stride, size * stride
    score = _MAP_SHARE * joints.at(joint, x, y) + (1 - _MAP_SHARE) * confidence
    order = np.argsort(-score, kind="stable")
    order = order[score[order] >= SEED_CONFIDENCE]
    return Seeds(joint[order], score[order], x[order], y[order], size[order])


def find_connections(caf: Floats, joints: JointMap, stride: int) -> tuple[list[Connections], list[Connections]]:
    """For each of the 19 limbs, the connections from its first joint to its second, and back.

    A connection counts as much as the map says that its end is the joint it should be.
    """
    limb, cells = _cells(caf, LIMB_CONFIDENCE)
    confidence, ends = cells[0], cells[1:] * stride
    first, second = np.array(LIMBS).T
    ways = []
    for (x, y), reached, target in ((ends[:2], ends[[2, 3, 5]], second), (ends[2:4], ends[[0, 1, 4]], first)):
        reached = reached.T.copy()
        sure = joints.at(target[limb], reached[:, 0], reached[:, 1])
        score = confidence * (1 - _MAP_SHARE + _MAP_SHARE * sure)
        order = np.lexsort((x, limb))
        order = order[score[order] > LIMB_CONFIDENCE]
        bounds = np.searchsorted(limb[order], np.arange(len(LIMBS) + 1))
        parts = [order[a:b] for a, b in pairwise(bounds)]
        ways.append([Connections(x[part].tolist(), x[part], y[part], score[part], reached[part]) for part in parts])
    return ways[0], ways[1]
