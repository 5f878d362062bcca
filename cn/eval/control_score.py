"""The control score: how well images follow the Canny maps they were sampled with.

F1(C, P) is the edge agreement between a given map C and the Canny map of an image P, with a tolerance of 2 pixels.
Over a set of conditions C_i with samples S_i and autoencoder reconstructions R_i of the true images,

    score = (mean F1(C_i, S_i) - mean F1(C_i, S_d(i))) / (mean F1(C_i, R_i) - mean F1(C_i, S_d(i)))

where d is a derangement: a permutation that pairs no sample with its own condition. 0: the condition is ignored; 1: it
is followed as well as the autoencoder allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.detect.lines.canny import canny
from cn.eval.measures.edges import edge_f1

Image = NDArray[np.uint8]


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
