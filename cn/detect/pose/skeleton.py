"""Drawing OpenPose skeletons exactly as the published pose ControlNets saw them in training."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from cn.detect.settings import Style

JOINTS: tuple[str, ...] = (
    *("nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist"),
    *("right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle"),
    *("right eye", "left eye", "right ear", "left ear"),
)
"""The 18 keypoints of OpenPose's COCO model, in order; right and left are the person's own."""

# Limb k connects these joints (from 0) and has color k. OpenPose has two more (shoulder to ear), which are not drawn.
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

# The 20 bones of a hand: from the wrist, point 0, along each finger, starting with the thumb.
HAND_EDGES: tuple[tuple[int, int], ...] = tuple((0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21))

# 20 hues around the circle at full saturation, RGB, halves rounded as published: bone i has color i.
HAND_COLORS: tuple[tuple[int, int, int], ...] = (
    *((255, 0, 0), (255, 77, 0), (255, 153, 0), (255, 229, 0), (204, 255, 0), (128, 255, 0), (51, 255, 0)),
    *((0, 255, 25), (0, 255, 102), (0, 255, 179), (0, 255, 255), (0, 178, 255), (0, 102, 255), (0, 25, 255)),
    *((51, 0, 255), (128, 0, 255), (204, 0, 255), (255, 0, 230), (255, 0, 153), (255, 0, 77)),
)

HAND_POINTS, HAND_DOT, BONE_WIDTH = 21, (0, 0, 255), 2
FACE_POINTS, FACE_DOT, FACE_RADIUS = 70, (255, 255, 255), 3
FOOT_POINTS = 6
"""Of both feet. No style draws them."""

STICK_WIDTH = 4
JOINT_RADIUS = 4
LIMB_OPACITY = 0.6

MAX_COORDINATE = 1e6
"""Points farther from the origin than this many pixels are treated as errors, and not drawn."""

Canvas = NDArray[np.uint8]
Keypoints = NDArray[np.floating]


def draw(
    people: Keypoints | Sequence[Keypoints],
    height: int,
    width: int,
    style: Style = "released",
    hands: Keypoints | Sequence[Keypoints] | None = None,
    faces: Keypoints | Sequence[Keypoints] | None = None,
) -> Canvas:
    """Skeletons on black: uint8 (height, width, 3) RGB.

    `people` is (n, 18, 3): x and y in pixels of this canvas (origin at the top left) and a score. Joints that are not
    `detected` are not drawn, and neither are their limbs.
    `style` "released" is the style of the v1.0 checkpoints, the paper's: joints first, then all limbs with 60 %
    opacity. "v1.1" draws limbs at 60 % brightness, with each person's joints on top of them.
    The line width does not depend on the size of the canvas: the checkpoints were trained with 4-pixel joints at 512.
    `hands` is (n, 2, 21, 3), the left and the right hand of each person: drawn over all bodies in the released style,
    else each over its own body. `faces` is (n, 70, 3), drawn after the hands, as white dots; the paper drew none.
    """
    import cv2

    bodies = np.asarray(people, np.float64).reshape(-1, len(JOINTS), 3)
    pairs = np.zeros((len(bodies), 2, HAND_POINTS, 3)) if hands is None else np.asarray(hands, np.float64)
    pairs = pairs.reshape(len(bodies), 2, HAND_POINTS, 3)
    heads = np.zeros((len(bodies), FACE_POINTS, 3)) if faces is None else np.asarray(faces, np.float64)
    canvas = np.zeros((height, width, 3), np.uint8)
    if style == "v1.1":
        for body, pair, head in zip(bodies, pairs, heads, strict=True):
            for limb, polygon in _limbs(body):
                cv2.fillConvexPoly(canvas, polygon, [int(channel * LIMB_OPACITY) for channel in COLORS[limb]])
            _draw_joints(canvas, body[None])
            _draw_hands(canvas, pair)
            _draw_faces(canvas, head[None])
        return canvas
    _draw_joints(canvas, bodies)
    # Limb by limb over all people: the order is visible where bodies overlap.
    in_order = sorted(((limb, polygon) for body in bodies for limb, polygon in _limbs(body)), key=lambda pair: pair[0])
    for limb, polygon in in_order:
        _blend(canvas, polygon, COLORS[limb])
    _draw_hands(canvas, pairs.reshape(-1, HAND_POINTS, 3))
    _draw_faces(canvas, heads)
    return canvas


def detected(points: Keypoints) -> NDArray[np.bool_]:
    """Mask (…) of the points (…, 3) with a score above 0 and finite coordinates up to `MAX_COORDINATE`."""
    return np.asarray((points[..., 2] > 0) & (np.abs(points[..., :2]) < MAX_COORDINATE).all(axis=-1))


def _blend(canvas: Canvas, polygon: NDArray[np.int32], color: tuple[int, int, int]) -> None:
    """Blend a polygon with `LIMB_OPACITY`, in place: like the published blending of the whole canvas."""
    import cv2

    left, top = np.maximum(polygon.min(axis=0), 0).tolist()
    right, bottom = (polygon.max(axis=0) + 1).tolist()
    region = canvas[top : max(bottom, 0), left : max(right, 0)]
    if region.size:
        filled = cv2.fillConvexPoly(region.copy(), polygon - np.array([left, top], np.int32), color)
        region[:] = cv2.addWeighted(region, 1 - LIMB_OPACITY, filled, LIMB_OPACITY, 0)


def _draw_joints(canvas: Canvas, bodies: Keypoints) -> None:
    """Filled circles, joint by joint over all people, in place."""
    import cv2

    mask = detected(bodies)
    for joint, color in enumerate(COLORS):
        for body in bodies[mask[:, joint]]:
            cv2.circle(canvas, (int(body[joint, 0]), int(body[joint, 1])), JOINT_RADIUS, color, thickness=-1)


def _draw_hands(canvas: Canvas, hands: Keypoints) -> None:
    """Bones as lines, then all points as blue dots, hand by hand (n, 21, 3), in place.

    Points in the first row or column, or beyond, count as missing, as for the lines of the release and all of v1.1.
    (The release also draws dots there, and one in the corner for each missing point; these are left out here.)
    """
    import cv2

    for hand in hands:
        mask = detected(hand) & (hand[:, :2] >= 1).all(axis=-1)
        points = [(int(x), int(y)) if valid else None for (x, y, _), valid in zip(hand, mask, strict=True)]
        for (start, end), color in zip(HAND_EDGES, HAND_COLORS, strict=True):
            a, b = points[start], points[end]
            if a and b:
                cv2.line(canvas, a, b, color, BONE_WIDTH)
        for point in points:
            if point:
                cv2.circle(canvas, point, JOINT_RADIUS, HAND_DOT, thickness=-1)


def _draw_faces(canvas: Canvas, faces: Keypoints) -> None:
    """All points of the faces (n, 70, 3) as white dots, in place (draw_facepose of ControlNet 1.1).

    Points in the first row or column, or beyond, count as missing, as in the release.
    """
    import cv2

    for face in faces:
        for x, y, _ in face[detected(face) & (face[:, :2] >= 1).all(axis=-1)]:
            cv2.circle(canvas, (int(x), int(y)), FACE_RADIUS, FACE_DOT, thickness=-1)


def _limbs(body: Keypoints) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """(index of the limb, ellipse polygon (k, 2)) for the limbs of one body (18, 3) with both ends detected."""
    import cv2

    mask = detected(body)
    for limb, (start, end) in enumerate(LIMBS):
        if not (mask[start] and mask[end]):
            continue
        (x0, y0), (x1, y1) = body[start, :2], body[end, :2]
        center = (int((x0 + x1) / 2), int((y0 + y1) / 2))
        half_length = int(math.hypot(x0 - x1, y0 - y1) / 2)
        angle = int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
        yield limb, np.asarray(cv2.ellipse2Poly(center, (half_length, STICK_WIDTH), angle, 0, 360, 1), np.int32)
