"""From candidates for keypoints to limbs: pairs of candidates whose line follows the part affinity field.

The published decoders loop over all pairs of candidates; here all pairs of all limbs are scored at once, with the same
results. Sources: as for `peaks`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.peaks import Peaks
from cn.detect.pose.skeleton import LIMBS
from cn.detect.pose.upsampled_maps import Fields

LINKS = (*LIMBS, (2, 16), (5, 17))
"""The pairs of joints with a part affinity field: the limbs that are drawn, and shoulder to ear."""

CHANNELS = (
    *((12, 13), (20, 21), (14, 15), (16, 17), (22, 23), (24, 25), (0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
    *((28, 29), (30, 31), (34, 35), (32, 33), (36, 37), (18, 19), (26, 27)),
)
"""The channels of x and y of each link's part affinity field."""

AFFINITY = 0.05
"""Threshold of the affinity along the limb at a point between two candidates."""

POINTS, MIN_AGREEING = 10, 0.8
"""Number of points between two candidates, and the fraction of them that must exceed the threshold."""

TRIED = (3, 6)
"""Two of the points that are checked first; if both fail, `MIN_AGREEING` cannot be reached."""

_CHUNK = 1 << 14
"""Pairs of candidates that are scored at a time."""


class Connection(NamedTuple):
    """A limb between two candidates, given by their indices."""

    start: int
    end: int
    score: float


class Pairs(NamedTuple):
    """Possible limbs: the index of the link and of both candidates, each (n,), sorted in this order."""

    link: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def find_connections(pafs: Fields, peaks: list[Peaks], agreeing_only: bool) -> list[list[Connection]]:
    """For each link its limbs, highest score first. Greedy: each candidate is used once for each link.

    `agreeing_only`: the score of a limb is the mean over the points above the threshold, regardless of its length.
    Otherwise it is the mean over all points, with a penalty for limbs longer than half of the image's height.
    """
    pairs, places = _all_pairs(peaks)
    connections: list[list[Connection]] = [[] for _ in LINKS]
    kept, scores = [], []
    for first in range(0, len(pairs.link), _CHUNK):
        some = slice(first, first + _CHUNK)
        score = _score(pafs, pairs.link[some], places[:, some], agreeing_only)
        positive = np.flatnonzero(score > 0)
        kept.append(first + positive)
        scores.append(score[positive])
    if not kept:
        return connections
    number, score = np.concatenate(kept), np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    chosen = number[order]
    candidates = zip(*(some[chosen].tolist() for some in pairs), score[order].tolist(), strict=True)
    used: set[tuple[int, bool, int]] = set()
    for link, start, end, value in candidates:
        ends = {(link, False, start), (link, True, end)}
        if not ends & used:
            used |= ends
            connections[link].append(Connection(start, end, value))
    return connections


def _all_pairs(peaks: list[Peaks]) -> tuple[Pairs, NDArray[np.float64]]:
    """All possible limbs, and the coordinates x0, y0, x1, y1 (4, n) of both ends."""
    parts = []
    for link, (a, b) in enumerate(LINKS):
        start, end = np.divmod(np.arange(len(peaks[a].x) * len(peaks[b].x)), max(len(peaks[b].x), 1))
        places = (peaks[a].x[start], peaks[a].y[start], peaks[b].x[end], peaks[b].y[end])
        parts.append((np.full(len(start), link), start, end, *places))
    columns = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return Pairs(*columns[:3]), np.stack(columns[3:]).astype(np.float64)


def _score(
    pafs: Fields, link: NDArray[np.int64], places: NDArray[np.float64], agreeing_only: bool
) -> NDArray[np.float64]:
    """The score of each pair as a limb (n,): 0 or less if it is not one."""
    x0, y0, x1, y1 = places
    length = np.maximum(np.hypot(x1 - x0, y1 - y0), 0.001)
    along = np.stack([x1 - x0, y1 - y0]) / length
    channels = np.array(CHANNELS)[link].T

    def agreement(points: NDArray[np.float64], some: NDArray[np.int64]) -> NDArray[np.float64]:
        # Rounded to pixels. Ninths of a distance between whole numbers are never halfway between two pixels.
        x = np.rint(x0[some] + (x1 - x0)[some] * points[:, None]).astype(np.int64)
        y = np.rint(y0[some] + (y1 - y0)[some] * points[:, None]).astype(np.int64)
        direction = pafs.at(channels[:, None, some], y, x)
        return (direction * along[:, None, some]).sum(axis=0)

    steps = np.arange(POINTS) / (POINTS - 1)
    # Most pairs belong to two people and fail in the middle, where one point may fail but not two.
    middle = agreement(steps[list(TRIED)], np.arange(len(link)))
    likely = np.flatnonzero((middle > AFFINITY).any(axis=0))
    affinity = agreement(steps, likely)
    agrees = affinity > AFFINITY
    number = agrees.sum(axis=0)
    if agreeing_only:
        score = (affinity * agrees).sum(axis=0) / np.maximum(number, 1)
    else:
        score = affinity.mean(axis=0) + np.minimum(0.5 * pafs.height / length[likely] - 1, 0)
    scores = np.zeros(len(link))
    scores[likely] = np.where(number > MIN_AGREEING * POINTS, score, 0)
    return scores
