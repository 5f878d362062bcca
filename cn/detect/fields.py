"""A network's coarse maps as they would be at the size of the picture, looked at without enlarging all of them.

OpenPose enlarges its maps twice by cubic interpolation, cuts padding off between, and smooths them. All of that is
linear and goes along rows and columns separately, so map → (matrix of rows) map (matrix of columns)ᵀ: a value costs a
few dozen multiplications, and a whole map two small matrix products. 57 enlarged maps are never made.

The products are torch's, whose threads are counted by whoever runs it: NumPy would start some of its own, which wait
for each other many times longer than they compute where processors are shared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

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
            # The first product replaces what is there.
            product = (down.numpy()[rows], across.numpy()[columns])
            left, right = (torch.from_numpy(a) for a in product)
            torch.addmm(total, left @ maps[channel], right.T, beta=float(number > 0), out=total)
        return values

    def above(self, count: int, least: float) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For each of the first maps, rows and columns outside of which nothing reaches `least`.

        Rows and columns that lie beside one that may are among them.
        """
        bounds = [np.zeros((count, self.height)), np.zeros((count, self.width))]
        for maps, down, across in self._single:
            for bound, this, other, fields in zip(
                bounds, (down, across), (across, down), (maps, maps.transpose(1, 2)), strict=True
            ):
                # A value is a weighted sum of a row of `this @ field`, the weights a row of `other`.
                bound += ((this @ fields[:count]).abs().amax(dim=2) * other.abs().sum(dim=1).max()).numpy()
        for bound in bounds:
            reaches = np.pad(bound >= least, ((0, 0), (1, 1)))
            bound[:] = reaches[:, :-2] | reaches[:, 1:-1] | reaches[:, 2:]
        return [(np.flatnonzero(rows), np.flatnonzero(columns)) for rows, columns in zip(*bounds, strict=True)]

    def at(
        self, channels: Sequence[int], y: NDArray[np.integer], x: NDArray[np.integer], exact: bool = True
    ) -> NDArray[np.floating]:
        """(points, channels): the values at rows `y` and columns `x`, each (points,); `exact`: to double precision."""
        starts = range(0, len(y), _AT_ONCE)
        parts = [self._at(channels, y[i : i + _AT_ONCE], x[i : i + _AT_ONCE], exact) for i in starts]
        return np.concatenate(parts) if parts else np.zeros((0, len(channels)))

    def _at(
        self, channels: Sequence[int], y: NDArray[np.integer], x: NDArray[np.integer], exact: bool
    ) -> NDArray[np.floating]:
        import torch

        values = np.zeros((len(channels), len(y)), np.float64 if exact else np.float32)
        # Few points: their rows only; many: each row of the whole once.
        few = len(y) < self.height
        for maps, down, across in self._double if exact else self._single:
            columns = across.numpy()[x]
            some = torch.from_numpy(down.numpy()[y]) if few else down
            for number, channel in enumerate(channels):
                rows = (some @ maps[channel]).numpy()
                values[number] += np.einsum("ij,ij->i", rows if few else rows[y], columns)
        return values.T

    @cached_property
    def _double(self) -> list[tuple["Tensor", "Tensor", "Tensor"]]:
        return [self._tensors(layer, np.float64) for layer in self.layers]

    @cached_property
    def _single(self) -> list[tuple["Tensor", "Tensor", "Tensor"]]:
        return [self._tensors(layer, np.float32) for layer in self.layers]

    @staticmethod
    def _tensors(layer: Layer, dtype: type[np.floating]) -> tuple["Tensor", "Tensor", "Tensor"]:
        import torch

        maps, down, across = (
            torch.from_numpy(np.ascontiguousarray(a, dtype)) for a in (layer.maps, layer.down, layer.across)
        )
        return maps, down, across
