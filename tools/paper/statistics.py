"""Student's t over seeds: means with 95 % intervals, differences, and Holm's correction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
MIN_SEEDS = 3
"""Fewer runs give an interval that says nothing."""
BySeed = Mapping[int, float]
"""Seed → the number of its run."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; `count` runs. The interval is None for a single run."""

    mean: float
    interval: tuple[float, float] | None
    count: int
    error: float = math.nan
    """The standard error of the mean, with `freedom` degrees of freedom."""
    freedom: float = math.nan

    def p_value(self, bound: float) -> float:
        """The two-sided p-value of the hypothesis that the true mean is `bound`."""
        from scipy import stats

        if self.interval is None:
            return math.nan
        if self.error == 0:
            return 0.0 if self.mean != bound else 1.0
        return float(2 * stats.t.sf(abs(self.mean - bound) / self.error, self.freedom))

    def text(self, digits: int = 3) -> str:
        """ "0.412 [0.398, 0.426]"."""
        if self.count == 0:
            return "–"
        interval = "" if self.interval is None else f" [{self.interval[0]:.{digits}f}, {self.interval[1]:.{digits}f}]"
        return f"{self.mean:.{digits}f}{interval}"


NOTHING = Estimate(math.nan, None, 0)


def _estimate(mean: float, error: float, freedom: float, count: int) -> Estimate:
    from scipy import stats

    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Estimate(mean, (mean - half, mean + half), count, error, freedom)


def estimate(values: Sequence[float] | BySeed) -> Estimate:
    """The mean of independent runs."""
    numbers = _numbers(values)
    if len(numbers) < 2:
        return Estimate(float(numbers[0]), None, 1) if len(numbers) else NOTHING
    error = float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
    return _estimate(float(numbers.mean()), error, len(numbers) - 1, len(numbers))


def difference(a: BySeed, b: BySeed) -> Estimate:
    """The mean of a - b. Paired where at least three seeds are in both: they share data, noise and prompts.

    Otherwise Welch's interval for two samples. `count` is the smaller number of runs that it rests on.
    """
    shared = [seed for seed in a if seed in b and math.isfinite(a[seed]) and math.isfinite(b[seed])]
    if len(shared) >= MIN_SEEDS:
        return estimate([a[seed] - b[seed] for seed in shared])
    x, y = _numbers(a), _numbers(b)
    if not len(x) or not len(y):
        return NOTHING
    mean, count = float(x.mean() - y.mean()), min(len(x), len(y))
    if count < 2:
        return Estimate(mean, None, count)
    parts = [float(v.var(ddof=1)) / len(v) for v in (x, y)]
    if not sum(parts):
        return _estimate(mean, 0.0, len(x) + len(y) - 2, count)
    freedom = sum(parts) ** 2 / sum(part**2 / (len(v) - 1) for part, v in zip(parts, (x, y), strict=True))
    return _estimate(mean, math.sqrt(sum(parts)), freedom, count)


def ratio(a: BySeed, b: BySeed) -> Estimate:
    """The geometric mean of a / b of positive numbers, by the difference of their logarithms."""
    logs = [{seed: math.log(value) for seed, value in one.items() if value and value > 0} for one in (a, b)]
    found = difference(*logs)
    if found.interval is None:
        return Estimate(math.exp(found.mean) if found.count else math.nan, None, found.count)
    low, high = map(math.exp, found.interval)
    return Ratio(math.exp(found.mean), (low, high), found.count, found.error, found.freedom)


@dataclass(frozen=True)
class Ratio(Estimate):
    """An estimate whose error is that of its logarithm."""

    def p_value(self, bound: float) -> float:
        """See `Estimate.p_value`."""
        return Estimate(math.log(self.mean), self.interval, self.count, self.error, self.freedom).p_value(
            math.log(bound)
        )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979): those of one family of tests, in their order. NaN (not tested) stays."""
    tested = sorted((p, k) for k, p in enumerate(p_values) if math.isfinite(p))
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for place, (p, k) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - place)))
        adjusted[k] = largest
    return adjusted


def _numbers(values: Sequence[float] | BySeed) -> np.ndarray:
    numbers = np.array(list(values.values() if isinstance(values, Mapping) else values), np.float64)
    return numbers[np.isfinite(numbers)]
