"""From OpenPifPaf's two composite fields to the input of its decoder: confidence map, seeds and connections.

CIF (17, 5, h, w) holds for each joint and cell an unused value, a confidence, a position (x, y) and a size. CAF (19, 8,
h, w) holds for each limb and cell an unused value, a confidence, and position and size of both ends. Their unit is the
cell, `stride` pixels; everything computed here is in pixels. Only cells above a threshold are processed. Sources: the
description in Kreiss et al. (2021), and the constants of OpenPifPaf 0.13.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.coco_skeleton import LIMBS

HR_CONFIDENCE = 0.3
"""Minimum confidence of the CIF cells that the confidence map is computed from."""

SEED_CONFIDENCE = 0.2
"""Minimum confidence of a CIF cell, alone and combined with the map, to be a seed."""

LIMB_CONFIDENCE = 0.3
"""Minimum confidence of a CAF cell, alone and weighted by the map."""

_NEIGHBORS = 16
"""Number of cells around a joint that together give 1 in the map."""

_MAP_WEIGHT = 0.9
"""Weight of the map when it is combined with the confidence of a cell."""
_TRUNCATION = 1 - 1 / 16
"""Value of the quadratic approximation at one sigma, where bumps are cut off."""
_MAX_PIXELS = 1 << 18
"""Pixels of all bumps that are computed at a time."""
_MAX_VALUE = 1e5
"""Cells with larger values are invalid."""
_MAX_SIZE_RATIO = 1.15
"""Bumps that are computed together differ in size by this factor at most."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Seeds:
    """Joints that a person can grow from, highest score first: arrays (n,)."""

    joint: NDArray[np.int64]
    score: Floats
    x: Floats
    y: Floats
    size: Floats


@dataclass(frozen=True)
class Connections:
    """The cells of one limb in one direction, sorted by x of their starts: arrays (n,)."""

    sorted_x: list[float]
    """`x` as a list, for binary search."""
    x: Floats
    y: Floats
    score: Floats
    ends: Floats
    """(n, 3): x, y and size of the other end."""


class ConfidenceMap:
    """The confidence of each pixel for each of the 17 joints, 0..1: the accumulated cells of CIF at full size."""

    def __init__(self, cif: Floats, stride: int):
        fields, _, height, width = cif.shape
        self.height, self.width = (height - 1) * stride + 1, (width - 1) * stride + 1
        # Memory of zeros is allocated only where something is written: a few patches of a large map.
        self.values = np.zeros(fields * self.height * self.width, np.float32)
        joint, cells = _confident_cells(cif, HR_CONFIDENCE)
        confidence, x, y, size = cells
        x, y, sigma = x * stride, y * stride, np.clip(0.5 * stride * size, 1, _MAX_VALUE)
        visible = (np.abs(x - self.width / 2) < self.width / 2 + sigma) & (
            np.abs(y - self.height / 2) < self.height / 2 + sigma
        )
        for group in _groups_by_size(sigma, visible):
            self._add(joint[group], confidence[group] / _NEIGHBORS, x[group], y[group], sigma[group])

    def _add(self, joint: NDArray[np.int64], height: Floats, x: Floats, y: Floats, sigma: Floats) -> None:
        """Add a bump for each cell: a Gaussian, cut off at one sigma, with the full height at the nearest pixel."""
        columns, rows = _window(x, sigma, self.width), _window(y, sigma, self.height)
        across, down = _squares(columns, x, sigma, self.width), _squares(rows, y, sigma, self.height)
        # (1 - d² / 16 σ²)⁸, OpenPifPaf's fast approximation of exp(-d² / 2 σ²).
        bump = (1 - down)[:, :, None] - across[:, None, :]
        inside = bump >= _TRUNCATION
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
        """The values at the pixels nearest to x and y (n,); 0 outside of the map."""
        inside = (x >= -0.49) & (y >= -0.49) & (x <= self.width - 0.51) & (y <= self.height - 0.51)
        column, row = (np.where(inside, v + np.float32(0.5), 0).astype(np.int64) for v in (x, y))
        values = self.values[(joint * self.height + row) * self.width + column]
        return np.where(inside, np.minimum(values, 1), np.float32(0))


def _groups_by_size(sigma: Floats, mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Indices of the cells in `mask`, in groups of similar size with limited memory."""
    order = np.flatnonzero(mask)
    order = order[np.argsort(sigma[order], kind="stable")]
    sizes, groups, start = sigma[order], [], 0
    while start < len(order):
        end = int(np.searchsorted(sizes, sizes[start] * _MAX_SIZE_RATIO + 0.5, "right"))
        limit = max(1, int(_MAX_PIXELS / (2 * sizes[end - 1] + 2) ** 2))
        end = min(end, start + limit)
        groups.append(order[start:end])
        start = end
    return groups


def _window(center: Floats, sigma: Floats, limit: int) -> NDArray[np.int64]:
    """For each center (n,), a window of pixels (n, k), from 0 on, with at least those within `sigma`."""
    span = np.arange(min(int(2 * sigma.max()) + 2, limit))
    return np.ceil(center - sigma).astype(np.int64).clip(0)[:, None] + span


def _squares(pixels: NDArray[np.int64], center: Floats, sigma: Floats, limit: int) -> Floats:
    """((pixel - center) / 4 sigma)², (n, k); outside of any bump for pixels from `limit` on."""
    squares = ((pixels - center[:, None]) * (0.25 / sigma)[:, None]).astype(np.float32) ** 2
    squares[pixels >= limit] = 2
    return squares


def _nearest(pixels: NDArray[np.int64], center: Floats) -> NDArray[np.int64]:
    """Column of the pixel (n, k) less than half a pixel from the center (n,); -1 without one."""
    close = np.abs(pixels - center[:, None]) < 0.5
    return np.where(close.any(axis=1), close.argmax(axis=1), -1)


def _confident_cells(field: Floats, min_confidence: float) -> tuple[NDArray[np.int64], Floats]:
    """Joint or limb (n,) and used values (k, n) of the valid cells with a minimum confidence."""
    number, row, column = np.nonzero(field[:, 1] >= min_confidence)
    cells = field[number, 1:, row, column]
    valid = (np.abs(cells) < _MAX_VALUE).all(axis=1)
    return number[valid], cells[valid].T


def find_seeds(cif: Floats, confidence_map: ConfidenceMap, stride: int) -> Seeds:
    """Cells of CIF with a high confidence, alone and combined with the map."""
    joint, cells = _confident_cells(cif, SEED_CONFIDENCE)
    confidence, x, y, size = cells
    x, y, size = x * stride, y * stride, size * stride
    score = _MAP_WEIGHT * confidence_map.at(joint, x, y) + (1 - _MAP_WEIGHT) * confidence
    order = np.argsort(-score, kind="stable")
    order = order[score[order] >= SEED_CONFIDENCE]
    return Seeds(joint[order], score[order], x[order], y[order], size[order])


def find_connections(
    caf: Floats, confidence_map: ConfidenceMap, stride: int
) -> tuple[list[Connections], list[Connections]]:
    """For each of the 19 limbs, the connections from its first joint to its second, and in reverse.

    The score of a connection is weighted by the confidence map of the target joint at its end.
    """
    limb, cells = _confident_cells(caf, LIMB_CONFIDENCE)
    confidence, ends = cells[0], cells[1:] * stride
    first, second = np.array(LIMBS).T
    directions = []
    for (x, y), reached, target in ((ends[:2], ends[[2, 3, 5]], second), (ends[2:4], ends[[0, 1, 4]], first)):
        reached = reached.T.copy()
        target_confidence = confidence_map.at(target[limb], reached[:, 0], reached[:, 1])
        score = confidence * (1 - _MAP_WEIGHT + _MAP_WEIGHT * target_confidence)
        order = np.lexsort((x, limb))
        order = order[score[order] > LIMB_CONFIDENCE]
        bounds = np.searchsorted(limb[order], np.arange(len(LIMBS) + 1))
        cells_of_limbs = [order[a:b] for a, b in pairwise(bounds)]
        directions.append(
            [Connections(x[own].tolist(), x[own], y[own], score[own], reached[own]) for own in cells_of_limbs]
        )
    return directions[0], directions[1]
