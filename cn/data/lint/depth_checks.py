"""What 16 bits become when a program cuts them to 8: sawteeth, noise, steps, plateaus; and a depth set's direction."""

import numpy as np
from numpy.typing import NDArray

from cn.detect.checks.statistics import share

_WRAP = 128
"""A step between neighbors from which it may be a wrap."""
_SPAN = 4
"""Pixels on either side of a wrap over which the slope is taken: shallow slopes rise less than a level a pixel."""
_NOISE = 24.0
"""The mean step between neighbors of a low byte whose levels wrap within a pixel; photographs have 10."""
_TEETH = 0.18
"""The share of large steps that continue a slope; outlines of objects do so by chance, up to an eighth of them."""
_MAX_LEVELS = 32
_MIN_LEVELS = 6
_CLIPPED = 0.4
"""The share of white from which a map may be clipped."""

GRID = 8
"""Rows and columns of `coarse`."""


def truncation(map: NDArray[np.uint8]) -> str | None:
    """What shows that a depth map (h, w, 3) was cut from 16 bits; None if nothing does."""
    gray = np.ascontiguousarray(map[..., 1]).astype(np.int16)
    if min(gray.shape) <= 2 * _SPAN + 2:
        return None
    steps = [np.abs(np.diff(gray, axis=axis)) for axis in (0, 1)]
    if float(np.mean([step.mean() for step in steps])) > _NOISE:
        return "its levels jump from pixel to pixel: it is the low byte of 16 bits"
    teeth, jumps = map_sum(_sawteeth(gray), _sawteeth(gray.T))
    if teeth >= max(min(gray.shape) // 2, _TEETH * jumps):
        return "its levels rise to white and start again at black: it is the low byte of 16 bits"
    if _is_clipped(gray):
        return "its near parts are all white, up to a smooth slope: values above 255 were clipped"
    if spacing := _spacing(gray):
        levels = len(np.unique(gray))
        return f"it has {levels} levels only, {spacing} apart: the high byte of 16 bits, stretched"
    return None


def map_sum(*pairs: tuple[int, int]) -> tuple[int, int]:
    """The sums of the first and of the second numbers."""
    return sum(first for first, _ in pairs), sum(second for _, second in pairs)


def _sawteeth(gray: NDArray[np.int16]) -> tuple[int, int]:
    """Wraps along the rows that continue a slope, and all large steps.

    Modulo 256 the step of a wrap is small and in the direction of the slope on both sides. At the outline of a near
    object the slopes, if any, have no such direction.
    """
    here, following = gray[:, _SPAN : -_SPAN - 1], gray[:, _SPAN + 1 : -_SPAN]
    step = following - here
    jump = np.abs(step) >= _WRAP
    small = (step + 128) % 256 - 128
    before, after = here - gray[:, : -2 * _SPAN - 1], gray[:, 2 * _SPAN + 1 :] - following
    tooth = jump & (small != 0)
    for slope in (before, after):
        tooth &= np.abs(slope - _SPAN * small) <= np.maximum(6, 2 * np.abs(small))
        tooth &= np.sign(slope) == np.sign(small)
    return int(np.count_nonzero(tooth)), int(np.count_nonzero(jump))


def _is_clipped(gray: NDArray[np.int16]) -> bool:
    """A large white plateau whose rim continues a slope, instead of being an object's outline."""
    import cv2

    white = gray == 255
    if share(white) < _CLIPPED or white.all():
        return False
    rim = (cv2.dilate(white.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~white
    return share(gray[rim] >= 232) > 0.3 and len(np.unique(gray)) > 8


def _spacing(gray: NDArray[np.int16]) -> int:
    """The distance of the levels of a map that has few, evenly spaced; 0 for other maps."""
    levels, counts = np.unique(gray, return_counts=True)
    levels = levels[counts >= 4]
    if not _MIN_LEVELS <= len(levels) <= _MAX_LEVELS:
        return 0
    gaps = np.diff(levels)
    # Rounded to whole levels, even gaps differ by one.
    return int(np.median(gaps)) if gaps.min() >= 4 and np.ptp(gaps % np.median(gaps)) <= 1 else 0


def coarse(map: NDArray[np.uint8]) -> bytes:
    """A map (h, w, 3) as 8 × 8 levels, for the comparison with the other maps of a set."""
    import cv2

    return bytes(cv2.resize(np.ascontiguousarray(map[..., 1]), (GRID, GRID), interpolation=cv2.INTER_AREA).tobytes())


MIN_SET = 20
"""Maps of a set from which its direction is judged."""
_DIRECTED = 12.0
"""Levels by which the upper third must be nearer than the lower one."""


class Directions:
    """Whether the depth maps of a set have near at the bottom, as nearly all photographs do."""

    def __init__(self) -> None:
        self._grids: list[bytes] = []

    def add(self, grid: bytes) -> None:
        """A map's `coarse`."""
        self._grids.append(grid)

    def inverted_share(self) -> float | None:
        """The share of maps with near above far; None for small sets."""
        if len(self._grids) < MIN_SET:
            return None
        rows = np.frombuffer(b"".join(self._grids), np.uint8).reshape(-1, GRID, GRID).mean(axis=2)
        return share(rows[:, :3].mean(axis=1) - rows[:, -3:].mean(axis=1) > _DIRECTED)

    def opposed(self) -> NDArray[np.intp]:
        """The places of the maps that are the opposite of the others, where the others agree; none in a mixed set."""
        if len(self._grids) < MIN_SET:
            return np.zeros(0, np.intp)
        maps = np.frombuffer(b"".join(self._grids), np.uint8).reshape(len(self._grids), -1).astype(np.float32)
        maps -= maps.mean(axis=1, keepdims=True)
        maps /= np.maximum(np.linalg.norm(maps, axis=1, keepdims=True), 1e-6)
        likeness = maps @ _unit(np.median(maps, axis=0))
        if float(np.quantile(likeness, 0.25)) < 0.4:
            return np.zeros(0, np.intp)
        return np.flatnonzero(likeness < -0.5)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6), np.float32)
