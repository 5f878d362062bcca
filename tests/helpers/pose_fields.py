"""Ideal maps of a network for people with known keypoints, and networks that return them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cn.detect.nets.openpose import BodyNetwork
from cn.detect.nets.openpose_light import LightBodyNetwork
from tests.helpers.people_of_scenes import people_of_scenes

# OpenPose's joint pairs as published (from 1), with the maps (from 19) of their part affinities.
LINKS = [
    [2, 3], [2, 6], [3, 4], [4, 5], [6, 7], [7, 8], [2, 9], [9, 10], [10, 11], [2, 12], [12, 13], [13, 14],
    [2, 1], [1, 15], [15, 17], [1, 16], [16, 18], [3, 17], [6, 18],
]  # fmt: skip
AFFINITIES = [
    [31, 32], [39, 40], [33, 34], [35, 36], [41, 42], [43, 44], [19, 20], [21, 22], [23, 24], [25, 26], [27, 28],
    [29, 30], [47, 48], [49, 50], [53, 54], [51, 52], [55, 56], [37, 38], [45, 46],
]  # fmt: skip

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]


def maps_of(people: NDArray, cells: tuple[int, int], cell: float, spread: float = 0.9) -> Maps:
    """Confidence maps (19, h, w) and affinity fields (38, h, w) of people (n, 18, 3); joints with score 0 are missing.

    `cells` = (h, w) of `cell` pixels each. Heat is a Gaussian of `spread` cells, as OpenPose was trained with; the
    affinity field is the direction of a limb within one cell of it, the mean where limbs cross.
    """
    rows, columns = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in cells), indexing="ij")
    # The center of cell 0 is at pixel (cell - 1) / 2.
    places = (np.asarray(people, np.float64)[..., :2] - (cell - 1) / 2) / cell
    heat, affinities = np.zeros((19, *cells)), np.zeros((38, *cells))
    crossing = np.zeros((38, *cells))
    for place, person in zip(places, people, strict=True):
        for joint in np.flatnonzero(person[:, 2] > 0):
            x, y = place[joint]
            distance = (rows - y) ** 2 + (columns - x) ** 2
            heat[joint] = np.maximum(heat[joint], np.exp(-distance / (2 * spread**2)))
        for (a, b), channels in zip(LINKS, AFFINITIES, strict=True):
            start, end = place[a - 1], place[b - 1]
            length = np.hypot(*(end - start))
            if min(person[a - 1, 2], person[b - 1, 2]) <= 0 or length < 1e-6:
                continue
            ux, uy = (end - start) / length
            along = (columns - start[0]) * ux + (rows - start[1]) * uy
            across = np.abs((columns - start[0]) * uy - (rows - start[1]) * ux)
            near = (along > -0.5) & (along < length + 0.5) & (across < 1)
            for channel, direction in zip(channels, (ux, uy), strict=True):
                affinities[channel - 19] += np.where(near, direction, 0)
                crossing[channel - 19] += near
    heat[18] = 1 - heat[:18].max(axis=0)
    return heat.astype(np.float32), (affinities / np.maximum(crossing, 1)).astype(np.float32)


def somebody(number: int) -> NDArray:
    """A person (18, 3) of scenes in a unit square, with all joints; hidden joints count as visible."""
    seen = -1
    for people in people_of_scenes("openpose"):
        for person in people:
            size = np.ptp(person[:, :2], axis=0).max()
            if (person[:, 2] > 0).all() and size > 16:
                seen += 1
                if seen == number:
                    places = (person[:, :2] - person[:, :2].min(axis=0)) / size
                    return np.hstack([places, np.ones((18, 1))])
    raise AssertionError("the scenes have more people")


def placed(number: int, x: float, y: float, height: float) -> NDArray:
    """Person `number` of the scenes with the upper left corner at (x, y), `height` pixels high or wide."""
    person = somebody(number)
    person[:, :2] = person[:, :2] * height + (x, y)
    return person


def given_maps(network, maps):
    """A network of this class that returns prepared maps, `maps(input)`."""

    class Given(network):
        def __init__(self):
            nn.Module.__init__(self)
            self.nothing = nn.Parameter(torch.zeros(1))
            self.seen = []

        def forward(self, x):
            self.seen.append(x)
            return maps(x)

    return Given()


def perfect(people, size, network=BodyNetwork, input_height=368):
    """A network that returns ideal maps of these people; its input is `input_height` pixels high, the image `size`."""
    unit = size[0] / input_height

    def maps(x):
        seen = people.copy()
        if network is LightBodyNetwork:
            # Its input has the image in the center.
            seen[..., 0] += (x.shape[3] - round(size[1] / unit)) // 2 * unit
        both = maps_of(seen, (x.shape[2] // 8, x.shape[3] // 8), 8 * unit)
        return tuple(torch.from_numpy(m)[None].expand(len(x), -1, -1, -1) for m in both)

    return given_maps(network, maps)
