"""Hands by OpenPose's hand network: a square around each hand of a person, then 21 keypoints in it.

Hands are float64 (21, 3): x and y in pixels of the image and a score, 0 for a keypoint that was not found. Keypoint 0
is the wrist, followed by four for each finger, from the thumb on and from the palm outwards.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.openpose_body import BOX, scale_and_pad, scaled_maps

if TYPE_CHECKING:
    from torch import nn

    from cn.detect.pose.upsampled_maps import Fields, ScaledMaps

SCALES = (0.5, 1.0, 1.5, 2.0)
"""The input sizes of the published code, in units of 368 pixels; the maps of all scales are averaged."""

ONE_SCALE = (1.0,)
"""An eighth of the work, with nearly the same result."""

BEYOND_WRIST, SIDE, UPPER_ARM = 0.33, 1.5, 0.9
"""The center of a hand, in lengths of the forearm beyond the wrist; the side of its square, in lengths of the longer
part of the arm; and the weight of the upper arm in that comparison."""

MIN_SIDE = 20
"""Hands in smaller squares, in pixels, are skipped."""

HEAT, SIGMA = 0.05, 3.0
"""Threshold of the smoothed confidence, and the sigma of the smoothing in pixels of the square."""

_ARMS = ((5, 6, 7), (2, 3, 4))
"""Shoulder, elbow and wrist, left and right."""


class Square(NamedTuple):
    """The region of a hand, in whole pixels."""

    x: int
    y: int
    side: int


def hand_squares(person: NDArray[np.floating], size: tuple[int, int]) -> tuple[Square | None, Square | None]:
    """The squares of the left and right hand of a person (18, 3) in an image of `size` = (height, width).

    None if a joint of the arm is missing or the square is smaller than `MIN_SIDE` (handDetect in util.py).
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
    return Square(int(x), int(y), int(side)) if side >= MIN_SIDE else None


def find_hands(
    network: "nn.Module",
    image: NDArray[np.uint8],
    people: NDArray[np.floating],
    scales: Sequence[float] = SCALES,
    batch: int = 1,
) -> NDArray[np.float64]:
    """The hands (n, 2, 21, 3), left and right, of people (n, 18, 3) in an image (h, w, 3) RGB; zeros for missing ones.

    Up to `batch` hands form a batch.
    """
    hands = np.zeros((len(people), 2, 21, 3))
    targets = [
        (hand, square)
        for both, person in zip(hands, people, strict=True)
        for hand, square in zip(both, hand_squares(person, image.shape[:2]), strict=True)
        if square is not None
    ]
    for start in range(0, len(targets), batch):
        some = targets[start : start + batch]
        crops = [image[y : y + side, x : x + side] for _, (x, y, side) in some]
        for (hand, (x, y, _)), heat in zip(some, hand_maps(network, crops, scales), strict=True):
            hand[:] = decode(heat)
            hand[hand[:, 2] > 0, :2] += (x, y)
    return hands


def hand_maps(
    network: "nn.Module", crops: Sequence[NDArray[np.uint8]], scales: Sequence[float] = SCALES
) -> list["Fields"]:
    """Confidence maps (22) of square images (s, s, 3) RGB with one hand each, at their own sizes."""
    import torch

    from cn.detect.nets.arrays import to_array, to_tensor
    from cn.detect.pose.upsampled_maps import Fields

    layers: list[list[ScaledMaps]] = [[] for _ in crops]
    for scale in scales:
        # All crops are scaled to the same size, whatever their own.
        scaled = [scale_and_pad(crop[None], scale * BOX / len(crop)) for crop in crops]
        with torch.inference_mode():
            batch = np.concatenate([padded for padded, _ in scaled]).astype(np.float32) / 256.0 - 0.5
            heats = to_array(network(to_tensor(batch, network)), network)
        for own, heat, crop, (_, size) in zip(layers, heats, crops, scaled, strict=True):
            own.append(scaled_maps(heat / len(scales), size, crop.shape[:2]))
    return [Fields(own) for own in layers]


def decode(heat: "Fields") -> NDArray[np.float64]:
    """Keypoints (21, 3) in pixels of the maps: the maximum within the region of the largest total (hand.py).

    Regions are 8-connected components of the smoothed confidence above `HEAT`.
    """
    import cv2

    smooth = heat.smoothed(SIGMA)
    hand = np.zeros((21, 3))
    for number, point in enumerate(hand):
        above = smooth.full(number) > HEAT
        if not above.any():
            continue
        values = heat.full(number)
        count, regions = cv2.connectedComponents(above.astype(np.uint8), connectivity=8)
        totals = np.bincount(regions.ravel(), values.ravel(), count)
        inside = np.where(regions == 1 + int(np.argmax(totals[1:])), values, 0.0)
        y, x = np.unravel_index(int(np.argmax(inside)), inside.shape)
        point[:] = x, y, max(float(values[y, x]), 1e-6)
    return hand
