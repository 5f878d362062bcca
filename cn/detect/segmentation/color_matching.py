"""From colored segmentation maps back to class ids, even after they were edited, saved as JPEG or resized.

Three steps: each color is looked up in the palette, areas of other colors are found and named (`unknown_colors`), and
pixels that are neither, along the edges of areas, take the id of an area beside them (`seams`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.detect.segmentation import seams, unknown_colors
from cn.detect.segmentation.palettes import NONE, Palette
from cn.detect.segmentation.seams import UNMATCHED
from cn.detect.segmentation.unknown_colors import FLAT, MAX_COLORS, Area, UnknownColor

TOLERANCE = 10.0
"""The largest distance of a color from a palette's (Euclidean, in 8-bit levels): what JPEG makes of flat colors."""

MIN_MATCHED = 0.5
"""An image is no map of a palette if less than this fraction of its non-black pixels has one of its colors."""

_FIRST_UNKNOWN = 180
"""Labels from here on stand for colors that are not in the palette; no palette has so many classes."""

_LOSSLESS_SHARE = 0.9
"""A map was never compressed with loss, if more of its matched pixels have exactly a color of the palette."""

_CHUNK = 1 << 16


@dataclass(frozen=True)
class ColorMatch:
    """The result of `ids_from_colors`."""

    ids: NDArray[np.uint8]
    """(h, w): class ids, `NONE` where there is no class."""
    matched: float
    """The fraction 0..1 of non-black pixels whose color is within the tolerance: low for other images."""
    unknown: tuple[UnknownColor, ...] = ()
    """Colors of areas that are not in the palette, the largest first."""
    flat: float = 1.0
    """The fraction 0..1 of non-black pixels in a color of the palette or in one of `unknown`."""
    scattered: float = 0.0
    """The fraction 0..1 of all pixels with other colors, which neither form areas nor are near one."""


def ids_from_colors(
    image: NDArray[np.uint8], palette: Palette, tolerance: float = TOLERANCE, nearest: bool = False
) -> ColorMatch:
    """The class ids of a map (h, w, 3) RGB in the colors of `palette`.

    A pixel has the class whose color is nearest, if that is within `tolerance`. An area of another color has no class;
    with `nearest` it takes the class with the nearest color at any distance. Pixels along edges, which a soft brush,
    an interpolation or JPEG have blended, take the class of an area beside them, never a third one whose color the
    blend resembles. Of classes that share a color the first one counts, and the void color is always `NONE`;
    `Palette.ambiguous` lists those.
    """
    codes = (image[..., 0].astype(np.int32) << 16) | (image[..., 1].astype(np.int32) << 8) | image[..., 2]
    used = _used(codes)
    ids, squared = _nearest(used, palette)
    if not squared.any():
        return ColorMatch(_looked_up(codes, used, ids), 1.0)
    found = _looked_up(codes, used, np.where(squared <= tolerance**2, ids, UNMATCHED).astype(np.uint8))
    unmatched = found == UNMATCHED
    # Black pixels are not counted: maps of other kinds are mostly black.
    lit = max(int(np.count_nonzero((image > tolerance).any(axis=-1) | unmatched)), 1)
    matched = 1 - int(np.count_nonzero(unmatched)) / lit
    if matched < MIN_MATCHED and not nearest:
        return ColorMatch(np.where(unmatched, np.uint8(NONE), found), matched, flat=matched)
    exact = _looked_up(codes, used, (squared == 0).astype(np.uint8)).astype(bool)
    lossless = int(np.count_nonzero(exact)) > _LOSSLESS_SHARE * max(int(np.count_nonzero(~unmatched)), 1)

    colors = np.zeros((256, 3), np.float32)
    colors[: len(palette.entries)], colors[NONE] = palette.colors, palette.void
    areas = seams.find_areas(image, found, 0 if lossless else FLAT)
    strange = unknown_colors.candidates(image, codes, unmatched, lossless)
    strange &= ~seams.explained(image, found, colors, areas, strange)
    present = colors[np.setdiff1d(found, [UNMATCHED])]
    others = unknown_colors.find(image, codes, strange, present if lossless else None)
    labels = found.copy()
    for number, other in enumerate(others):
        labels[other.mask] = _FIRST_UNKNOWN + number
        colors[_FIRST_UNKNOWN + number] = other.color
    if others:
        areas = seams.find_areas(image, labels, FLAT) & (areas | (labels >= _FIRST_UNKNOWN))
    labels = seams.closed(image, labels, colors, areas, (exact & lossless) | (labels >= _FIRST_UNKNOWN))
    meaning, named = _named(others, labels, palette, nearest)
    stray = np.count_nonzero(unmatched) - sum(np.count_nonzero(other.mask) for other in others)
    scattered = np.count_nonzero(labels == UNMATCHED) / labels.size
    return ColorMatch(meaning[labels], matched, named, 1 - stray / lit, scattered)


def _named(
    others: list[Area], labels: NDArray[np.uint8], palette: Palette, nearest: bool
) -> tuple[NDArray[np.uint8], tuple[UnknownColor, ...]]:
    """The id (256,) that each label means, and the colors that are not in the palette, the largest first."""
    meaning = np.arange(256, dtype=np.uint8)
    meaning[UNMATCHED] = NONE
    shares = np.bincount(labels.ravel(), minlength=256) / labels.size
    codes = np.array([red << 16 | green << 8 | blue for (red, green, blue), _ in others], np.int32)
    named = []
    for label, (other, id_, squared) in enumerate(zip(others, *_nearest(codes, palette), strict=True), _FIRST_UNKNOWN):
        meaning[label] = id_ if nearest else NONE
        named.append(UnknownColor(other.color, float(shares[label]), int(id_), float(np.sqrt(squared))))
    return meaning, tuple(sorted(named, key=lambda color: -color.share))


def _used(codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """The colors that occur, ascending: few, even in a JPEG."""
    occurs = np.zeros(1 << 24, bool)
    occurs[codes] = True
    return np.flatnonzero(occurs).astype(np.int32)


def _looked_up(codes: NDArray[np.int32], used: NDArray[np.int32], values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """For each pixel the value of its color, by a table of all 2²⁴ colors."""
    table = np.zeros(1 << 24, np.uint8)
    table[used] = values
    return table[codes]


def _nearest(codes: NDArray[np.int32], palette: Palette) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The id whose color is nearest to each of the colors (n,), and the square of the distance."""
    colors = np.vstack([np.array([palette.void], np.uint8), palette.colors]).astype(np.int64)
    # The void color comes first, so that it wins over a class of the same color.
    ids = np.array([NONE, *range(len(palette.entries))], np.uint8)
    found, distances = np.zeros(len(codes), np.uint8), np.zeros(len(codes), np.int64)
    for start in range(0, len(codes), _CHUNK):
        some = codes[start : start + _CHUNK]
        parts = np.stack([some >> 16, some >> 8 & 255, some & 255], axis=1).astype(np.int64)
        # |a - b|² without the three products of each pair; whole numbers, so that equal distances are equal.
        squared = (parts**2).sum(axis=1)[:, None] - 2 * (parts @ colors.T) + (colors**2).sum(axis=1)
        nearest = squared.argmin(axis=1)
        found[start : start + _CHUNK] = ids[nearest]
        distances[start : start + _CHUNK] = squared[np.arange(len(some)), nearest]
    return found, distances


assert _FIRST_UNKNOWN + MAX_COLORS < UNMATCHED
