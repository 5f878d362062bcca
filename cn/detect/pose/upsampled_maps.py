"""A network's coarse maps upsampled to the size of the image, evaluated only where needed.

OpenPose upsamples its maps twice by cubic interpolation, crops padding in between, and smooths them. All of these steps
are linear and separable, so an upsampled map is (row matrix) · map · (column matrix)ᵀ: a single value costs a few dozen
multiplications, and a full map two small matrix products. The 57 upsampled maps are never stored.

The products use torch, whose number of threads the caller controls. NumPy would start threads of its own, which spend
most of their time waiting for each other when CPU cores are shared.
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
"""SciPy's Gaussian filter is cut off at this many standard deviations."""

_CHUNK = 1 << 15
"""Values that are evaluated at a time."""

_CUBIC = -0.75
"""OpenCV's parameter of cubic interpolation."""


def cubic_matrix(old: int, new: int) -> Matrix:
    """(new, old): resizes `old` samples to `new` like cv2.resize with INTER_CUBIC."""
    return _interpolate_rows(np.eye(old), new)


@lru_cache(maxsize=32)
def upsampling_matrix(cells: int, stride: int, kept: int, new: int) -> Matrix:
    """(new, cells): upsamples `cells` samples by `stride`, crops to the first `kept`, and resizes those to `new`."""
    return _interpolate_rows(cubic_matrix(cells, cells * stride)[:kept], new)


def _interpolate_rows(rows: Matrix, new: int) -> Matrix:
    """Cubic interpolation of rows (old, …) to (new, …)."""
    old = len(rows)
    places = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(places)
    x = (places - first)[:, None]
    near, far = np.hstack([x, 1 - x]), np.hstack([1 + x, 2 - x])
    inner = ((_CUBIC + 2) * near - (_CUBIC + 3)) * near**2 + 1
    outer = ((_CUBIC * far - 5 * _CUBIC) * far + 8 * _CUBIC) * far - 4 * _CUBIC
    weights = (outer[:, 0], inner[:, 0], inner[:, 1], outer[:, 1])
    # Border samples are replicated.
    samples = [np.clip(first.astype(np.int64) + step, 0, old - 1) for step in (-1, 0, 1, 2)]
    return sum((w[:, None] * rows[i] for w, i in zip(weights, samples, strict=True)), np.zeros((new, rows.shape[1])))


def smoothed_matrix(matrix: Matrix, sigma: float) -> Matrix:
    """`matrix` followed by a Gaussian filter like scipy.ndimage.gaussian_filter with its defaults."""
    radius = int(TRUNCATION * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return np.asarray(cv2.sepFilter2D(matrix, cv2.CV_64F, np.ones(1), kernel, borderType=cv2.BORDER_REFLECT))


@dataclass(frozen=True)
class ScaledMaps:
    """The maps of one pass through the network, and the matrices that upsample them."""

    maps: NDArray[np.floating]
    """(channels, h, w)."""
    down: Matrix
    """(height, h)."""
    across: Matrix
    """(width, w)."""


class _Band(NamedTuple):
    """A banded matrix (n, m): the first nonzero column of each row (n,), and the values from there on (width, n)."""

    first: NDArray[np.int64]
    weights: Matrix


def _band(matrix: Matrix) -> _Band:
    nonzero = matrix != 0
    first = np.argmax(nonzero, axis=1)
    width = int((matrix.shape[1] - np.argmax(nonzero[:, ::-1], axis=1) - first).max())
    first = np.minimum(first, matrix.shape[1] - width)
    return _Band(first, np.take_along_axis(matrix, first[:, None] + np.arange(width), axis=1).T)


def _gather(
    maps: NDArray[np.floating],
    channels: NDArray[np.integer],
    down: _Band,
    y: NDArray[np.integer],
    across: _Band,
    x: NDArray[np.integer],
) -> NDArray[np.float64]:
    """(points,): the weighted sum of the cells around each point, one cell at a time for all points."""
    _, height, width = maps.shape
    cells = np.ascontiguousarray(maps).ravel()
    corner = (channels * height + down.first[y]) * width + across.first[x]
    rows, columns = down.weights[:, y], across.weights[:, x]
    total = np.zeros(len(corner))
    for i, row_weights in enumerate(rows):
        row = np.zeros(len(corner))
        for j, column_weights in enumerate(columns):
            row += column_weights * cells.take(corner + (i * width + j))
        total += row_weights * row
    return total


class Fields:
    """The sum of the maps of one or more passes at one size, (channels, height, width)."""

    def __init__(self, layers: Sequence[ScaledMaps]):
        self.layers = tuple(layers)
        self.height, self.width = len(layers[0].down), len(layers[0].across)

    def smoothed(self, sigma: float) -> "Fields":
        """These maps after a Gaussian filter at full size, with `sigma` in its pixels."""
        return Fields(
            [
                ScaledMaps(layer.maps, smoothed_matrix(layer.down, sigma), smoothed_matrix(layer.across, sigma))
                for layer in self.layers
            ]
        )

    def full(self, channel: int) -> NDArray[np.float32]:
        """One map (height, width) in single precision."""
        return self.region(channel, np.arange(self.height), np.arange(self.width))

    def region(
        self,
        channel: int,
        rows: NDArray[np.integer],
        columns: NDArray[np.integer],
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Some rows and columns of a map in single precision; at the start of the buffer `out` (n,), if given."""
        import torch

        shape = (len(rows), len(columns))
        values = np.empty(shape, np.float32) if out is None else out[: len(rows) * len(columns)].reshape(shape)
        total = torch.from_numpy(values)
        for number, (maps, down, across) in enumerate(self._single):
            left, right = (torch.from_numpy(a) for a in (down.numpy()[rows], across.numpy()[columns]))
            # The first product overwrites the buffer.
            torch.addmm(total, left @ maps[channel], right.T, beta=float(number > 0), out=total)
        return values

    def regions_above(self, count: int, threshold: float) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For each of the first `count` maps, rows and columns outside of which no value reaches `threshold`.

        Neighbors of rows and columns that may reach it are included.
        """
        bounds = [np.zeros((count, self.height)), np.zeros((count, self.width))]
        for layer in self.layers:
            sizes = np.abs(layer.maps[:count], dtype=np.float64)
            down, across = np.abs(layer.down), np.abs(layer.across)
            # A value is a weighted sum of cells; each weight is the product of a row weight and a column weight.
            bounds[0] += across.sum(axis=1).max() * (sizes.max(axis=2) @ down.T)
            bounds[1] += down.sum(axis=1).max() * (sizes.max(axis=1) @ across.T)
        for bound in bounds:
            reaches = np.pad(bound >= threshold, ((0, 0), (1, 1)))
            bound[:] = reaches[:, :-2] | reaches[:, 1:-1] | reaches[:, 2:]
        return [(np.flatnonzero(rows), np.flatnonzero(columns)) for rows, columns in zip(*bounds, strict=True)]

    def at(self, channels: NDArray[np.integer], y: NDArray[np.integer], x: NDArray[np.integer]) -> NDArray[np.float64]:
        """The values of maps `channels` at rows `y` and columns `x` (arrays that broadcast), in double precision."""
        shape = np.broadcast_shapes(channels.shape, y.shape, x.shape)
        channels, y, x = (np.broadcast_to(a, shape).ravel() for a in (channels, y, x))
        values = np.zeros(channels.size)
        for start in range(0, values.size, _CHUNK):
            some = slice(start, start + _CHUNK)
            for layer, down, across in self._bands:
                values[some] += _gather(layer.maps, channels[some], down, y[some], across, x[some])
        return values.reshape(shape)

    @cached_property
    def _bands(self) -> list[tuple[ScaledMaps, _Band, _Band]]:
        return [(layer, _band(layer.down), _band(layer.across)) for layer in self.layers]

    @cached_property
    def _single(self) -> list[tuple["Tensor", "Tensor", "Tensor"]]:
        """Maps and matrices of each layer in single precision."""
        import torch

        triples = ((layer.maps, layer.down, layer.across) for layer in self.layers)
        maps, down, across = zip(
            *([torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in three] for three in triples), strict=True
        )
        return list(zip(maps, down, across, strict=True))
