"""The control score: how well images follow the Canny maps they were sampled with.

F1(C, P) is the edge agreement between a given map C and the Canny map of an image P, with a tolerance of 2 pixels.
Over a set of conditions C_i with samples S_i and autoencoder reconstructions R_i of the true images,

    score = (mean F1(C_i, S_i) - mean F1(C_i, S_d(i))) / (mean F1(C_i, R_i) - mean F1(C_i, S_d(i)))

where d is a derangement: a permutation that pairs no sample with its own condition. 0: the condition is ignored; 1: it
is followed as well as the autoencoder allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.detect.lines.canny import canny

TOLERANCE = 2.0
"""Pixels (Euclidean): edges no farther apart agree."""

Image = NDArray[np.uint8]


def edge_mask(edges: Image) -> NDArray[np.bool_]:
    """An edge map (h, w) or (h, w, 3), white on black → where its edges are, (h, w)."""
    return (edges if edges.ndim == 2 else edges.max(axis=2)) > 127


def _share_near(points: NDArray[np.bool_], edges: NDArray[np.bool_], tolerance: float) -> float:
    """The share of `points` with a pixel of `edges` within `tolerance`; 1 where there are no points."""
    if not points.any():
        return 1.0
    if not edges.any():
        return 0.0
    distance = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distance[points] <= tolerance).mean())


def edge_f1(given: Image, found: Image, tolerance: float = TOLERANCE) -> float:
    """F1 of two edge maps (h, w[, 3]) of one size, 0 … 1.

    Precision is the share of found edge pixels within `tolerance` pixels of a given one, recall the share of given ones
    near a found one. Two empty maps agree (1); one empty map agrees with nothing (0).
    Raises ValueError when the sizes differ.
    """
    if given.shape[:2] != found.shape[:2]:
        raise ValueError(f"edge maps of {given.shape[:2]} and {found.shape[:2]} cannot be compared")
    a, b = edge_mask(given), edge_mask(found)
    if not a.any() or not b.any():
        return 1.0 if a.any() == b.any() else 0.0
    precision, recall = _share_near(b, a, tolerance), _share_near(a, b, tolerance)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


@dataclass(frozen=True)
class ControlScore:
    """The three mean F1 values over `count` images, and their score."""

    samples: float
    mismatched: float
    reconstructions: float
    count: int

    @property
    def score(self) -> float:
        """See the module's formula. NaN when reconstructions agree no better than mismatched pairs do."""
        span = self.reconstructions - self.mismatched
        return (self.samples - self.mismatched) / span if span > 0 else float("nan")


def derangement(count: int) -> list[int]:
    """Each index → the next, the last → the first: no index stays in place. Needs at least 2."""
    if count < 2:
        raise ValueError(f"a control score needs at least 2 images, not {count}")
    return [(i + 1) % count for i in range(count)]


def control_score(
    conditions: Sequence[Image], samples: Sequence[Image], reconstructions: Sequence[Image]
) -> ControlScore:
    """The control score of `samples`, sampled with the Canny maps `conditions`.

    All are uint8 of one size: conditions (h, w[, 3]) white on black; samples and reconstructions (h, w, 3) RGB, whose
    edges are found here with the Canny detector's default thresholds. Raises ValueError for sets of unequal length.
    """
    if not len(conditions) == len(samples) == len(reconstructions):
        raise ValueError("conditions, samples and reconstructions must be equal in number")
    partner = derangement(len(conditions))
    edges = [canny(image) for image in samples]
    return ControlScore(
        samples=float(np.mean([edge_f1(c, e) for c, e in zip(conditions, edges, strict=True)])),
        mismatched=float(np.mean([edge_f1(c, edges[j]) for c, j in zip(conditions, partner, strict=True)])),
        reconstructions=float(
            np.mean([edge_f1(c, canny(p)) for c, p in zip(conditions, reconstructions, strict=True)])
        ),
        count=len(conditions),
    )
