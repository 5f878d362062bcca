"""95 % intervals by the bootstrap over images, and the normalized score. NumPy only.

Percentile bootstrap (Efron 1979). Own code, ten lines: SciPy is no dependency, and ratios of several means need the
same draws of images in each of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

DRAWS = 4000
SEED = 0
"""The draws of an evaluation are always the same, so that its report is."""

LEVEL = 0.95
_MAX_NUMBERS = 1 << 22
"""Numbers in memory at once."""


@dataclass(frozen=True)
class Figure:
    """A number with its 95 % interval; the interval is None where it cannot be given."""

    value: float
    interval: tuple[float, float] | None = None

    @property
    def differs_from_zero(self) -> bool:
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def figure(statistic: Callable[..., Values], *rows: Values) -> Figure:
    """A statistic of means, with its interval.

    Each row holds one value of the same images (n,); images for which a row has none (NaN) are left out. `statistic`
    takes the mean of each row, and arrays of them: images are drawn with replacement, the same ones for all rows.
    """
    table = np.stack(rows)
    table = table[:, np.isfinite(table).all(axis=0)]
    count = table.shape[1]
    if not count:
        return Figure(float("nan"))
    value = float(statistic(*table.mean(axis=1)))
    if count < 2 or not np.isfinite(value):
        return Figure(value)
    spread = np.asarray(statistic(*_drawn_means(table)))
    if not np.isfinite(spread).all():
        return Figure(value)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(spread, [tail, 100 - tail])
    return Figure(value, (float(low), float(high)))


def _drawn_means(table: Values) -> Values:
    """The means of rows (k, n) in each draw of n images with replacement: (k, DRAWS)."""
    count = table.shape[1]
    random, at_once = np.random.default_rng(SEED), max(1, min(DRAWS, _MAX_NUMBERS // count))
    parts = [min(at_once, DRAWS - first) for first in range(0, DRAWS, at_once)]
    return np.concatenate([table[:, random.integers(count, size=(part, count))].mean(axis=2) for part in parts], axis=1)


def mean(values: Values) -> Figure:
    """The mean over images."""
    return figure(lambda m: m, values)


def difference(a: Values, b: Values) -> Figure:
    """The mean of a - b of the same images (paired)."""
    return figure(lambda first, second: first - second, a, b)


def normalized(scores: Values, zero: Values, one: Values, better: str) -> Figure:
    """(mean of scores - mean of zero) / (mean of one - mean of zero).

    NaN where `one` is not better than `zero`; without an interval where that holds in some of the draws.
    """
    sign = 1.0 if better == "higher" else -1.0

    def ratio(s: Values, z: Values, o: Values) -> Values:
        span = np.asarray(sign * (o - z))
        return np.where(span > 0, sign * (s - z) / np.where(span > 0, span, 1), np.nan)

    return figure(ratio, scores, zero, one)
