"""OpenPifPaf's greedy decoder: each person grows from a seed along the connections, the best connection first.

`cn.detect.pose.pifpaf_fields` describes the fields. Written from the description in Kreiss et al. (2021); constants are
those of OpenPifPaf 0.13. All lengths are in pixels of the network's input.
"""

import heapq
import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.coco_skeleton import JOINTS, LIMBS
from cn.detect.pose.pifpaf_fields import ConfidenceMap, Connections, Seeds, find_connections, find_seeds

MIN_JOINT_SCORE = 0.15
"""Minimum score of a joint."""

MIN_PERSON_SCORE = 0.15
"""Minimum mean score over all 17 joints of a person; missing ones count as 0."""

_MIN_RATIO = 0.5
"""Minimum score of a joint relative to the one it is reached from, and of the second best connection to the best."""
_MIN_SECOND = 0.01
"""Minimum score of the second best connection."""
_SUPPRESSED = 1e-5
"""Factor on the score of a joint at an occupied place."""
_CELL = 2
_MIN_SIZE = 4.0
"""Pixels: side of a cell of the occupancy map, and minimum size of a joint in it."""
_WEIGHTS = np.array([3.0] * 3 + [1.0] * (len(JOINTS) - 3))
"""Weights of a person's joint scores, in descending order, in the person's own score."""

Joint = tuple[float, float, float, float]
"""Score, x, y and size of a joint."""

_LIMBS_OF: tuple[tuple[tuple[int, int, bool], ...], ...] = tuple(
    tuple(
        (limb, ends[1 - ends.index(joint)], ends.index(joint) == 0) for limb, ends in enumerate(LIMBS) if joint in ends
    )
    for joint in range(len(JOINTS))
)
"""For each joint its limbs: index, the other joint, and whether this joint is the first of the limb."""


@dataclass(frozen=True)
class CocoPeople:
    """People with COCO's keypoints, highest score first."""

    keypoints: NDArray[np.float64]
    """(n, 17, 3): x and y in pixels and a score 0..1, 0 for a joint that was not found."""
    scores: NDArray[np.float64]
    """(n,), 0..1."""


def decode(cif: NDArray[np.float32], caf: NDArray[np.float32], stride: int = 8) -> CocoPeople:
    """The people in the fields of one image: CIF (17, 5, h, w) and CAF (19, 8, h, w), see `nets.pifpaf`."""
    confidence = ConfidenceMap(cif, stride)
    seeds = find_seeds(cif, confidence, stride)
    connections = find_connections(caf, confidence, stride)
    occupancy = _OccupancyMap(confidence.height, confidence.width)
    poses = []
    cells = occupancy.cells(seeds)
    remaining = np.arange(len(cells))
    while len(remaining := remaining[~occupancy.occupied[cells[remaining]]]):
        pose = _grow(_seed(seeds, int(remaining[0])), connections)
        for number, joint in pose.items():
            occupancy.add(number, joint)
        poses.append(pose)
        remaining = remaining[1:]
    return _ranked(_suppress_duplicates(poses, _OccupancyMap(confidence.height, confidence.width)))


def _seed(seeds: Seeds, at: int) -> dict[int, Joint]:
    joint = float(seeds.score[at]), float(seeds.x[at]), float(seeds.y[at]), float(seeds.size[at])
    return {int(seeds.joint[at]): joint}


def _grow(pose: dict[int, Joint], connections: tuple[list[Connections], list[Connections]]) -> dict[int, Joint]:
    """The person around a seed: {index of the joint: joint}.

    The priority of a limb in the frontier is an upper bound of its score until it is evaluated, then its score.
    """
    frontier: list[tuple[float, int, int, int, int, bool, Joint | None]] = []
    order = 0

    def add_limbs(start: int) -> None:
        nonlocal order
        for limb, end, forward in _LIMBS_OF[start]:
            if end not in pose:
                order += 1
                heapq.heappush(frontier, (-math.sqrt(pose[start][0]), order, start, end, limb, forward, None))

    add_limbs(*pose)
    while frontier:
        _, _, start, end, limb, forward, joint = heapq.heappop(frontier)
        if end in pose:
            continue
        if joint is not None:
            pose[end] = joint
            add_limbs(end)
            continue
        there, back = connections if forward else connections[::-1]
        joint = _connect(pose[start], there[limb], back[limb])
        if joint is not None:
            order += 1
            heapq.heappush(frontier, (-joint[0], order, start, end, limb, forward, joint))
    return pose


def _connect(start: Joint, there: Connections, back: Connections) -> Joint | None:
    """The joint at the other end; None if its score is too low or the reverse connection misses the start."""
    end = _follow(there, start)
    if end is None:
        return None
    score = math.sqrt(end[0] * start[0])
    if score < MIN_JOINT_SCORE or score < _MIN_RATIO * start[0]:
        return None
    joint = score, *end[1:]
    returned = _follow(back, joint)
    if returned is None or abs(start[1] - returned[1]) + abs(start[2] - returned[2]) > start[3]:
        return None
    return joint


def _follow(connections: Connections, start: Joint) -> Joint | None:
    """The end of the best connection that starts near a joint, or the mean of the best two if they agree."""
    _, x, y, size = start
    size = max(size, 0.5)
    reach = size / 2
    first = bisect_left(connections.sorted_x, x - reach)
    last = bisect_right(connections.sorted_x, x + reach)
    if first == last:
        return None
    dx, dy = connections.x[first:last] - x, connections.y[first:last] - y
    scores = connections.score[first:last] * np.exp((dx * dx + dy * dy) * (-2 / size**2))
    scores[np.abs(dy) > reach] = 0
    best = int(scores.argmax())
    score = float(scores[best])
    if score == 0:
        return None
    end_x, end_y, end_size = connections.ends[first + best].tolist()
    scores[best] = 0
    other = int(scores.argmax())
    second = float(scores[other])
    if second >= max(_MIN_SECOND, _MIN_RATIO * score):
        other_x, other_y, other_size = connections.ends[first + other].tolist()
        if (end_x - other_x) ** 2 + (end_y - other_y) ** 2 <= end_size**2 / 4:
            total = score + second
            pairs = ((end_x, other_x), (end_y, other_y), (end_size, other_size))
            x, y, size = ((score * a + second * b) / total for a, b in pairs)
            return total / 2, x, y, size
    return score / 2, end_x, end_y, end_size


class _OccupancyMap:
    """For each joint, the cells (2 × 2 pixels) that are covered by found joints: squares of their size."""

    def __init__(self, height: int, width: int):
        self.height, self.width = height // _CELL + 1, width // _CELL + 1
        self.occupied = np.zeros(len(JOINTS) * self.height * self.width, bool)
        self._maps = self.occupied.reshape(len(JOINTS), self.height, self.width)

    def cells(self, seeds: Seeds) -> NDArray[np.int64]:
        """Indices of the seeds in `occupied`."""
        column = (seeds.x / _CELL).astype(np.int64).clip(0, self.width - 1)
        row = (seeds.y / _CELL).astype(np.int64).clip(0, self.height - 1)
        return (seeds.joint * self.height + row) * self.width + column

    def covers(self, number: int, joint: Joint) -> bool:
        column = min(max(int(joint[1] / _CELL), 0), self.width - 1)
        row = min(max(int(joint[2] / _CELL), 0), self.height - 1)
        return bool(self._maps[number, row, column])

    def add(self, number: int, joint: Joint) -> None:
        half = max(_MIN_SIZE, joint[3]) / _CELL
        columns = _span(joint[1] / _CELL, half, self.width)
        self._maps[number, _span(joint[2] / _CELL, half, self.height), columns] = True


def _span(center: float, half: float, limit: int) -> slice:
    """At least one cell."""
    start = min(max(int(center - half), 0), limit - 1)
    return slice(start, min(max(int(center + half), start + 1), limit))


def _suppress_duplicates(poses: list[dict[int, Joint]], occupancy: _OccupancyMap) -> NDArray[np.float64]:
    """Non-maximum suppression of joints: people (n, 17, 3) without joints at occupied places or with low scores."""
    people = np.zeros((len(poses), len(JOINTS), 3))
    for row, pose in enumerate(sorted(poses, key=lambda pose: -sum(joint[0] for joint in pose.values()))):
        for number, joint in pose.items():
            score = joint[0]
            if occupancy.covers(number, joint):
                score *= _SUPPRESSED
            else:
                occupancy.add(number, joint)
            if score > MIN_JOINT_SCORE:
                people[row, number] = joint[1], joint[2], score
    return people[people[..., 2].mean(axis=1) >= MIN_PERSON_SCORE]


def _ranked(people: NDArray[np.float64]) -> CocoPeople:
    ranked = -np.sort(-people[..., 2], axis=1)
    scores = ranked @ (_WEIGHTS / _WEIGHTS.sum())
    order = np.argsort(-scores, kind="stable")
    return CocoPeople(people[order], scores[order])
