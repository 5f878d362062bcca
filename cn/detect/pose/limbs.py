"""From candidates for key points to limbs: where part affinities run from one candidate to another.

What the published decoders take a loop over all pairs of candidates for is done for all pairs of all limbs at once; the
results are the same. Sources: as for `peaks`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.enlarged_maps import Fields
from cn.detect.pose.peaks import Peaks
from cn.detect.pose.skeleton import LIMBS

LINKS = (*LIMBS, (2, 16), (5, 17))
"""The pairs of joints that affinities are learned for: the limbs that are drawn, and shoulder to ear."""

CHANNELS = (
    *((12, 13), (20, 21), (14, 15), (16, 17), (22, 23), (24, 25), (0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
    *((28, 29), (30, 31), (34, 35), (32, 33), (36, 37), (18, 19), (26, 27)),
)
"""The maps of part affinities with x and y of each link's direction."""

AFFINITY = 0.05
"""What the affinity along a limb must exceed at a point between two candidates."""

POINTS, AGREEING = 10, 0.8
"""Points that are looked at between two candidates, and the share of them that must run along."""

TRIED = (3, 6)
"""Two of the points; where neither runs along, `AGREEING` cannot be reached."""

_AT_ONCE = 1 << 14
"""Pairs of candidates that are looked at together."""


class Bond(NamedTuple):
    """Two candidates, by their numbers, that make a limb."""

    start: int
    end: int
    score: float


class Pairs(NamedTuple):
    """Candidates that may be the two ends of a link: its number, and theirs, each (n,); in that order."""

    link: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def find_bonds(affinities: Fields, peaks: list[Peaks], agreeing_only: bool) -> list[list[Bond]]:
    """For each link its limbs, the surest first: greedily, each candidate in one limb of a kind.

    `agreeing_only`: the score of a limb is the mean over the points that run along, however long it is; else it is the
    mean over all points, and limbs longer than half of the image's height lose.
    """
    pairs, places = _all_pairs(peaks)
    bonds: list[list[Bond]] = [[] for _ in LINKS]
    kept, scores = [], []
    for first in range(0, len(pairs.link), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        score = _scored(affinities, pairs.link[some], places[:, some], agreeing_only)
        good = np.flatnonzero(score > 0)
        kept.append(first + good)
        scores.append(score[good])
    if not kept:
        return bonds
    number, score = np.concatenate(kept), np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    chosen = number[order]
    candidates = zip(*(some[chosen].tolist() for some in pairs), score[order].tolist(), strict=True)
    taken: set[tuple[int, bool, int]] = set()
    for link, start, end, value in candidates:
        ends = {(link, False, start), (link, True, end)}
        if not ends & taken:
            taken |= ends
            bonds[link].append(Bond(start, end, value))
    return bonds


def _all_pairs(peaks: list[Peaks]) -> tuple[Pairs, NDArray[np.float64]]:
    """Whatever may be a limb, and the places x0, y0, x1, y1 (4, n) of both ends."""
    parts = []
    for link, (a, b) in enumerate(LINKS):
        start, end = np.divmod(np.arange(len(peaks[a].x) * len(peaks[b].x)), max(len(peaks[b].x), 1))
        places = (peaks[a].x[start], peaks[a].y[start], peaks[b].x[end], peaks[b].y[end])
        parts.append((np.full(len(start), link), start, end, *places))
    columns = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return Pairs(*columns[:3]), np.stack(columns[3:]).astype(np.float64)


def _scored(
    affinities: Fields, link: NDArray[np.int64], places: NDArray[np.float64], agreeing_only: bool
) -> NDArray[np.float64]:
    """How surely each of some pairs is a limb (n,): 0 or less where it is none."""
    x0, y0, x1, y1 = places
    length = np.maximum(np.hypot(x1 - x0, y1 - y0), 0.001)
    along = np.stack([x1 - x0, y1 - y0]) / length
    channels = np.array(CHANNELS)[link].T

    def agreement(points: NDArray[np.float64], some: NDArray[np.int64]) -> NDArray[np.float64]:
        # Whole pixels between both ends; nine steps between whole numbers never end halfway between two.
        x = np.rint(x0[some] + (x1 - x0)[some] * points[:, None]).astype(np.int64)
        y = np.rint(y0[some] + (y1 - y0)[some] * points[:, None]).astype(np.int64)
        flow = affinities.at(channels[:, None, some], y, x)
        return (flow * along[:, None, some]).sum(axis=0)

    steps = np.arange(POINTS) / (POINTS - 1)
    # Most pairs are of two people: nothing runs along in their middle, where one point may fail but not two.
    middle = agreement(steps[list(TRIED)], np.arange(len(link)))
    likely = np.flatnonzero((middle > AFFINITY).any(axis=0))
    flow = agreement(steps, likely)
    agrees = flow > AFFINITY
    number = agrees.sum(axis=0)
    if agreeing_only:
        score = (flow * agrees).sum(axis=0) / np.maximum(number, 1)
    else:
        score = flow.mean(axis=0) + np.minimum(0.5 * affinities.height / length[likely] - 1, 0)
    scores = np.zeros(len(link))
    scores[likely] = np.where(number > AGREEING * POINTS, score, 0)
    return scores
