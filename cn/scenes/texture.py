"""Fractal noise from one small table that tiles and has smaller copies of itself against aliasing."""

from functools import cache

import numpy as np

from cn.scenes.geometry import Array

_SIZE, _LEVELS = 256, 8


@cache
def _table() -> tuple[Array, Array]:
    """All levels one after the other as a flat float32 array, and where each begins."""
    white = np.random.default_rng(5).standard_normal((_SIZE, _SIZE))
    frequency = np.fft.fftfreq(_SIZE, 1 / _SIZE)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    values = np.fft.ifft2(np.fft.fft2(white) / np.maximum(radius, 2.5) ** 1.45 * (radius > 0)).real
    values *= 0.45 / values.std()
    levels, begins, begin = [], [], 0
    for _ in range(_LEVELS):
        levels.append(values.ravel())
        begins.append(begin)
        begin += values.size
        values = (values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2]) / 4
    return np.concatenate(levels).astype(np.float32), np.array(begins, np.int32)


def fractal(x: Array, y: Array, footprint: Array | float) -> Array:
    """Noise (n,), standard deviation about 0.45, at `x`, `y` (n,), both counted in periods of the pattern.

    `footprint` is the width of a pixel there, also in periods: details smaller than it are left out.
    """
    flat, begins = _table()
    wide = np.maximum(np.float32(_SIZE) * np.asarray(footprint, np.float32), np.float32(1))
    level = np.minimum(np.log2(wide).astype(np.int32), np.int32(_LEVELS - 1))
    size = np.int32(_SIZE) >> level
    x, y = x * size, y * size
    left, top = np.floor(x), np.floor(y)
    fx, fy = (x - left).astype(np.float32), (y - top).astype(np.float32)
    begin, last = begins.take(level), size - np.int32(1)
    i, j = left.astype(np.int32) & last, top.astype(np.int32) & last
    row, below = begin + j * size, begin + ((j + np.int32(1)) & last) * size
    right = (i + np.int32(1)) & last
    upper = flat.take(row + i)
    upper += (flat.take(row + right) - upper) * fx
    lower = flat.take(below + i)
    lower += (flat.take(below + right) - lower) * fx
    return upper + (lower - upper) * fy
