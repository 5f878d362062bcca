"""Exchanging left and right in drawn poses: every color of a limb or joint becomes that of its counterpart.

OpenPose's limbs are blended over what is below them, so that where limbs and joints cross there are colors of several.
All of these are known beforehand, because the drawing is exact. Colors that are none of them, as in a JPEG or after
smooth resizing, take the change of the nearest one.
"""

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.detect.pose import coco_skeleton, skeleton

Colors = NDArray[np.int16]
"""(n, 3) RGB."""

_FAR = 3 * 64**2
"""Squared distance beyond which a color belongs to no limb: the white dots of a face, say."""
_AT_ONCE = 4096
_MAX_CROSSING = 3


def exchange_sides(poses: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    """Drawn poses (h, w, 3) with left and right exchanged; nothing is moved."""
    drawn = poses.any(axis=-1)
    pixels = poses[drawn]
    if not len(pixels):
        return poses
    colors, place = np.unique(_codes(pixels), return_inverse=True)
    made = poses.copy()
    made[drawn] = _exchanged(colors, kind)[place.reshape(-1)]
    if kind == "openpose":
        _keep_hands(poses, made)
    return made


def _exchanged(codes: NDArray[np.int64], kind: str) -> NDArray[np.uint8]:
    """(n, 3) what these colors become."""
    known, change = _table(kind)
    found = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    exact = known[found] == codes
    colors = _colors(codes)
    made = colors + np.where(exact[:, None], change[found], 0)
    pure, pure_change = _pure(kind)
    for start in range(0, len(rest := np.flatnonzero(~exact)), _AT_ONCE):
        part = rest[start : start + _AT_ONCE]
        distance = ((colors[part, None].astype(np.int32) - pure[None]) ** 2).sum(axis=-1)
        near = distance.argmin(axis=1)
        made[part] += np.where(distance.min(axis=1)[:, None] <= _FAR, pure_change[near], 0).astype(np.int16)
    return made.clip(0, 255).astype(np.uint8)


@cache
def _pure(kind: str) -> tuple[Colors, Colors]:
    """The colors of single limbs and joints, and how they change."""
    if kind == "openpifpaf":
        limbs = np.array(coco_skeleton.COLORS, np.int16)[: len(coco_skeleton.LIMBS)]
        return limbs, limbs[_limb_sides(coco_skeleton.JOINTS, coco_skeleton.LIMBS)] - limbs
    joints, sides = _colors_and_sides()
    bright = joints[: len(skeleton.LIMBS)]
    limbs = _blend(np.zeros_like(bright), bright)
    dark = (bright * skeleton.LIMB_OPACITY).astype(np.int16)
    colors = np.concatenate([joints, limbs, dark])
    return colors, np.concatenate([joints[sides.joints], limbs[sides.limbs], dark[sides.limbs]]) - colors


@cache
def _table(kind: str) -> tuple[NDArray[np.int64], Colors]:
    """The codes of all colors that a drawing has, sorted, and how each changes."""
    colors, change = _pure(kind)
    if kind == "openpose":
        layers = _layers()
        colors = np.concatenate([colors, *(before for before, _ in layers)])
        change = np.concatenate([change, *(after - before for before, after in layers)])
    # The first of equal codes is the likeliest.
    codes, first = np.unique(_codes(colors), return_index=True)
    return codes, change[first]


def _layers() -> list[tuple[Colors, Colors]]:
    """Limbs one over the other, over nothing or a joint: (colors, what they become), the likeliest first.

    These are the limbs that meet at a joint, over that joint; then up to three that cross anywhere.
    """
    joints, sides = _colors_and_sides()
    black = np.zeros((1, 3), np.int16)
    limbs = range(len(skeleton.LIMBS))
    found = []

    def add(below: list[int], stacks: list[tuple[int, ...]]) -> None:
        before = np.concatenate([black, joints[below]])
        after = np.concatenate([black, joints[[sides.joints[joint] for joint in below]]])
        # Limbs are drawn in their order, whichever side they are of.
        other = [sorted(sides.limbs[limb] for limb in stack) for stack in stacks]
        found.append((_stacked(before, joints, stacks), _stacked(after, joints, other)))

    for joint in range(len(skeleton.JOINTS)):
        meeting = [limb for limb in limbs if joint in skeleton.LIMBS[limb]]
        for depth in range(1, len(meeting) + 1):
            add([joint], list(combinations(meeting, depth)))
    for depth in range(1, _MAX_CROSSING + 1):
        add(list(range(len(skeleton.JOINTS))), list(combinations(limbs, depth)))
    return found


def _stacked(below: Colors, limbs: Colors, stacks: Sequence[Sequence[int]]) -> Colors:
    """The colors of stacks of limbs, over each of the colors below."""
    made = np.repeat(below[:, None], len(stacks), axis=1)
    for layer in np.array(stacks).T:
        made = _blend(made, limbs[layer][None])
    return made.reshape(-1, 3)


def _blend(below: Colors, above: Colors) -> Colors:
    """Colors (…, 3) under a limb, as `skeleton.draw` blends them."""
    below, above = np.broadcast_arrays(below, above)
    flat = (np.ascontiguousarray(each.reshape(-1, 3), np.uint8) for each in (below, above))
    made = cv2.addWeighted(next(flat), 1 - skeleton.LIMB_OPACITY, next(flat), skeleton.LIMB_OPACITY, 0)
    return np.asarray(made, np.int16).reshape(below.shape)


class _Sides(NamedTuple):
    """The counterpart of each joint and limb, by number."""

    joints: list[int]
    limbs: list[int]


def _colors_and_sides() -> tuple[Colors, _Sides]:
    """OpenPose's colors, and what is exchanged."""
    sides = _Sides(_joint_sides(skeleton.JOINTS), _limb_sides(skeleton.JOINTS, skeleton.LIMBS))
    return np.array(skeleton.COLORS, np.int16), sides


def _joint_sides(joints: tuple[str, ...]) -> list[int]:
    """The counterpart of each joint."""
    names = {"left": "right", "right": "left"}
    other = [" ".join(names.get(word, word) for word in joint.split()) for joint in joints]
    return [joints.index(name) for name in other]


def _limb_sides(joints: tuple[str, ...], limbs: tuple[tuple[int, int], ...]) -> list[int]:
    """The counterpart of each limb."""
    sides = _joint_sides(joints)
    ends = [frozenset(limb) for limb in limbs]
    return [ends.index(frozenset(sides[joint] for joint in limb)) for limb in limbs]


def _keep_hands(poses: NDArray[np.uint8], made: NDArray[np.uint8]) -> None:
    """Give hands, whose colors name fingers and not sides, their colors back, in place.

    Their bones have colors of their own, but their dots the blue of a knee: dots that touch such a bone are a hand's.
    """
    codes = _codes(poses)
    own = [code for code in _codes(np.array(skeleton.HAND_COLORS)) if code not in _table("openpose")[0]]
    bones = np.isin(codes, own)
    if not bones.any():
        return
    near = cv2.dilate(bones.astype(np.uint8), np.ones((3, 3), np.uint8))
    every = np.isin(codes, _codes(np.array([*skeleton.HAND_COLORS, skeleton.HAND_DOT])))
    _, labels = cv2.connectedComponents(every.astype(np.uint8), connectivity=8)
    hands = np.isin(labels, np.unique(labels[(near > 0) & every])) & every
    made[hands] = poses[hands]


def _codes(colors: NDArray[np.integer]) -> NDArray[np.int64]:
    """Each color as one number."""
    return colors.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])


def _colors(codes: NDArray[np.int64]) -> Colors:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1).astype(np.int16)
