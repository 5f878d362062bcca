"""From maps of key points and part affinities to people: the greedy decoder of OpenPose, and its lightweight kin.

Peaks of the maps are candidates for key points (`peaks`). Two candidates make a limb where the part affinities between
them run from one to the other (`limbs`); limbs that share a candidate make a person. Sources: body.py in
annotator/openpose of the release, modules/keypoints.py of Daniil-Osokin's lightweight-human-pose-estimation.pytorch.
The results are the same, but where a joint has more than `peaks.MOST_PEAKS` candidates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.enlarged_maps import Fields
from cn.detect.pose.limbs import LINKS, Bond, find_bonds
from cn.detect.pose.peaks import Peaks, find_peaks
from cn.detect.pose.skeleton import JOINTS

ONLY_HEAD = 17
"""Links from here on never begin a person."""


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
    strict: bool
    apart: float
    """See `peaks.find_peaks`; in pixels of the fields."""
    agreeing_only: bool
    """See `limbs.find_bonds`."""
    assemble: Callable[[list[Peaks], list[list[Bond]]], list[Row]]
    fewest: int
    lowest: float
    """People with fewer joints counted, or a lower score per joint, are dropped."""


def decode(heat: Fields, affinities: Fields, rules: Rules) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """People (n, 18, 3): x, y in pixels of the fields and the heat there, zeros where not found; their scores (n,).

    `heat` has a map for each of the 18 joints, `affinities` 38.
    """
    peaks = find_peaks(heat, rules.sigma, rules.strict, rules.apart)
    bonds = find_bonds(affinities, peaks, rules.agreeing_only)
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
