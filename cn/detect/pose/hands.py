"""Hands by OpenPose's hand network: a square around each hand of a person, then 21 key points in it.

Hands are float64 (21, 3): x and y in pixels of the image, and a score, 0 for a point that was not found. Number 0
is the wrist, then four for each finger from the thumb on, from the palm outwards.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.openpose import BOX, layer, scaled

if TYPE_CHECKING:
    from torch import nn

    from cn.detect.pose.enlarged_maps import Fields

SCALES = (0.5, 1.0, 1.5, 2.0)
"""The sizes, in units of 368 pixels, at which the published code looks at each hand; their maps are averaged."""

ONE_SCALE = (1.0,)
"""An eighth of the work, and nearly as good."""

BEYOND_WRIST, SIDE, UPPER_ARM = 0.33, 1.5, 0.9
"""A hand's middle, in lengths of the forearm beyond the wrist; its side, in those of the longer part of the arm, of
which the upper part counts less."""

SMALLEST = 20
"""Hands in squares of less than this side, in pixels, are left out."""

HEAT, SIGMA = 0.05, 3.0
"""What smoothed heat must exceed, and its smoothing in pixels of the square."""

_ARMS = ((5, 6, 7), (2, 3, 4))
"""Shoulder, elbow and wrist, left and right."""


class Square(NamedTuple):
    """Where a hand is looked for, in whole pixels."""

    x: int
    y: int
    side: int


def hand_squares(person: NDArray[np.floating], size: tuple[int, int]) -> tuple[Square | None, Square | None]:
    """Where the left and the right hand of a person (18, 3) are, in an image of `size` = (height, width).

    None where the arm was not found whole, or the square is smaller than `SMALLEST` (handDetect in util.py).
    """
    left, right = (_square(person[list(arm)], size) for arm in _ARMS)
    return left, right


def _square(arm: NDArray[np.floating], size: tuple[int, int]) -> Square | None:
    if not (np.isfinite(arm).all() and (arm[:, 2] > 0).all()):
        return None
    shoulder, elbow, wrist = arm[:, :2]
    side = SIDE * max(math.dist(wrist, elbow), UPPER_ARM * math.dist(elbow, shoulder))
    x, y = np.maximum(wrist + BEYOND_WRIST * (wrist - elbow) - side / 2, 0).tolist()
    side = min(side, size[1] - x, size[0] - y)
    return Square(int(x), int(y), int(side)) if side >= SMALLEST else None


def find_hands(
    network: "nn.Module",
    image: NDArray[np.uint8],
    people: NDArray[np.floating],
    scales: Sequence[float] = SCALES,
    batch: int = 1,
) -> NDArray[np.float64]:
    """The hands (n, 2, 21, 3), left and right, of people (n, 18, 3) in an image (h, w, 3) RGB; zeros where none is.

    Up to `batch` hands go through the network together.
    """
    hands = np.zeros((len(people), 2, 21, 3))
    places = [
        (hand, square)
        for both, person in zip(hands, people, strict=True)
        for hand, square in zip(both, hand_squares(person, image.shape[:2]), strict=True)
        if square is not None
    ]
    for start in range(0, len(places), batch):
        some = places[start : start + batch]
        cut = [image[y : y + side, x : x + side] for _, (x, y, side) in some]
        for (hand, (x, y, _)), heat in zip(some, hand_fields(network, cut, scales), strict=True):
            hand[:] = decode(heat)
            hand[hand[:, 2] > 0, :2] += (x, y)
    return hands


def hand_fields(
    network: "nn.Module", squares: Sequence[NDArray[np.uint8]], scales: Sequence[float] = SCALES
) -> list["Fields"]:
    """The heat (22 maps) of square images (s, s, 3) RGB with one hand each, at their own sizes."""
    import torch

    from cn.detect.nets.arrays import to_array, to_tensor
    from cn.detect.pose.enlarged_maps import Fields

    layers: list[list[Any]] = [[] for _ in squares]
    for scale in scales:
        # Whatever its size, each square is seen at the same one.
        seen = [scaled(square[None], scale * BOX / len(square)) for square in squares]
        with torch.inference_mode():
            planes = to_tensor(np.concatenate([made for made, _ in seen]).astype(np.float32) / 256.0 - 0.5, network)
            heats = to_array(network(planes), network)
        for own, heat, square, (_, size) in zip(layers, heats, squares, seen, strict=True):
            own.append(layer(heat / len(scales), size, square.shape[:2]))
    return [Fields(own) for own in layers]


def decode(heat: "Fields") -> NDArray[np.float64]:
    """Key points (21, 3) in pixels of the fields: the highest heat within its weightiest region (hand.py).

    Regions are where the smoothed heat exceeds `HEAT`, corners joined; the one with the largest sum of heat counts.
    """
    import cv2

    smooth = heat.smoothed(SIGMA)
    hand = np.zeros((21, 3))
    for number, point in enumerate(hand):
        there = smooth.whole(number) > HEAT
        if not there.any():
            continue
        values = heat.whole(number)
        count, regions = cv2.connectedComponents(there.astype(np.uint8), connectivity=8)
        sums = np.bincount(regions.ravel(), values.ravel(), count)
        inside = np.where(regions == 1 + int(np.argmax(sums[1:])), values, 0.0)
        y, x = np.unravel_index(int(np.argmax(inside)), inside.shape)
        point[:] = x, y, max(float(values[y, x]), 1e-6)
    return hand
