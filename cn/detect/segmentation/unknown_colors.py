"""Areas of a colored segmentation map whose color is not in the palette: an edit with a wrong color, a background."""

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]

MAX_COLORS = 64
"""At most so many colors are told apart; what is left has no class."""

FLAT = 12
"""In an area, the 3×3 pixels around a pixel differ by at most this, in levels of a channel; across edges by more."""

_SIMILAR = 20
"""Colors of areas that differ by less, in levels of each channel, are one color that JPEG or a brush has varied."""

_MIN_PIXELS, _MIN_SHARE = 9, 0.001
"""The smallest area: 3×3 pixels; after compression with loss, which varies colors, this fraction of the image."""

_MAX_REPEATED, _MAX_PRESENT = 256, 32
"""Of thin lines the most frequent colors are looked at, and blends of so many colors of the palette."""

_BLEND = 8
"""A color that is so near to a mixture of two others is taken for one."""


@dataclass(frozen=True)
class UnknownColor:
    """A color that is not in the palette."""

    color: Color
    share: float
    """The fraction 0..1 of the image that has it."""
    nearest: int
    """The id of the class with the nearest color; 255 for the void color."""
    distance: float
    """Of that color (Euclidean, in 8-bit levels)."""

    @property
    def hex(self) -> str:
        return "#{:02x}{:02x}{:02x}".format(*self.color)


class Area(NamedTuple):
    """The pixels of one unknown color."""

    color: Color
    mask: NDArray[np.bool_]
    """(h, w)."""


def candidates(
    image: NDArray[np.uint8], codes: NDArray[np.int32], unmatched: NDArray[np.bool_], lossless: bool
) -> NDArray[np.bool_]:
    """(h, w): which pixels of a map (h, w, 3) RGB without a color of the palette may belong to an area.

    `codes` are the colors as 0xRRGGBB. In a map that was never compressed with loss, also thin lines of one exact color
    are areas.
    """
    chosen = unmatched & _is_flat(image)
    return chosen | (unmatched & np.isin(codes, _repeated(codes[unmatched & ~chosen]))) if lossless else chosen


def find(
    image: NDArray[np.uint8], codes: NDArray[np.int32], strange: NDArray[np.bool_], present: NDArray[np.float32] | None
) -> list[Area]:
    """The areas of unknown colors: of the `candidates`, those that are not explained by areas beside them.

    `present` (n, 3) are the palette's colors that occur, in a lossless map: there a thin line is no area if its color
    is a blend of two of those. Similar colors are one, named after the most frequent.
    """
    flat = strange & _is_flat(image)
    areas = _grouped(codes, flat, _MIN_PIXELS if present is not None else max(_MIN_PIXELS, _MIN_SHARE * codes.size))
    if present is not None:
        often = _repeated(codes[strange & ~flat])
        blended = np.zeros(len(often), bool)
        shown = np.vstack([present, np.reshape([area.color for area in areas], (-1, 3))])
        for start, end in combinations(shown[:_MAX_PRESENT], 2):
            blended |= distance_to_segment(_channels(often), start, end) <= _BLEND
        areas += _grouped(codes, strange & ~flat & np.isin(codes, often[~blended]), _MIN_PIXELS)
    return areas[:MAX_COLORS]


def _grouped(codes: NDArray[np.int32], mask: NDArray[np.bool_], least: float) -> list[Area]:
    """The pixels of `mask` by color, in groups of similar ones with at least `least` pixels."""
    areas: list[Area] = []
    colors, counts = np.unique(codes[mask], return_counts=True)
    parts = _channels(colors)
    left = np.ones(len(colors), bool)
    while left.any() and len(areas) < MAX_COLORS:
        most = parts[np.argmax(np.where(left, counts, 0))]
        similar = left & (np.abs(parts - most) <= _SIMILAR).all(axis=1)
        left &= ~similar
        if counts[similar].sum() >= least:
            red, green, blue = most.tolist()
            areas.append(Area((red, green, blue), mask & np.isin(codes, colors[similar])))
    return areas


def _is_flat(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(h, w): whether a pixel is in a 3×3 square of nearly one color."""
    kernel = np.ones((3, 3), np.uint8)
    spread = np.asarray(cv2.dilate(image, kernel)) - np.asarray(cv2.erode(image, kernel))
    centers = np.asarray((spread <= FLAT).all(axis=-1))
    return cv2.dilate(centers.astype(np.uint8), kernel).astype(bool)


def _repeated(codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """The most frequent of the colors (n,), as far as they have enough pixels for an area."""
    colors, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MAX_REPEATED]
    return np.asarray(colors[order][counts[order] >= _MIN_PIXELS])


def distance_to_segment(
    points: NDArray[np.floating | np.integer], start: NDArray[np.floating], end: NDArray[np.floating]
) -> NDArray[np.floating]:
    """The distance (…) of each color (…, 3) from the blends of two others, each (3,) or (…, 3)."""
    along = end - start
    length = np.maximum((along**2).sum(axis=-1), 1e-9)
    share = np.clip(((points - start) * along).sum(axis=-1) / length, 0, 1)
    gap = points - start - share[..., None] * along
    return np.asarray(np.sqrt((gap**2).sum(axis=-1)))


def _channels(codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """(n, 3) of colors (n,) as 0xRRGGBB."""
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
