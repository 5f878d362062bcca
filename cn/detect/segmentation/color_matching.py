"""From colored segmentation maps back to class ids, even after they were saved as JPEG or resized."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.detect.segmentation.palettes import NONE, Palette

TOLERANCE = 10.0
"""The largest distance of a color from a palette's (Euclidean, in 8-bit levels): what JPEG makes of flat colors."""

MAX_DISTANCE = 8.0
"""Unmatched pixels take the id of a matched one at most this many pixels away: JPEG's blocks are 8 pixels wide."""

_UNMATCHED = 254
"""Marks pixels whose color matches none, until they take the id of a pixel nearby."""

_CHUNK = 1 << 16


@dataclass(frozen=True)
class ColorMatch:
    """The result of `ids_from_colors`."""

    ids: NDArray[np.uint8]
    """(h, w): class ids, `NONE` where there is no class."""
    matched: float
    """The fraction 0..1 of non-black pixels whose color is within the tolerance: low for other images."""


def ids_from_colors(image: NDArray[np.uint8], palette: Palette, tolerance: float = TOLERANCE) -> ColorMatch:
    """The class ids of a map (h, w, 3) RGB in the colors of `palette`.

    A pixel takes the nearest color of the palette. Where none is within `tolerance`, as along edges that JPEG or an
    interpolation has blurred, it takes the id of the nearest pixel that has one, or `NONE` if that is farther away
    than `MAX_DISTANCE`. Of classes that share a color the first one counts, and the void color is always `NONE`;
    `Palette.ambiguous` lists those.
    """
    codes = (image[..., 0].astype(np.int32) << 16) | (image[..., 1].astype(np.int32) << 8) | image[..., 2]
    found = _id_table(codes, palette, tolerance)[codes]
    unmatched = found == _UNMATCHED
    # Black pixels are not counted: maps of other kinds are mostly black.
    lit = np.count_nonzero((image > tolerance).any(axis=-1) | unmatched)
    share = 1 - np.count_nonzero(unmatched) / lit if lit else 1.0
    if unmatched.any():
        found = np.full_like(found, NONE) if unmatched.all() else _filled(found, unmatched)
    return ColorMatch(found, share)


def _id_table(codes: NDArray[np.int32], palette: Palette, tolerance: float) -> NDArray[np.uint8]:
    """The id of each of the 2²⁴ colors (2²⁴,), computed only for those that occur, which are few even in a JPEG."""
    occurs = np.zeros(1 << 24, bool)
    occurs[codes] = True
    used = np.flatnonzero(occurs)
    colors = np.vstack([np.array([palette.void], np.uint8), palette.colors]).astype(np.int32)
    # The void color comes first, so that it wins over a class of the same color.
    ids = np.array([NONE, *range(len(palette.entries))], np.uint8)
    table = np.full(1 << 24, _UNMATCHED, np.uint8)
    for start in range(0, len(used), _CHUNK):
        some = used[start : start + _CHUNK]
        parts = np.stack([some >> 16, some >> 8 & 255, some & 255], axis=1).astype(np.int32)
        # |a - b|² without the three products of each pair; whole numbers, so that equal distances are equal.
        squared = (parts**2).sum(axis=1)[:, None] - 2 * (parts @ colors.T) + (colors**2).sum(axis=1)
        nearest = squared.argmin(axis=1)
        near = squared[np.arange(len(some)), nearest] <= tolerance**2
        table[some] = np.where(near, ids[nearest], _UNMATCHED)
    return table


def _filled(ids: NDArray[np.uint8], unmatched: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The ids with each unmatched pixel's replaced by that of the nearest matched one, which there must be."""
    import cv2

    distance, nearest = cv2.distanceTransformWithLabels(
        unmatched.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the matched pixels, and gives for each pixel the number of the nearest.
    id_of_number = np.zeros(int(nearest.max()) + 1, np.uint8)
    id_of_number[nearest[~unmatched]] = ids[~unmatched]
    return np.where(unmatched & (distance > MAX_DISTANCE), np.uint8(NONE), id_of_number[nearest])
