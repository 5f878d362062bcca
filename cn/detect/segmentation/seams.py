"""The edges of a colored segmentation map, where a brush, an interpolation or JPEG has blended two colors."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.detect.segmentation.unknown_colors import distance_to_segment

UNMATCHED = 254
"""The label of pixels whose color matches none."""

MAX_DISTANCE = 8.0
"""Unmatched pixels take the label of an area at most this many pixels away: JPEG's blocks are 8 pixels wide."""

_NEAR, _FAR = (1, 2, 3), (5, 8)
"""How far from an edge areas are looked for, in pixels: in eight directions, and farther where near by are none."""

_BLEND = 12.0
"""A color so near to a mixture of the colors of two areas beside it is that mixture, not a class of its own."""

_FRINGE = 30.0
"""A color so near to that of an area beside it is that of its fringe."""

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def find_areas(image: NDArray[np.uint8], labels: Labels, difference: int) -> Mask:
    """(h, w): whether a pixel is in a 3×3 square of one label, whose colors differ by at most `difference` levels."""
    kernel = np.ones((3, 3), np.uint8)
    one_label = np.asarray(cv2.dilate(labels, kernel)) == np.asarray(cv2.erode(labels, kernel))
    differences = np.asarray(cv2.dilate(image, kernel)) - np.asarray(cv2.erode(image, kernel))
    centers = one_label & (labels != UNMATCHED) & (differences <= difference).all(axis=-1)
    return np.asarray(cv2.dilate(centers.astype(np.uint8), kernel), bool)


def closed(image: NDArray[np.uint8], labels: Labels, colors: NDArray[np.float32], areas: Mask, keep: Mask) -> Labels:
    """The labels (h, w) of a map (h, w, 3), with those of the pixels along edges replaced by those of areas beside.

    `colors` (256, 3) are those of the labels, `areas` (h, w) what covers 3×3 pixels (`find_areas`). A pixel outside of
    all areas takes the label beside it whose color is nearest if it has none itself (`UNMATCHED`), or if its color
    mixes those of two areas beside it. So a thin line of a class stays, and no third class appears between two others.
    Pixels that are not `keep` (h, w) and belong to no area beside them have no label either: chance made their colors.
    `UNMATCHED` remains where there is no area within `MAX_DISTANCE`.
    """
    beside = _Beside(image, labels, colors, areas, ~areas)
    own, best = labels[~areas], beside.best
    wanting = (own == UNMATCHED) | ~(keep[~areas] | beside.has(own))
    doubtful = np.flatnonzero(~wanting & (own != best))
    wanting[doubtful] = beside.mixes_two(doubtful) & ~beside.has(own)[doubtful]
    result = labels.copy()
    result[~areas] = np.where(wanting, best, own)
    return _spread(result, areas)


def explained(image: NDArray[np.uint8], labels: Labels, colors: NDArray[np.float32], areas: Mask, wanted: Mask) -> Mask:
    """(h, w): whether a pixel of `wanted` (h, w) is like an area beside it, or mixes the colors of two."""
    beside = _Beside(image, labels, colors, areas, wanted)
    result = np.zeros(labels.shape, bool)
    result[wanted] = beside.mixes_two(np.arange(len(beside.best))) | (beside.squared <= _FRINGE**2)
    return result


class _Beside:
    """The areas beside the pixels `wanted` of a map; one value for each of these pixels (n,)."""

    def __init__(
        self, image: NDArray[np.uint8], labels: Labels, colors: NDArray[np.float32], areas: Mask, wanted: Mask
    ):
        margin = max(_FAR)
        self._sure = np.pad(np.where(areas, labels, np.uint8(UNMATCHED)), margin, constant_values=UNMATCHED)
        rows, columns = np.nonzero(wanted)
        self._rows, self._columns = rows + margin, columns + margin
        self._pixels = image[wanted].astype(np.float32)
        self._colors = colors
        self.best: Labels = np.full(len(rows), UNMATCHED, np.uint8)
        """The label beside the pixel whose color is nearest; `UNMATCHED` where there is none."""
        self.squared = np.full(len(rows), np.inf, np.float32)
        """The square of the distance of that color."""
        everything = np.arange(len(rows))
        self._find_best(everything, _NEAR)
        self._find_best(np.flatnonzero(self.best == UNMATCHED), _FAR)

    def has(self, label: Labels) -> Mask:
        """(n,): whether a label (n,) is beside the pixel."""
        found = np.zeros(len(self.best), bool)
        for there in self._around(np.arange(len(label)), _NEAR):
            found |= there == label
        return found

    def mixes_two(self, some: NDArray[np.intp]) -> Mask:
        """Whether the colors of some of the pixels (m,) mix that of `best` and of another label beside them."""
        mixed = np.zeros(len(some), bool)
        best, pixels = self.best[some], self._pixels[some]
        for there in self._around(some, _NEAR + _FAR):
            other = np.flatnonzero((there != best) & (there != UNMATCHED) & (best != UNMATCHED) & ~mixed)
            gap = distance_to_segment(pixels[other], self._colors[best[other]], self._colors[there[other]])
            mixed[other] = gap <= _BLEND
        return mixed

    def _find_best(self, some: NDArray[np.intp], distances: tuple[int, ...]) -> None:
        pixels, best, least = self._pixels[some], self.best[some], self.squared[some]
        for there in self._around(some, distances):
            squared = ((pixels - self._colors[there]) ** 2).sum(axis=1)
            better = (squared < least) & (there != UNMATCHED)
            best[better], least[better] = there[better], squared[better]
        self.best[some], self.squared[some] = best, least

    def _around(self, some: NDArray[np.intp], distances: tuple[int, ...]) -> Iterator[Labels]:
        rows, columns = self._rows[some], self._columns[some]
        for distance in distances:
            for y, x in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
                yield self._sure[rows + y * distance, columns + x * distance]


def _spread(labels: Labels, areas: Mask) -> Labels:
    """Pixels without a label with that of the nearest area, or in maps without areas pixel, up to `MAX_DISTANCE`."""
    unmatched = labels == UNMATCHED
    sources = areas if areas.any() else ~unmatched
    if not unmatched.any() or not sources.any():
        return labels
    distance, nearest = cv2.distanceTransformWithLabels(
        (~sources).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the pixels of the sources, and gives for each pixel the number of the nearest.
    label_of_number = np.zeros(int(nearest.max()) + 1, np.uint8)
    label_of_number[nearest[sources]] = labels[sources]
    return np.where(unmatched & (distance <= MAX_DISTANCE), label_of_number[nearest], labels)
