"""From painted segmentation maps back to class ids, even after they were saved as JPEG or resized."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.detect.segmentation.palettes import NONE, Palette

TOLERANCE = 10.0
"""How far a color may be from a palette's (Euclidean, in levels of 8 bits): what JPEG makes of flat colors."""

REACH = 8.0
"""Pixels without a color of the palette get the id of what is at most so far away: JPEG's blocks are 8 pixels wide."""

_UNSURE = 254
"""Stands for a color that is nobody's, until its place gets the id of what is near it."""

_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Snapped:
    """What `ids_from_colors` has read."""

    ids: NDArray[np.uint8]
    """(h, w): class ids, `NONE` where there is no class."""
    sure: float
    """The share 0..1 of what is not black whose color is within the tolerance: low for what is no map of these."""


def ids_from_colors(image: NDArray[np.uint8], palette: Palette, tolerance: float = TOLERANCE) -> Snapped:
    """The class ids of a map (h, w, 3) RGB that was painted with `palette`.

    A pixel takes the nearest color of the palette. Where none is within `tolerance`, as along edges that JPEG or an
    interpolation has blurred, it takes the id of the nearest pixel that has one, or `NONE` where that is farther away
    than `REACH`. Of classes that share a color the
    first is meant, but what is as black as no class is `NONE`; `Palette.ambiguous` says which those are.
    """
    codes = (image[..., 0].astype(np.int32) << 16) | (image[..., 1].astype(np.int32) << 8) | image[..., 2]
    found = _meaning(codes, palette, tolerance)[codes]
    unsure = found == _UNSURE
    # What is black says nothing: maps of other kinds are mostly black.
    lit = np.count_nonzero((image > tolerance).any(axis=-1) | unsure)
    share = 1 - np.count_nonzero(unsure) / lit if lit else 1.0
    if unsure.any():
        found = np.full_like(found, NONE) if unsure.all() else _filled(found, unsure)
    return Snapped(found, share)


def _meaning(codes: NDArray[np.int32], palette: Palette, tolerance: float) -> NDArray[np.uint8]:
    """A table of all 2²⁴ colors; filled in for those that occur only, which are few even in a JPEG."""
    occurs = np.zeros(1 << 24, bool)
    occurs[codes] = True
    used = np.flatnonzero(occurs)
    colors = np.vstack([np.array([palette.void], np.uint8), palette.colors]).astype(np.int32)
    # A class that has the void's color comes after it, and so is never the first of the nearest.
    ids = np.array([NONE, *range(len(palette.entries))], np.uint8)
    table = np.full(1 << 24, _UNSURE, np.uint8)
    for start in range(0, len(used), _AT_ONCE):
        some = used[start : start + _AT_ONCE]
        parts = np.stack([some >> 16, some >> 8 & 255, some & 255], axis=1).astype(np.int32)
        # |a - b|² without the three products of each pair; whole numbers, so that equal distances are equal.
        squared = (parts**2).sum(axis=1)[:, None] - 2 * (parts @ colors.T) + (colors**2).sum(axis=1)
        nearest = squared.argmin(axis=1)
        near = squared[np.arange(len(some)), nearest] <= tolerance**2
        table[some] = np.where(near, ids[nearest], _UNSURE)
    return table


def _filled(ids: NDArray[np.uint8], unsure: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Every unsure pixel with the id of the nearest sure one, if that is near; there is at least one."""
    import cv2

    distance, nearest = cv2.distanceTransformWithLabels(
        unsure.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the sure pixels, and says for each pixel the number of the nearest.
    meaning = np.zeros(int(nearest.max()) + 1, np.uint8)
    meaning[nearest[~unsure]] = ids[~unsure]
    return np.where(unsure & (distance > REACH), np.uint8(NONE), meaning[nearest])
