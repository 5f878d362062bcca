"""People of the built-in scenes as COCO keypoints, and the fields of a good network for them."""

import itertools
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.coco_skeleton import LIMBS
from tests.helpers.people_of_scenes import SIDES, people_of_scenes

OPENPOSE = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)
"""OpenPose's index for each of COCO's 17 joints."""

SPREAD = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
"""COCO's constants: standard deviation of annotations, as a fraction of a person's size."""

STRIDE = 8
_SIDE, _WIDTH = 4, 3
_SURE = 0.95


def scene_people(number: int, size: int = 513) -> NDArray[np.float64]:
    """(n, 17, 3) in an image of size × size pixels: 1 visible, 0.5 hidden, 0 outside."""
    people = people_of_scenes("pifpaf")[number][:, list(OPENPOSE)]
    people[..., :2] = people[..., :2] * (size / SIDES["pifpaf"]) - 0.5
    return people


def scenes_with(count: int, people: int) -> list[int]:
    """The numbers of the first `count` scenes with at least this many people."""
    wanted = [number for number, found in enumerate(people_of_scenes("pifpaf")) if len(found) >= people]
    assert len(wanted) >= count
    return wanted[:count]


@cache
def bodies(count: int) -> NDArray[np.float64]:
    """`count` complete bodies of scenes, each in a box of height 1 with its corner at (0, 0)."""
    found: list[NDArray[np.float64]] = []
    for number in scenes_with(count, people=1):
        for body in scene_people(number):
            if (body[:, 2] > 0).all():
                corner, top = body[:, :2].min(axis=0), body[:, 1].max()
                found.append(np.column_stack([(body[:, :2] - corner) / (top - corner[1]), np.ones(17)]))
    return np.array(found[:count])


def placed(body: NDArray[np.float64], x: float, y: float, height: float) -> NDArray[np.float64]:
    """A body of `bodies` with its box's corner at (x, y)."""
    return np.column_stack([body[:, :2] * height + (x, y), body[:, 2]])


def apart(people: NDArray[np.float64]) -> float:
    """Minimum distance between the same joints of two people, in sizes of that joint."""
    sizes = np.array([np.sqrt(np.prod(np.ptp(body[:, :2], axis=0))) * SPREAD for body in people])
    distances = [
        np.hypot(*(people[a, :, :2] - people[b, :, :2]).T) / np.maximum(4, np.maximum(sizes[a], sizes[b]))
        for a, b in itertools.combinations(range(len(people)), 2)
    ]
    return float(np.min(distances))


def crowd(size: int = 513) -> NDArray[np.float64]:
    """Ten people in two rows, each nearly a third of the image high; arms and legs cross."""
    rows = [(i * size / 5 + 8, row * size / 2 + 30) for row in range(2) for i in range(5)]
    return np.array([placed(body, x, y, size * 0.3) for body, (x, y) in zip(bodies(10), rows, strict=True)])


def fields(
    people: NDArray[np.float64], height: int = 513, width: int = 513, *, noise: float = 0.0, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """CIF (17, 5, h, w) and CAF (19, 8, h, w) of people (n, 17, 3) in an image whose sides are 16 k + 1 pixels.

    The 4 × 4 cells around each joint point to it, a band three cells wide along each limb points to both its ends; a
    cell belongs to the nearest joint or limb. Joints with score 0 are missing. `noise` is the standard deviation, in
    cells, of all positions; sizes, confidences and empty cells are perturbed as well.
    """
    shape = ((height - 1) // STRIDE + 1, (width - 1) // STRIDE + 1)
    draw = np.random.default_rng(seed)
    cif, caf = np.zeros((17, 5, *shape), np.float32), np.zeros((19, 8, *shape), np.float32)
    for field in (cif, caf):
        field[:, 1] = 0.5 * noise * draw.random(field[:, 1].shape)
        for place in range(2, 4 if field is cif else 6):
            field[:, place] = np.arange(shape[1]) if place % 2 == 0 else np.arange(shape[0])[:, None]
        field[:, 4 if field is cif else 6 :] = 1
    nearest = np.full((36, *shape), np.inf)
    for body in people:
        there = body[:, 2] > 0
        if not there.any():
            continue
        cells = body[:, :2] / STRIDE
        sizes = float(np.sqrt(np.prod(np.ptp(cells, axis=0)))) * SPREAD
        for joint in np.flatnonzero(there):
            _fill(cif[joint], nearest[joint], _around(cells[joint]), cells[[joint]], sizes[[joint]], noise, draw)
        for limb, ends in enumerate(LIMBS):
            if there[list(ends)].all():
                near = _along(*cells[list(ends)])
                _fill(caf[limb], nearest[17 + limb], near, cells[list(ends)], sizes[list(ends)], noise, draw)
    return cif, caf


def _around(place: NDArray[np.float64]) -> dict[tuple[int, int], float]:
    """The cells around a joint, and their distances from it."""
    corner = np.round(place - (_SIDE - 1) / 2).astype(int)
    cells = [(int(corner[0]) + i, int(corner[1]) + j) for i in range(_SIDE) for j in range(_SIDE)]
    return {cell: float(np.hypot(*(place - cell))) for cell in cells}


def _along(start: NDArray[np.float64], end: NDArray[np.float64]) -> dict[tuple[int, int], float]:
    """The cells of the middle part of a limb, and their distances from its line."""
    way = end - start
    length = float(np.hypot(*way)) + 1e-6
    margin = float(np.clip(_WIDTH / 2 / length, 0.25, 0.4))
    cells: dict[tuple[int, int], float] = {}
    for share in np.linspace(margin, 1 - margin, max(2, int(np.ceil(2 * length)))):
        x, y = np.round(start + share * way).astype(int).tolist()
        for cell in [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
            dx, dy = np.subtract(cell, start)
            cells[cell] = abs(way[1] * dx - way[0] * dy) / length
    return cells


def _fill(field, nearest, cells, places, sizes, noise, draw):
    """Write one joint or limb into the cells that are nearest to it."""
    height, width = nearest.shape
    for (x, y), distance in cells.items():
        if 0 <= x < width and 0 <= y < height and distance < nearest[y, x]:
            nearest[y, x] = distance
            told = places + noise * (0.5 + 0.5 * distance) * draw.standard_normal(places.shape)
            shaken = sizes * np.exp(noise * draw.standard_normal(sizes.shape))
            sure = _SURE * np.exp(-0.1 * distance**2) - noise * draw.random()
            field[1:, y, x] = [sure, *told.ravel(), *shaken]
