"""From maps of key points and part affinities to people: the greedy decoder of OpenPose, and its lightweight kin.

Peaks of the maps are candidates for key points. Two candidates make a limb where the part affinities between them run
from one to the other; limbs that share a candidate make a person. Sources: annotator/openpose/body.py of the release,
modules/keypoints.py of Daniil-Osokin/lightweight-human-pose-estimation.pytorch. What takes those a loop over all pairs
of candidates is done here for all pairs of a limb at once; the results are the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.detect.fields import Fields
from cn.detect.skeleton import JOINTS, LIMBS

LINKS = (*LIMBS, (2, 16), (5, 17))
"""The pairs of joints that affinities are learned for: the limbs that are drawn, and shoulder to ear."""

CHANNELS = (
    *((12, 13), (20, 21), (14, 15), (16, 17), (22, 23), (24, 25), (0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
    *((28, 29), (30, 31), (34, 35), (32, 33), (36, 37), (18, 19), (26, 27)),
)
"""The maps of part affinities with x and y of each link's direction."""

ONLY_HEAD = 17
"""Links from here on never begin a person."""

HEAT, AFFINITY = 0.1, 0.05
"""What a peak of a map, and a point between two candidates, must exceed."""

POINTS, AGREEING = 10, 0.8
"""Points that are looked at between two candidates, and the share of them that must run along."""

TRIED = (3, 6)
"""Two of the points; where neither runs along, `AGREEING` cannot be reached."""

MOST_PEAKS = 200
"""Of a joint's candidates, more than anybody's crowd has: the highest are kept. Bounds time and memory for noise."""

_AT_ONCE = 1 << 14
"""Pairs of candidates that are looked at together."""

_SLACK = 1e-5
"""Single precision finds where maxima may be; which of them are is decided in double precision."""


class Peaks(NamedTuple):
    """Candidates for one joint: columns and rows (n,), and the heat there (n,)."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    heat: NDArray[np.float64]


class Bond(NamedTuple):
    """Two candidates, by their numbers, that make a limb."""

    start: int
    end: int
    score: float


@dataclass
class Row:
    """A person in the making: the candidate of each joint (-1: none), the sum of all scores, and joints counted."""

    joints: list[int]
    total: float
    count: int


@dataclass(frozen=True)
class Rules:
    """Where the two decoders differ."""

    sigma: float
    """Smoothing before peaks are looked for, in pixels of the fields."""
    strict: bool
    """Whether a peak must exceed its neighbours, or may equal them."""
    apart: float
    """Of peaks nearer to each other than this, one stays."""
    agreeing_only: bool
    """Whether the score of a limb is the mean over the points that run along, no matter how long it is; else it is the
    mean over all points, and limbs longer than half of the picture's height lose."""
    assemble: Callable[[list[Peaks], list[list[Bond]]], list[Row]]
    fewest: int
    lowest: float
    """People with fewer joints counted, or a lower score per joint, are dropped."""


def decode(heat: Fields, affinities: Fields, rules: Rules) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """People (n, 18, 3): x, y in pixels of the fields and the heat there, zeros where not found; their scores (n,).

    `heat` has a map for each of the 18 joints, `affinities` 38.
    """
    peaks = find_peaks(heat, rules)
    bonds = find_bonds(affinities, peaks, rules)
    rows = [
        row
        for row in rules.assemble(peaks, bonds)
        if row.count >= rules.fewest and row.total / row.count >= rules.lowest
    ]
    people = np.zeros((len(rows), len(JOINTS), 3))
    for person, row in zip(people, rows, strict=True):
        for joint, number in enumerate(row.joints):
            if number >= 0:
                found = peaks[joint]
                # Where smoothing finds a peak beside a hole the heat may be nothing; the point is found all the same.
                person[joint] = found.x[number], found.y[number], max(found.heat[number], 1e-6)
    return people, np.array([row.total for row in rows])


def find_peaks(heat: Fields, rules: Rules) -> list[Peaks]:
    """For each joint, where the smoothed heat exceeds `HEAT` and its four neighbours.

    Row by row, or by columns where peaks are kept apart.
    """
    smooth = heat.smoothed(rules.sigma) if rules.sigma else heat
    joint, y, x = _near_peaks(smooth)
    exact = _with_neighbours(smooth, joint, y, x)
    centre, highest = exact[0], exact[1:].max(axis=0, initial=0.0)
    good = (centre >= HEAT) & (centre > highest) if rules.strict else (centre > HEAT) & (centre >= highest)
    joint, y, x = joint[good], y[good], x[good]
    values = heat.at(joint, y, x)
    ends = np.searchsorted(joint, np.arange(len(JOINTS) + 1))
    return [_limited(Peaks(x[a:b], y[a:b], values[a:b]), rules.apart) for a, b in pairwise(ends)]


def _near_peaks(smooth: Fields) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Joints, rows and columns where maxima may be, as far as single precision tells; joint after joint."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    # One set of arrays for all joints: asking for new ones costs more than filling them.
    rooms = np.empty((2, smooth.height * smooth.width), np.float32)
    found: list[tuple[NDArray[np.int64], ...]] = []
    for joint, (rows, columns) in enumerate(smooth.above(len(JOINTS), HEAT * (1 - _SLACK))):
        values = smooth.part(joint, rows, columns, rooms[0])
        # Rows and columns that are no neighbours may meet here, but only such as are too low themselves.
        around = rooms[1][: values.size].reshape(values.shape)
        if values.size:
            around = np.asarray(cv2.dilate(values, cross, dst=around), np.float32)
        np.maximum(around, np.float32(HEAT), out=around)
        np.multiply(around, np.float32(1 - _SLACK), out=around)
        near = np.flatnonzero(values >= around)
        y, x = np.divmod(near, max(len(columns), 1))
        found.append((np.full(len(near), joint), rows[y], columns[x]))
    joints, y, x = (np.concatenate(part) for part in zip(*found, strict=True))
    return joints, y, x


def _with_neighbours(
    fields: Fields, channel: NDArray[np.integer], y: NDArray[np.integer], x: NDArray[np.integer]
) -> NDArray[np.float64]:
    """(5, points): the values at some pixels of maps and at their four neighbours; outside is 0."""
    ys = np.stack([y, y - 1, y + 1, y, y])
    xs = np.stack([x, x, x, x - 1, x + 1])
    inside = (ys >= 0) & (ys < fields.height) & (xs >= 0) & (xs < fields.width)
    values = np.zeros(ys.shape)
    values[inside] = fields.at(np.broadcast_to(channel, ys.shape)[inside], ys[inside], xs[inside])
    return values


def _limited(peaks: Peaks, apart: float) -> Peaks:
    """At most `MOST_PEAKS` of them, none nearer to another than `apart`."""
    x, y, heat = peaks
    if len(heat) > MOST_PEAKS:
        kept = np.sort(np.argsort(-heat, kind="stable")[:MOST_PEAKS])
        x, y, heat = x[kept], y[kept], heat[kept]
    if apart:
        lasting = _apart(y, x, apart)
        x, y, heat = x[lasting], y[lasting], heat[lasting]
    return Peaks(x, y, heat)


def _apart(y: NDArray[np.integer], x: NDArray[np.integer], distance: float) -> list[int]:
    """The peaks that stay, by columns from the left: each takes away those after it that are too near."""
    kept: list[int] = []
    for number in np.lexsort((y, x)).tolist():
        if all((x[number] - x[k]) ** 2 + (y[number] - y[k]) ** 2 >= distance**2 for k in kept):
            kept.append(number)
    return kept


class Pairs(NamedTuple):
    """Candidates that may be the two ends of a link: its number, and theirs, each (n,); in that order."""

    link: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def find_bonds(affinities: Fields, peaks: list[Peaks], rules: Rules) -> list[list[Bond]]:
    """For each link its limbs, the surest first."""
    pairs, places = _all_pairs(peaks)
    bonds: list[list[Bond]] = [[] for _ in LINKS]
    kept, scores = [], []
    for first in range(0, len(pairs.link), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        score = _scored(affinities, pairs.link[some], places[:, some], rules)
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
    affinities: Fields, link: NDArray[np.int64], places: NDArray[np.float64], rules: Rules
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
    if rules.agreeing_only:
        score = (flow * agrees).sum(axis=0) / np.maximum(number, 1)
    else:
        score = flow.mean(axis=0) + np.minimum(0.5 * affinities.height / length[likely] - 1, 0)
    scores = np.zeros(len(link))
    scores[likely] = np.where(number > AGREEING * POINTS, score, 0)
    return scores


def merged(peaks: list[Peaks], bonds: list[list[Bond]]) -> list[Row]:
    """OpenPose's assembly: a limb joins the person that has one of its ends, or two people with nothing in common."""
    rows: list[Row] = []
    for link, (a, b) in enumerate(LINKS):
        for bond in bonds[link]:
            mine = [row for row in rows if row.joints[a] == bond.start or row.joints[b] == bond.end]
            if len(mine) > 1 and not any(
                i >= 0 and j >= 0 for i, j in zip(mine[0].joints, mine[1].joints, strict=True)
            ):
                _absorb(mine[0], mine[1], bond.score)
                rows = [row for row in rows if row is not mine[1]]
            elif len(mine) > 1 or (mine and mine[0].joints[b] != bond.end):
                _extend(mine[0], b, bond, peaks)
            elif not mine and link < ONLY_HEAD:
                rows.append(_new(a, b, bond, peaks))
    return rows


def extended(peaks: list[Peaks], bonds: list[list[Bond]]) -> list[Row]:
    """The lightweight assembly: a limb joins all who have its start; nobody is merged.

    Links to the ears fill in what is missing and do not count.
    """
    rows: list[Row] = []
    for link, (a, b) in enumerate(LINKS):
        for bond in bonds[link]:
            if link >= ONLY_HEAD:
                _fill_in(rows, a, b, bond)
            elif mine := [row for row in rows if row.joints[a] == bond.start]:
                for row in mine:
                    _extend(row, b, bond, peaks)
            else:
                rows.append(_new(a, b, bond, peaks))
    return rows


def _new(a: int, b: int, bond: Bond, peaks: list[Peaks]) -> Row:
    joints = [-1] * len(JOINTS)
    joints[a], joints[b] = bond.start, bond.end
    return Row(joints, float(peaks[a].heat[bond.start] + peaks[b].heat[bond.end]) + bond.score, 2)


def _extend(row: Row, b: int, bond: Bond, peaks: list[Peaks]) -> None:
    row.joints[b] = bond.end
    row.count += 1
    row.total += float(peaks[b].heat[bond.end]) + bond.score


def _absorb(row: Row, other: Row, score: float) -> None:
    row.joints = [max(i, j) for i, j in zip(row.joints, other.joints, strict=True)]
    row.count += other.count
    row.total += other.total + score


def _fill_in(rows: list[Row], a: int, b: int, bond: Bond) -> None:
    for row in rows:
        if row.joints[a] == bond.start and row.joints[b] == -1:
            row.joints[b] = bond.end
        elif row.joints[b] == bond.end and row.joints[a] == -1:
            row.joints[a] = bond.start


OPENPOSE = Rules(sigma=3.0, strict=False, apart=0.0, agreeing_only=False, assemble=merged, fewest=4, lowest=0.4)
LIGHT = Rules(sigma=0.0, strict=True, apart=6.0, agreeing_only=True, assemble=extended, fewest=3, lowest=0.2)
