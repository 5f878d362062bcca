"""A network's coarse maps as they would be at the size of the image, looked at without enlarging all of them.

OpenPose enlarges its maps twice by cubic interpolation, cuts padding off between, and smooths them. All of that is
linear and goes along rows and columns separately, so map → (matrix of rows) map (matrix of columns)ᵀ: a value costs a
few dozen multiplications, and a whole map two small matrix products. 57 enlarged maps are never made.

The products are torch's, whose threads are counted by whoever runs it: NumPy would start some of its own, which wait
for each other many times longer than they compute where processors are shared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Matrix = NDArray[np.float64]

TRUNCATION = 4.0
"""SciPy's Gaussian filter ends at this many deviations."""

_AT_ONCE = 1 << 15
_CUBIC = -0.75
"""OpenCV's parameter of cubic interpolation."""


def cubic(old: int, new: int) -> Matrix:
    """(new, old): enlarges or reduces `old` samples to `new` as cv2.resize with INTER_CUBIC does."""
    return _combined(np.eye(old), new)


@lru_cache(maxsize=32)
def enlargement(cells: int, stride: int, kept: int, new: int) -> Matrix:
    """(new, cells): `cells` samples enlarged `stride` times, of which the first `kept` are brought to `new`."""
    return _combined(cubic(cells, cells * stride)[:kept], new)


def _combined(rows: Matrix, new: int) -> Matrix:
    """(new, …): the rows (old, …) cubically interpolated."""
    old = len(rows)
    places = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(places)
    x = (places - first)[:, None]
    near, far = np.hstack([x, 1 - x]), np.hstack([1 + x, 2 - x])
    inner = ((_CUBIC + 2) * near - (_CUBIC + 3)) * near**2 + 1
    outer = ((_CUBIC * far - 5 * _CUBIC) * far + 8 * _CUBIC) * far - 4 * _CUBIC
    weights = (outer[:, 0], inner[:, 0], inner[:, 1], outer[:, 1])
    # Beyond the border, the last sample goes on.
    samples = [np.clip(first.astype(np.int64) + step, 0, old - 1) for step in (-1, 0, 1, 2)]
    return sum((w[:, None] * rows[i] for w, i in zip(weights, samples, strict=True)), np.zeros((new, rows.shape[1])))


def smoothing(matrix: Matrix, sigma: float) -> Matrix:
    """The matrix whose results are those of `matrix`, filtered as scipy.ndimage.gaussian_filter does by default."""
    radius = int(TRUNCATION * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return np.asarray(cv2.sepFilter2D(matrix, cv2.CV_64F, np.ones(1), kernel, borderType=cv2.BORDER_REFLECT))


@dataclass(frozen=True)
class Layer:
    """Maps (channels, h, w) of one pass through the network, and how rows and columns of the whole come from theirs."""

    maps: NDArray[np.floating]
    down: Matrix
    across: Matrix


class _Band(NamedTuple):
    """A matrix (n, m) with few numbers a row, side by side: where they begin (n,), and what they are (width, n)."""

    first: NDArray[np.int64]
    weights: Matrix


def _band(matrix: Matrix) -> _Band:
    filled = matrix != 0
    first = np.argmax(filled, axis=1)
    width = int((matrix.shape[1] - np.argmax(filled[:, ::-1], axis=1) - first).max())
    first = np.minimum(first, matrix.shape[1] - width)
    return _Band(first, np.take_along_axis(matrix, first[:, None] + np.arange(width), axis=1).T)


def _gathered(
    maps: NDArray[np.floating],
    channels: NDArray[np.integer],
    down: _Band,
    y: NDArray[np.integer],
    across: _Band,
    x: NDArray[np.integer],
) -> NDArray[np.float64]:
    """(points,): the sums of the few cells of each point's map that count, a cell at a time for all points."""
    _, height, width = maps.shape
    cells = np.ascontiguousarray(maps).ravel()
    corner = (channels * height + down.first[y]) * width + across.first[x]
    rows, columns = down.weights[:, y], across.weights[:, x]
    total = np.zeros(len(corner))
    for i, of_row in enumerate(rows):
        row = np.zeros(len(corner))
        for j, of_column in enumerate(columns):
            row += of_column * cells.take(corner + (i * width + j))
        total += of_row * row
    return total


class Fields:
    """The sum of the maps of some passes, each brought to one size."""

    def __init__(self, layers: Sequence[Layer]):
        self.layers = tuple(layers)
        self.height, self.width = len(layers[0].down), len(layers[0].across)

    def smoothed(self, sigma: float) -> "Fields":
        """These maps after a Gaussian filter at the size of the whole, `sigma` in its pixels."""
        both = [(smoothing(layer.down, sigma), smoothing(layer.across, sigma)) for layer in self.layers]
        return Fields([Layer(layer.maps, *matrices) for layer, matrices in zip(self.layers, both, strict=True)])

    def whole(self, channel: int) -> NDArray[np.float32]:
        """One map (height, width) to single precision."""
        return self.part(channel, np.arange(self.height), np.arange(self.width))

    def part(
        self,
        channel: int,
        rows: NDArray[np.integer],
        columns: NDArray[np.integer],
        room: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Some rows and columns of a map, to single precision; in the front of `room` (n,) where that is given."""
        import torch

        shape = (len(rows), len(columns))
        values = np.empty(shape, np.float32) if room is None else room[: len(rows) * len(columns)].reshape(shape)
        total = torch.from_numpy(values)
        for number, (maps, down, across) in enumerate(self._single):
            left, right = (torch.from_numpy(a) for a in (down.numpy()[rows], across.numpy()[columns]))
            # The first product replaces what is there.
            torch.addmm(total, left @ maps[channel], right.T, beta=float(number > 0), out=total)
        return values

    def above(self, count: int, least: float) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For each of the first maps, rows and columns outside of which nothing reaches `least`.

        Rows and columns that lie beside one that may are among them.
        """
        bounds = [np.zeros((count, self.height)), np.zeros((count, self.width))]
        for layer in self.layers:
            sizes = np.abs(layer.maps[:count], dtype=np.float64)
            down, across = np.abs(layer.down), np.abs(layer.across)
            # A value is a weighted sum of cells; a weight is the product of one for the row and one for the column.
            bounds[0] += across.sum(axis=1).max() * (sizes.max(axis=2) @ down.T)
            bounds[1] += down.sum(axis=1).max() * (sizes.max(axis=1) @ across.T)
        for bound in bounds:
            reaches = np.pad(bound >= least, ((0, 0), (1, 1)))
            bound[:] = reaches[:, :-2] | reaches[:, 1:-1] | reaches[:, 2:]
        return [(np.flatnonzero(rows), np.flatnonzero(columns)) for rows, columns in zip(*bounds, strict=True)]

    def at(self, channels: NDArray[np.integer], y: NDArray[np.integer], x: NDArray[np.integer]) -> NDArray[np.float64]:
        """The values of maps `channels` at rows `y` and columns `x`, to double precision: arrays that broadcast."""
        shape = np.broadcast_shapes(channels.shape, y.shape, x.shape)
        channels, y, x = (np.broadcast_to(a, shape).ravel() for a in (channels, y, x))
        values = np.zeros(channels.size)
        for start in range(0, values.size, _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            for layer, down, across in self._bands:
                values[some] += _gathered(layer.maps, channels[some], down, y[some], across, x[some])
        return values.reshape(shape)

    @cached_property
    def _bands(self) -> list[tuple[Layer, "_Band", "_Band"]]:
        return [(layer, _band(layer.down), _band(layer.across)) for layer in self.layers]

    @cached_property
    def _single(self) -> list[tuple["Tensor", "Tensor", "Tensor"]]:
        """Maps and matrices of each layer for products in single precision."""
        import torch

        triples = ((layer.maps, layer.down, layer.across) for layer in self.layers)
        maps, down, across = zip(
            *([torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in three] for three in triples), strict=True
        )
        return list(zip(maps, down, across, strict=True))
