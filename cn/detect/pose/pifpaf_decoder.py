"""OpenPifPaf's decoder: people grow from their surest joint along the connections, the surest connection first.

Greedy, and without a network: `cn.detect.pose.pifpaf_fields` says what the fields hold. Written from the description in
Kreiss and others (2021); constants are those of OpenPifPaf 0.13. Everything is in pixels of the image that the
network saw.
"""

import heapq
import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.coco_skeleton import JOINTS, LIMBS
from cn.detect.pose.pifpaf_fields import Connections, JointMap, Seeds, find_connections, find_seeds

JOINT_SCORE = 0.15
"""Least score of a joint."""

PERSON_SCORE = 0.15
"""Least mean score over all 17 joints of a person, missing ones counting 0."""

_SHARE = 0.5
_SECOND = 0.01
_SUPPRESSED = 1e-5
_CELL = 2
_LEAST_SIZE = 4.0
_WEIGHTS = np.array([3.0] * 3 + [1.0] * (len(JOINTS) - 3))
"""Of a person's scores, from the best to the worst, in the person's own score."""

Joint = tuple[float, float, float, float]
"""Score, x, y and size of a joint."""

_AROUND: tuple[tuple[tuple[int, int, bool], ...], ...] = tuple(
    tuple(
        (limb, ends[1 - ends.index(joint)], ends.index(joint) == 0) for limb, ends in enumerate(LIMBS) if joint in ends
    )
    for joint in range(len(JOINTS))
)
"""For each joint its limbs: which, to which joint, and whether that is the way from a limb's first joint."""


@dataclass(frozen=True)
class Found:
    """People, the surest first."""

    people: NDArray[np.float64]
    """(n, 17, 3): x and y in pixels and a score 0..1; score 0: not found."""
    scores: NDArray[np.float64]
    """(n,), 0..1."""


def decode(cif: NDArray[np.float32], caf: NDArray[np.float32], stride: int = 8) -> Found:
    """The people in the fields of one image: CIF (17, 5, h, w) and CAF (19, 8, h, w), see `nets.pifpaf`."""
    joints = JointMap(cif, stride)
    seeds = find_seeds(cif, joints, stride)
    ways = find_connections(caf, joints, stride)
    occupied = _Occupied(joints.height, joints.width)
    grown = []
    cells = occupied.cells(seeds)
    waiting = np.arange(len(cells))
    while len(waiting := waiting[~occupied.taken[cells[waiting]]]):
        body = _grow(_seed(seeds, int(waiting[0])), ways)
        for number, joint in body.items():
            occupied.take(number, joint)
        grown.append(body)
        waiting = waiting[1:]
    return _result(_without_doubles(grown, _Occupied(joints.height, joints.width)))


def _seed(seeds: Seeds, at: int) -> dict[int, Joint]:
    joint = float(seeds.score[at]), float(seeds.x[at]), float(seeds.y[at]), float(seeds.size[at])
    return {int(seeds.joint[at]): joint}


def _grow(body: dict[int, Joint], ways: tuple[list[Connections], list[Connections]]) -> dict[int, Joint]:
    """The person around one joint: {number of the joint: joint}.

    A connection waits under the best score that it could have until it is looked at, then under that of its joint.
    """
    frontier: list[tuple[float, int, int, int, int, bool, Joint | None]] = []
    turn = 0

    def reach_out(start: int) -> None:
        nonlocal turn
        for limb, end, forwards in _AROUND[start]:
            if end not in body:
                turn += 1
                heapq.heappush(frontier, (-math.sqrt(body[start][0]), turn, start, end, limb, forwards, None))

    reach_out(*body)
    while frontier:
        _, _, start, end, limb, forwards, joint = heapq.heappop(frontier)
        if end in body:
            continue
        if joint is not None:
            body[end] = joint
            reach_out(end)
            continue
        there, back = (ways[0][limb], ways[1][limb]) if forwards else (ways[1][limb], ways[0][limb])
        joint = _connect(body[start], there, back)
        if joint is not None:
            turn += 1
            heapq.heappush(frontier, (-joint[0], turn, start, end, limb, forwards, joint))
    return body


def _connect(start: Joint, there: Connections, back: Connections) -> Joint | None:
    """The joint at the other end, unless it is not sure enough or the way back does not lead to the start."""
    found = _follow(there, start)
    if found is None:
        return None
    score = math.sqrt(found[0] * start[0])
    if score < JOINT_SCORE or score < _SHARE * start[0]:
        return None
    joint = score, *found[1:]
    returned = _follow(back, joint)
    if returned is None or abs(start[1] - returned[1]) + abs(start[2] - returned[2]) > start[3]:
        return None
    return joint


def _follow(connections: Connections, start: Joint) -> Joint | None:
    """Where the connections lead that begin near a joint: the best one, or the mean of the best two if they agree."""
    _, x, y, size = start
    size = max(size, 0.5)
    reach = size / 2
    first = bisect_left(connections.sorted_x, x - reach)
    last = bisect_right(connections.sorted_x, x + reach)
    if first == last:
        return None
    across, down = connections.x[first:last] - x, connections.y[first:last] - y
    scores = connections.score[first:last] * np.exp((across * across + down * down) * (-2 / size**2))
    scores[np.abs(down) > reach] = 0
    best = int(scores.argmax())
    score = float(scores[best])
    if score == 0:
        return None
    end_x, end_y, end_size = connections.ends[first + best].tolist()
    scores[best] = 0
    other = int(scores.argmax())
    second = float(scores[other])
    if second >= max(_SECOND, _SHARE * score):
        other_x, other_y, other_size = connections.ends[first + other].tolist()
        if (end_x - other_x) ** 2 + (end_y - other_y) ** 2 <= end_size**2 / 4:
            total = score + second
            pairs = ((end_x, other_x), (end_y, other_y), (end_size, other_size))
            x, y, size = ((score * a + second * b) / total for a, b in pairs)
            return total / 2, x, y, size
    return score / 2, end_x, end_y, end_size


class _Occupied:
    """For each joint, where one has been found: squares of its size, two pixels to a cell."""

    def __init__(self, height: int, width: int):
        self.height, self.width = height // _CELL + 1, width // _CELL + 1
        self.taken = np.zeros(len(JOINTS) * self.height * self.width, bool)
        self._maps = self.taken.reshape(len(JOINTS), self.height, self.width)

    def cells(self, seeds: Seeds) -> NDArray[np.int64]:
        """Places in `taken`."""
        column = (seeds.x / _CELL).astype(np.int64).clip(0, self.width - 1)
        row = (seeds.y / _CELL).astype(np.int64).clip(0, self.height - 1)
        return (seeds.joint * self.height + row) * self.width + column

    def has(self, number: int, joint: Joint) -> bool:
        column = min(max(int(joint[1] / _CELL), 0), self.width - 1)
        row = min(max(int(joint[2] / _CELL), 0), self.height - 1)
        return bool(self._maps[number, row, column])

    def take(self, number: int, joint: Joint) -> None:
        half = max(_LEAST_SIZE, joint[3]) / _CELL
        columns = _span(joint[1] / _CELL, half, self.width)
        self._maps[number, _span(joint[2] / _CELL, half, self.height), columns] = True


def _span(center: float, half: float, limit: int) -> slice:
    """At least one cell."""
    start = min(max(int(center - half), 0), limit - 1)
    return slice(start, min(max(int(center + half), start + 1), limit))


def _without_doubles(bodies: list[dict[int, Joint]], occupied: _Occupied) -> NDArray[np.float64]:
    """(n, 17, 3): no joint twice at one place, and nobody who is hardly there."""
    people = np.zeros((len(bodies), len(JOINTS), 3))
    for row, body in enumerate(sorted(bodies, key=lambda body: -sum(joint[0] for joint in body.values()))):
        for number, joint in body.items():
            score = joint[0]
            if occupied.has(number, joint):
                score *= _SUPPRESSED
            else:
                occupied.take(number, joint)
            if score > JOINT_SCORE:
                people[row, number] = joint[1], joint[2], score
    return people[people[..., 2].mean(axis=1) >= PERSON_SCORE]


def _result(people: NDArray[np.float64]) -> Found:
    ranked = -np.sort(-people[..., 2], axis=1)
    scores = ranked @ (_WEIGHTS / _WEIGHTS.sum())
    order = np.argsort(-scores, kind="stable")
    return Found(people[order], scores[order])
