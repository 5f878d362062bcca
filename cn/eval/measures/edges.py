"""Edge F1 (`canny`, `hed`, `scribble`, `lineart`) and line recall (`hough`), both with a tolerance of 2 pixels.

F1 of two sets of edge pixels with a tolerance is the measure of edge detection (Martin, Fowlkes and Malik 2004, the
Berkeley benchmark); ControlNet++ (Li et al. 2024) measures Canny controls by F1. Own code, because the benchmark's
one-to-one matching of pixels is slow and is made for several human annotators.
"""

from collections.abc import Mapping
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.eval.measures.comparison import Comparison, Map, Measure, check_sizes

TOLERANCE = 2.0
"""Pixels (Euclidean): edges no farther apart agree."""

WHITE = 128
"""The level from which on a pixel of a map belongs to a line."""

Mask = NDArray[np.bool_]


def edge_mask(edges: Map) -> Mask:
    """An edge map (h, w) or (h, w, 3), white on black → where its edges are, (h, w)."""
    return (edges if edges.ndim == 2 else edges.max(axis=2)) >= WHITE


def _share_near(points: Mask, edges: Mask, tolerance: float) -> float:
    """The share of `points` with a pixel of `edges` within `tolerance`; 1 where there are no points."""
    if not points.any():
        return 1.0
    if not edges.any():
        return 0.0
    distance = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distance[points] <= tolerance).mean())


def edge_f1(given: Map, found: Map, tolerance: float = TOLERANCE) -> float:
    """F1 of two edge maps (h, w[, 3]) of one size, 0 … 1.

    Precision is the share of found edge pixels within `tolerance` pixels of a given one, recall the share of given ones
    near a found one. Two empty maps agree (1); one empty map agrees with nothing (0).
    Raises ValueError when the sizes differ.
    """
    return _f1(edge_mask(given), edge_mask(found), tolerance)


def _f1(given: Mask, found: Mask, tolerance: float = TOLERANCE) -> float:
    check_sizes(given, found)
    if not given.any() or not found.any():
        return 1.0 if given.any() == found.any() else 0.0
    precision, recall = _share_near(found, given, tolerance), _share_near(given, found, tolerance)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def thin(mask: Mask) -> Mask:
    """Lines of any width (h, w) → lines one pixel wide, connected as before, by Guo and Hall 1989 (algorithm A1).

    Own code: OpenCV has it in its contrib modules only, and scikit-image is no dependency.
    """
    lines = np.pad(mask, 1)
    while True:
        removed = 0
        for first in (True, False):
            # The eight neighbors, clockwise from the north.
            n, ne, e, se = lines[:-2, 1:-1], lines[:-2, 2:], lines[1:-1, 2:], lines[2:, 2:]
            s, sw, w, nw = lines[2:, 1:-1], lines[2:, :-2], lines[1:-1, :-2], lines[:-2, :-2]
            parts = _count(~n & (ne | e), ~e & (se | s), ~s & (sw | w), ~w & (nw | n))
            ends = np.minimum(_count(nw | n, ne | e, se | s, sw | w), _count(n | ne, e | se, s | sw, w | nw))
            kept = ((s | sw | ~nw) & w) if first else ((n | ne | ~se) & e)
            gone = lines[1:-1, 1:-1] & (parts == 1) & (ends >= 2) & (ends <= 3) & ~kept
            removed += int(np.count_nonzero(gone))
            lines[1:-1, 1:-1] &= ~gone
        if not removed:
            return lines[1:-1, 1:-1]


def _count(*masks: Mask) -> NDArray[np.uint8]:
    """How many of the masks are true, pixel by pixel."""
    return np.sum(masks, axis=0, dtype=np.uint8)


class EdgeF1(Comparison):
    """`canny`: `edge_f1` of the map and the edges that are found."""

    measure: ClassVar[Measure] = Measure(
        "edge F1", "higher", about="agreement of the edges of the map and of the image, with a tolerance of 2 pixels"
    )
    parameters: ClassVar[Mapping[str, float]] = {"tolerance": TOLERANCE}

    def given(self, condition: Map) -> Mask:
        return edge_mask(condition)

    def score(self, given: Mask, found: Mask) -> float:
        return _f1(given, found)


class ImageEdgeF1(EdgeF1):
    """Every kind: `edge_f1` of the edges of the true image and of those that are found."""

    measure: ClassVar[Measure] = Measure(
        "edge F1 with the image",
        "higher",
        about="agreement of the edges of the true image and of the sample, with a tolerance of 2 pixels",
    )


class LineF1(EdgeF1):
    """`hed`, `scribble`, `lineart`: F1 of the center lines of the map and of what is found.

    Both maps are thresholded at half of white and thinned to a width of one pixel (`thin`), since the pixels of wide
    strokes would agree even where the strokes are beside each other. Then it is `edge_f1`. A map that is mostly white
    is a drawing of dark lines, and is inverted first.
    """

    measure: ClassVar[Measure] = Measure(
        "line F1",
        "higher",
        about="agreement of the center lines of the map and of the image's lines, with a tolerance of 2 pixels",
    )

    def given(self, condition: Map) -> Mask:
        dark_lines = np.median(condition) >= WHITE
        return thin(edge_mask(255 - condition if dark_lines else condition))


class LineRecall(Comparison):
    """`hough`: the share of the map's line pixels with a pixel of a found line within 2 pixels, 0 … 1.

    The pixel-wise recall of wireframe parsing (Huang et al. 2018). Precision is left out: a map holds the longest or
    the surest lines only, and an image that follows it may have more. NaN for a map without lines.
    """

    measure: ClassVar[Measure] = Measure(
        "line recall", "higher", about="share of the map's lines that are found again within 2 pixels"
    )
    parameters: ClassVar[Mapping[str, float]] = {"tolerance": TOLERANCE}

    def given(self, condition: Map) -> Mask:
        return edge_mask(condition)

    def score(self, given: Mask, found: Mask) -> float:
        check_sizes(given, found)
        return _share_near(given, found, TOLERANCE) if given.any() else float("nan")
