"""What the colors of a skeleton say about it: channels in the wrong order, left and right exchanged."""

import numpy as np
from numpy.typing import NDArray

from cn.detect.checks.colors import STRAY
from cn.detect.pose.skeleton import COLORS, JOINTS, LIMB_OPACITY, LIMBS

MIN_LIMBS = 4
_NEAR = 3
"""Pixels between a limb and its joints: the limb covers part of each, and blends with it."""
_MIN_PIXELS = 3
_LIT = 48
_CONFLICT = 0.2
"""How much larger the share of joints at their limbs must be with red and blue exchanged."""

_NECK, _NOSE = JOINTS.index("neck"), JOINTS.index("nose")
_SIDES = (("right eye", "left eye"), ("right shoulder", "left shoulder"))


def channels_are_reversed(map: NDArray[np.uint8]) -> bool:
    """Whether the limbs of a map (h, w, 3) end at their joints once red and blue are exchanged, and do not as it is.

    The 18 colors are the same ones either way, so that only the skeleton itself tells: limb k and its joints.
    """
    as_it_is, limbs = _agreement(map)
    exchanged, _ = _agreement(map[..., ::-1])
    return limbs >= MIN_LIMBS and exchanged - as_it_is >= _CONFLICT


def _agreement(map: NDArray[np.uint8]) -> tuple[float, int]:
    """The share of the ends of all limbs that have their joint beside them, and the number of limbs."""
    import cv2

    joints, limbs = _pixels(map)
    kernel = np.ones((2 * _NEAR + 1, 2 * _NEAR + 1), np.uint8)
    found = total = 0
    for limb, ends in enumerate(LIMBS):
        pixels = limbs == limb
        if int(np.count_nonzero(pixels)) < _MIN_PIXELS:
            continue
        around = joints[cv2.dilate(pixels.astype(np.uint8), kernel) > 0]
        total += 1
        found += sum(bool((around == end).any()) for end in ends)
    return found / max(2 * total, 1), total


def _pixels(map: NDArray[np.uint8]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """The joint (h, w), and the limb (h, w), whose color each pixel has; -1 for none."""
    lit = map.max(axis=2) >= _LIT
    pixels = map[lit].astype(np.int32)
    full = np.array(COLORS, np.int32)
    palette = np.concatenate([full, (full * LIMB_OPACITY).astype(np.int32)])
    apart = np.full((len(pixels), len(palette)), 0, np.int32)
    for channel in range(3):
        np.maximum(apart, np.abs(pixels[:, None, channel] - palette[None, :, channel]), out=apart)
    nearest = np.where(apart.min(axis=1, initial=255) <= STRAY, apart.argmin(axis=1), -1) if len(pixels) else apart
    joints, limbs = np.full(lit.shape, -1, np.int8), np.full(lit.shape, -1, np.int8)
    joints[lit] = np.where(nearest < len(COLORS), nearest, -1).ravel()
    limbs[lit] = np.where(nearest >= len(COLORS), nearest - len(COLORS), -1).ravel()
    return joints, limbs


def faces_are_mirrored(map: NDArray[np.uint8]) -> bool:
    """Whether each face that is seen has its right eye, and the person the right shoulder, on the wrong side.

    A person whose nose and both eyes are seen has the right eye to the left, seen along the line from nose to neck,
    whichever way up; from behind, detectors find no eyes. Exact keypoints that include hidden ones say nothing.
    """
    import cv2

    joints, _ = _pixels(map)
    lit = (map.max(axis=2) >= _LIT).astype(np.uint8)
    count, labels = cv2.connectedComponents(lit, connectivity=8)
    votes = []
    for person in range(1, count):
        places = _places(np.where(labels == person, joints, -1))
        if (vote := _is_mirrored(places)) is not None:
            votes.append(vote)
    return bool(votes) and all(votes)


def _places(joints: NDArray[np.int8]) -> dict[int, NDArray[np.float64]]:
    """The center (x, y) of the pixels of each joint."""
    places = {}
    for joint in range(len(COLORS)):
        ys, xs = np.nonzero(joints == joint)
        if len(ys) >= _MIN_PIXELS:
            places[joint] = np.array([xs.mean(), ys.mean()])
    return places


def _is_mirrored(places: dict[int, NDArray[np.float64]]) -> bool | None:
    """Of one person; None where eyes, shoulders, nose or neck are not seen, or contradict each other."""
    pairs = [(JOINTS.index(right), JOINTS.index(left)) for right, left in _SIDES]
    if not {_NECK, _NOSE, *(joint for pair in pairs for joint in pair)} <= places.keys():
        return None
    down = places[_NECK] - places[_NOSE]
    sides = []
    for right, left in pairs:
        across = places[left] - places[right]
        sides.append(float(across[0] * down[1] - across[1] * down[0]))
    return None if min(sides) < 0 < max(sides) else max(sides) < 0
