"""Drawing OpenPose skeletons exactly as the published pose ControlNets saw them in training."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Style = Literal["released", "v1.1"]

JOINTS: tuple[str, ...] = (
    *("nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist"),
    *("right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle"),
    *("right eye", "left eye", "right ear", "left ear"),
)
"""The 18 key points of OpenPose's COCO model, in order; right and left are the person's own."""

# Limb k joins these joints (from 0) and has color k. OpenPose knows two more (shoulder to ear); they are never drawn.
LIMBS: tuple[tuple[int, int], ...] = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)

# 18 hues around the circle at full saturation, RGB: joint i has color i.
COLORS: tuple[tuple[int, int, int], ...] = (
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0)),
    *((0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255)),
    *((170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
)

# A hand's 20 bones: from the wrist, point 0, along each finger, from the thumb on.
HAND_EDGES: tuple[tuple[int, int], ...] = tuple((0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21))

# 20 hues around the circle at full saturation, RGB, halves rounded as published: bone i has color i.
HAND_COLORS: tuple[tuple[int, int, int], ...] = (
    *((255, 0, 0), (255, 77, 0), (255, 153, 0), (255, 229, 0), (204, 255, 0), (128, 255, 0), (51, 255, 0)),
    *((0, 255, 25), (0, 255, 102), (0, 255, 179), (0, 255, 255), (0, 178, 255), (0, 102, 255), (0, 25, 255)),
    *((51, 0, 255), (128, 0, 255), (204, 0, 255), (255, 0, 230), (255, 0, 153), (255, 0, 77)),
)

HAND_POINTS, HAND_DOT, BONE_WIDTH = 21, (0, 0, 255), 2
STICK_WIDTH = 4
JOINT_RADIUS = 4
LIMB_OPACITY = 0.6

FARTHEST = 1e6
"""Points farther from the canvas than this many pixels are taken for mistakes, and not drawn."""

Canvas = NDArray[np.uint8]
Keypoints = NDArray[np.floating]


def draw(
    people: Keypoints | Sequence[Keypoints],
    height: int,
    width: int,
    style: Style = "released",
    hands: Keypoints | Sequence[Keypoints] | None = None,
) -> Canvas:
    """Skeletons on black: uint8 (height, width, 3) RGB.

    `people` is (n, 18, 3): x and y in pixels of this canvas (origin at the top left) and a score. What was not `found`
    is not drawn, and neither are its limbs.
    `style` "released" is the drawing of the v1.0 checkpoints, the paper's: joints first, limbs laid over everything
    with 60 % opacity. "v1.1" draws limbs at 60 % brightness, each person's joints on top of them.
    Thickness does not depend on the size of the canvas: the checkpoints saw 4-pixel joints at 512 pixels.
    `hands` is (n, 2, 21, 3), the left and the right hand of each person: in the released style over all bodies, else
    each over its own.
    """
    bodies = np.asarray(people, np.float64).reshape(-1, len(JOINTS), 3)
    pairs = np.zeros((len(bodies), 2, HAND_POINTS, 3)) if hands is None else np.asarray(hands, np.float64)
    pairs = pairs.reshape(len(bodies), 2, HAND_POINTS, 3)
    canvas = np.zeros((height, width, 3), np.uint8)
    if style == "v1.1":
        for body, pair in zip(bodies, pairs, strict=True):
            for limb, polygon in _limbs(body):
                cv2.fillConvexPoly(canvas, polygon, [int(channel * LIMB_OPACITY) for channel in COLORS[limb]])
            _draw_joints(canvas, body[None])
            _draw_hands(canvas, pair)
        return canvas
    _draw_joints(canvas, bodies)
    # Limb by limb, over all people: where bodies cross, the order shows through the opacity.
    drawn = sorted(((limb, polygon) for body in bodies for limb, polygon in _limbs(body)), key=lambda pair: pair[0])
    for limb, polygon in drawn:
        _lay_over(canvas, polygon, COLORS[limb])
    _draw_hands(canvas, pairs.reshape(-1, HAND_POINTS, 3))
    return canvas


def found(points: Keypoints) -> NDArray[np.bool_]:
    """Which of some points (…, 3) are there: (…). Those with a score above 0, at a place."""
    return np.asarray((points[..., 2] > 0) & (np.abs(points[..., :2]) < FARTHEST).all(axis=-1))


def _lay_over(canvas: Canvas, polygon: NDArray[np.int32], color: tuple[int, int, int]) -> None:
    """A polygon with `LIMB_OPACITY`, in place; as if the whole canvas were blended, which changes nothing elsewhere."""
    left, top = np.maximum(polygon.min(axis=0), 0).tolist()
    right, bottom = (polygon.max(axis=0) + 1).tolist()
    part = canvas[top : max(bottom, 0), left : max(right, 0)]
    if part.size:
        painted = cv2.fillConvexPoly(part.copy(), polygon - np.array([left, top], np.int32), color)
        part[:] = cv2.addWeighted(part, 1 - LIMB_OPACITY, painted, LIMB_OPACITY, 0)


def _draw_joints(canvas: Canvas, bodies: Keypoints) -> None:
    """Filled circles, joint by joint over all people, in place."""
    there = found(bodies)
    for joint, color in enumerate(COLORS):
        for body in bodies[there[:, joint]]:
            cv2.circle(canvas, (int(body[joint, 0]), int(body[joint, 1])), JOINT_RADIUS, color, thickness=-1)


def _draw_hands(canvas: Canvas, hands: Keypoints) -> None:
    """Bones as lines, then all points as blue dots, hand by hand (n, 21, 3), in place.

    A point in the first row or column, or beyond, counts as not seen, as for the lines of the release and all of v1.1.
    (The release puts a dot there, and one into the corner for each point that is not seen; nobody wants those.)
    """
    for hand in hands:
        seen = found(hand) & (hand[:, :2] >= 1).all(axis=-1)
        places = [(int(x), int(y)) if there else None for (x, y, _), there in zip(hand, seen, strict=True)]
        for (start, end), color in zip(HAND_EDGES, HAND_COLORS, strict=True):
            a, b = places[start], places[end]
            if a and b:
                cv2.line(canvas, a, b, color, BONE_WIDTH)
        for place in places:
            if place:
                cv2.circle(canvas, place, JOINT_RADIUS, HAND_DOT, thickness=-1)


def _limbs(body: Keypoints) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """(number of the limb, ellipse polygon (k, 2)) for the limbs of one body (18, 3) whose two ends are there."""
    there = found(body)
    for limb, (start, end) in enumerate(LIMBS):
        if not (there[start] and there[end]):
            continue
        (x0, y0), (x1, y1) = body[start, :2], body[end, :2]
        center = (int((x0 + x1) / 2), int((y0 + y1) / 2))
        half_length = int(math.hypot(x0 - x1, y0 - y1) / 2)
        angle = int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
        yield limb, np.asarray(cv2.ellipse2Poly(center, (half_length, STICK_WIDTH), angle, 0, 360, 1), np.int32)
