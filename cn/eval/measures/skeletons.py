"""Keypoints read off drawn skeletons: the 18 joints of OpenPose, or COCO's 17 as OpenPifPaf draws them.

People are float (n, 18, 3) in the order of `cn.detect.pose.skeleton.JOINTS`: x and y in pixels and 1, or zeros for a
joint that is not drawn. Own code: no library reads drawings of skeletons.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.data.lint.pose_checks import joints_and_limbs
from cn.detect.pose import coco_skeleton, skeleton
from cn.detect.pose.skeleton import JOINT_RADIUS

People = NDArray[np.float64]
Point = NDArray[np.float64]

STRAY = 8
"""How far a pixel may be from the color of its joint or limb: JPEG moves it so far, and blended limbs farther."""

MIN_PIXELS = 4
"""Fewer pixels of a joint's color are the seam of something else."""

MIN_LIT = 0.9
"""The share of the straight line between two joints of one person that must not be black."""

_BLACK = 24
_END_RADIUS = 5
"""Around a dot of OpenPifPaf's drawing, the limbs that end there are seen within this many pixels."""


def read_people(drawn: NDArray[np.uint8]) -> People:
    """The people of a map (h, w, 3) RGB with 18 colored joints each, as `skeleton.draw` draws them in either style.

    Each joint is the center of the circle around the pixels of its color; limbs, which have a color each, tell which
    joints are of one person. Joints that something else covers are not read.
    """
    joints, limbs = joints_and_limbs(drawn, STRAY)
    found = [_circles(joints == joint) for joint in range(len(skeleton.JOINTS))]
    return _joined(found, skeleton.LIMBS, [limbs == limb for limb in range(len(skeleton.LIMBS))], _lit(drawn))


def read_coco_people(drawn: NDArray[np.uint8]) -> People:
    """The people of a map as `coco_skeleton.draw` draws them, converted to 18 joints.

    Joints are white dots; which one it is follows from the colors of the limbs that end there. One whose limbs leave
    that open (of a person of whom a single limb is seen) is not read.
    """
    colors = np.array(coco_skeleton.COLORS[: len(coco_skeleton.LIMBS)], np.int32)
    masks = [(np.abs(drawn.astype(np.int32) - color).max(axis=2) <= STRAY) for color in colors]
    dots = _circles(drawn.min(axis=2) >= 255 - STRAY, radius=1)
    found: list[list[Point]] = [[] for _ in coco_skeleton.JOINTS]
    for dot, limbs in zip(dots, [_ending(masks, dot) for dot in dots], strict=True):
        fitting = [j for j in range(len(found)) if limbs and all(j in coco_skeleton.LIMBS[k] for k in limbs)]
        if len(fitting) == 2:
            # One limb alone: the end at which no other limb is missing, as at a wrist or an ankle.
            ends = [j for j in fitting if sum(j in limb for limb in coco_skeleton.LIMBS) == 1]
            fitting = ends or fitting
        if len(fitting) == 1:
            found[fitting[0]].append(dot)
    people = _joined(found, coco_skeleton.LIMBS, masks, _lit(drawn))
    return coco_skeleton.to_openpose(people)


def _circles(mask: NDArray[np.bool_], radius: int = JOINT_RADIUS) -> list[Point]:
    """The center (x, y) of the circle around each group of pixels, of which parts may be covered."""
    if not mask.any():
        return []
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((2 * (radius // 2) + 1,) * 2, np.uint8))
    count, labels = cv2.connectedComponents(wide, connectivity=8)
    groups = [np.argwhere(mask & (labels == group))[:, ::-1] for group in range(1, count)]
    circles = [
        cv2.minEnclosingCircle(g.astype(np.float32)) for g in groups if len(g) >= (MIN_PIXELS if radius > 1 else 1)
    ]
    return [np.array(center, np.float64) for center, found in circles if found >= radius / 2]


def _ending(masks: Sequence[NDArray[np.bool_]], dot: Point) -> list[int]:
    """The limbs with pixels around a dot."""
    x, y = np.rint(dot).astype(int)
    top, left = max(0, y - _END_RADIUS), max(0, x - _END_RADIUS)
    window = (slice(top, y + _END_RADIUS + 1), slice(left, x + _END_RADIUS + 1))
    return [k for k, mask in enumerate(masks) if int(mask[window].sum()) >= MIN_PIXELS]


def _lit(drawn: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return drawn.max(axis=2) >= _BLACK


def _joined(
    found: Sequence[Sequence[Point]],
    limbs: Sequence[tuple[int, int]],
    masks: Sequence[NDArray[np.bool_]],
    lit: NDArray[np.bool_],
) -> People:
    """The joints of each type as people (n, types, 3): those that limbs connect are of one person.

    Of several joints, each limb takes the two between which most of its own color lies, then the nearest: in small
    drawings the joints' circles cover short limbs.
    """
    people = {(joint, k): np.zeros((len(found), 3)) for joint, points in enumerate(found) for k in range(len(points))}
    for (joint, k), body in people.items():
        body[joint] = (*found[joint][k], 1)
    for (start, end), mask in zip(limbs, masks, strict=True):
        pairs = []
        for i, a in enumerate(found[start]):
            for j, b in enumerate(found[end]):
                xs, ys = _between(a, b, mask.shape)
                if lit[ys, xs].mean() >= MIN_LIT:
                    pairs.append((-round(float(mask[ys, xs].mean()), 1), len(xs), i, j))
        for _, _, i, j in sorted(pairs):
            a, b = people[start, i], people[end, j]
            if a is b or (a[:, 2] * b[:, 2]).any():
                continue
            a += b
            people |= {key: a for key, body in people.items() if body is b}
    parts = list({id(body): body for body in people.values()}.values())
    return np.array(_together(parts, lit)).reshape(-1, len(found), 3)


def _together(parts: Sequence[People], lit: NDArray[np.bool_]) -> list[People]:
    """Parts of people, the largest first, with those that a covered joint separates put together.

    They are of one person if one drawing connects them and no joint is in both.
    """
    _, drawings = cv2.connectedComponents(lit.astype(np.uint8), connectivity=8)
    people: list[tuple[int, People]] = []
    for part in sorted(parts, key=lambda part: -part[:, 2].sum()):
        x, y, _ = np.rint(part[part[:, 2] > 0][0]).astype(int)
        drawing = int(drawings[min(y, lit.shape[0] - 1), min(x, lit.shape[1] - 1)])
        same = (body for other, body in people if other == drawing and not (body[:, 2] * part[:, 2]).any())
        if (body := next(same, None)) is not None:
            body += part
        else:
            people.append((drawing, part))
    return [body for _, body in people]


def _between(a: Point, b: Point, size: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixels (xs, ys) of the straight line between two points."""
    steps = np.linspace(0, 1, 2 + int(np.hypot(*(b - a))))[:, None]
    places = np.rint(a + steps * (b - a)).astype(np.int64).clip(0, np.array(size[::-1]) - 1)
    return places[:, 0], places[:, 1]
