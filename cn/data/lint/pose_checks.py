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


def _limb(start: str, end: str) -> int:
    return LIMBS.index((JOINTS.index(start), JOINTS.index(end)))


_NECK = _limb("neck", "nose")
_SIDES = (
    (_limb("neck", "right shoulder"), _limb("neck", "left shoulder")),
    (_limb("nose", "right eye"), _limb("nose", "left eye")),
)


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

    joints, limbs = joints_and_limbs(map)
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


def joints_and_limbs(map: NDArray[np.uint8], stray: int = STRAY) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """The joint (h, w), and the limb (h, w), whose color each pixel has, within `stray` levels; -1 for none."""
    lit = map.max(axis=2) >= _LIT
    pixels = map[lit].astype(np.int32)
    full = np.array(COLORS, np.int32)
    palette = np.concatenate([full, (full * LIMB_OPACITY).astype(np.int32)])
    apart = np.full((len(pixels), len(palette)), 0, np.int32)
    for channel in range(3):
        np.maximum(apart, np.abs(pixels[:, None, channel] - palette[None, :, channel]), out=apart)
    nearest = np.where(apart.min(axis=1, initial=255) <= stray, apart.argmin(axis=1), -1) if len(pixels) else apart
    joints, limbs = np.full(lit.shape, -1, np.int8), np.full(lit.shape, -1, np.int8)
    joints[lit] = np.where(nearest < len(COLORS), nearest, -1).ravel()
    limbs[lit] = np.where(nearest >= len(COLORS), nearest - len(COLORS), -1).ravel()
    return joints, limbs


def faces_are_mirrored(map: NDArray[np.uint8]) -> bool:
    """Whether each face that is seen has its right eye, and the person the right shoulder, on the wrong side.

    A person whose nose and eyes are seen has the right eye on the left, seen along the neck with the head up, whichever
    way that is in the image; from behind, detectors find neither. Exact keypoints that include hidden ones say nothing.
    Limbs are looked at, not joints, which limbs cover.
    """
    import cv2

    _, limbs = joints_and_limbs(map)
    lit = (map.max(axis=2) >= _LIT).astype(np.uint8)
    count, labels = cv2.connectedComponents(lit, connectivity=8)
    votes = [_is_mirrored(_centers(np.where(labels == person, limbs, -1))) for person in range(1, count)]
    known = [vote for vote in votes if vote is not None]
    return bool(known) and all(known)


def _centers(limbs: NDArray[np.int8]) -> dict[int, NDArray[np.float64]]:
    """The center (x, y) of the pixels of each limb."""
    centers = {}
    for limb in (_NECK, *(limb for pair in _SIDES for limb in pair)):
        ys, xs = np.nonzero(limbs == limb)
        if len(ys) >= _MIN_PIXELS:
            centers[limb] = np.array([xs.mean(), ys.mean()])
    return centers


def _is_mirrored(centers: dict[int, NDArray[np.float64]]) -> bool | None:
    """Of one person; None where eyes, shoulders or neck are not seen, or contradict each other."""
    if len(centers) < 1 + 2 * len(_SIDES):
        return None
    shoulders = np.mean([centers[limb] for limb in _SIDES[0]], axis=0)
    down = shoulders - centers[_NECK]
    sides = []
    for right, left in _SIDES:
        across = centers[left] - centers[right]
        sides.append(float(across[0] * down[1] - across[1] * down[0]))
    return None if min(sides) < 0 < max(sides) else max(sides) < 0
