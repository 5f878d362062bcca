"""Which depth is white and which is black in a map of measured depth, where some of it may be wrong."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.detect.surfaces.measured_depth import Depth
from cn.errors import InputError

GAP = 0.5
"""Outliers are farther from the others' range than this fraction of it."""


@dataclass(frozen=True)
class Scale:
    """The range of a map, in terms of "nearness": 1/distance, disparity, mist with its sign changed, or near-white."""

    nearness: NDArray[np.float64]
    """(h, w); `low` where unknown or background."""
    low: float
    """What is black."""
    high: float
    """What is white."""

    def levels(self) -> NDArray[np.uint8]:
        """The map, uint8 (h, w): truncated, as the released detector does; all 0 for constant depth."""
        width = self.high - self.low
        if not width > 0:
            return np.zeros(self.nearness.shape, np.uint8)
        unit = self.nearness - self.low
        unit /= width
        np.clip(unit, 0, 1, out=unit)
        unit *= 255
        # The offset keeps exact levels from falling to the next lower one through rounding of the product.
        unit += 1e-9
        # Truncates.
        return unit.astype(np.uint8)


def scale(depth: Depth, near: float | None = None, far: float | None = None, clip: float = 0.0) -> Scale:
    """The range of a map: from `far` to `near`, in the file's unit; None is the range of what is known.

    Without limits, up to the fraction `clip` of the known pixels at either end does not count if it lies outside of the
    others' range by more than half of that (`GAP`): flying pixels, wrong matches. Small objects are never so far apart,
    or are larger. As distance and disparity, pixels that are not known count as infinitely far; in other depth they do
    not count. Raises InputError where `near` is not nearer than `far`.
    """
    nearness = _nearness(depth)
    complete = bool(depth.known.all())
    known = nearness.ravel() if complete else nearness[depth.known]
    if not known.size:
        return Scale(np.zeros_like(nearness), 0.0, 0.0)
    low, high = _limits(known, clip)
    if depth.kind in ("distance", "disparity") and not complete:
        low = 0.0
    if near is not None:
        high = _of(depth.kind, near)
    if far is not None:
        low = _of(depth.kind, far)
    if near is not None and far is not None and not high > low:
        larger = "smaller" if depth.kind in ("distance", "mist") else "larger"
        raise InputError(f"as {depth.kind}, --near must be {larger} than --far, but they are {near:g} and {far:g}")
    return Scale(nearness if complete else np.where(depth.known, nearness, low), low, high)


def value(kind: str, nearness: float) -> float | None:
    """In the file's unit; None for an infinite distance."""
    if kind == "distance":
        return None if nearness <= 0 else 1 / nearness
    return 0.0 - nearness if kind == "mist" else nearness


def _nearness(depth: Depth) -> NDArray[np.float64]:
    """What grows with nearness, and linearly from black to white; 0 where unknown."""
    if depth.kind == "distance":
        return np.divide(1.0, depth.values, out=np.zeros_like(depth.values), where=depth.known)
    return np.where(depth.known, -depth.values if depth.kind == "mist" else depth.values, 0.0)


def _of(kind: str, value: float) -> float:
    if kind == "distance":
        if not value > 0:
            raise InputError(f"a distance of {value:g} has no place in a depth map; --near and --far must be above 0")
        return 1 / value
    return -value if kind == "mist" else value


def _limits(known: NDArray[np.float64], clip: float) -> tuple[float, float]:
    """The smallest and the largest value that is no outlier."""
    lowest, highest = float(known.min()), float(known.max())
    number = min(math.ceil(clip * known.size), (known.size - 1) // 2)
    quarter = (highest - lowest) / 4
    ends = (np.count_nonzero(known <= lowest + quarter), np.count_nonzero(known >= highest - quarter))
    if number < 1 or min(ends) > number:
        # Also what is the top without `number` pixels is then in the last quarter of the range, so nothing is far off.
        return lowest, highest
    inner = np.partition(known, (number, known.size - 1 - number))
    bottom, top = float(inner[number]), float(inner[known.size - 1 - number])
    margin = GAP * (top - bottom)
    if not margin > 0:
        return lowest, highest
    if highest > top + margin:
        highest = float(known[known <= top + margin].max())
    if lowest < bottom - margin:
        lowest = float(known[known >= bottom - margin].min())
    return lowest, highest
