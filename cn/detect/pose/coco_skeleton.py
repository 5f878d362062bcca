"""Drawing of OpenPifPaf's skeletons with COCO's 17 keypoints, and their conversion to OpenPose's 18.

People are float (n, 17, 3): x and y in pixels and a score, 0 for a joint that was not found.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.skeleton import JOINTS as OPENPOSE_JOINTS
from cn.detect.pose.skeleton import detected

JOINTS: tuple[str, ...] = (
    *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder"),
    *("left elbow", "right elbow", "left wrist", "right wrist", "left hip", "right hip"),
    *("left knee", "right knee", "left ankle", "right ankle"),
)
"""COCO's keypoints, in order; right and left are the person's own."""

LIMBS: tuple[tuple[int, int], ...] = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
    *((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
"""Limb k connects these joints (from 0), is field k of CAF and has color k."""

COLORS: tuple[tuple[int, int, int], ...] = (
    *((31, 119, 180), (174, 199, 232), (255, 127, 14), (255, 187, 120), (44, 160, 44), (152, 223, 138)),
    *((214, 39, 40), (255, 152, 150), (148, 103, 189), (197, 176, 213), (140, 86, 75), (196, 156, 148)),
    *((227, 119, 194), (247, 182, 210), (127, 127, 127), (199, 199, 199), (188, 189, 34), (219, 219, 141)),
    *((23, 190, 207), (158, 218, 229)),
)
"""matplotlib's "tab20", RGB."""

LINE_WIDTH = 6
DASH = 4
"""Length in pixels of a dash, and of the gap after it."""

SOLID_SCORE = 0.5
"""A limb is solid if the scores of both its joints exceed this, else dashed."""

_DOT_RADIUS = 1
_HALF = (LINE_WIDTH - 1) / 2
"""Distance from the center of a line to the centers of its outermost pixels."""
_SHOULDERS = (5, 6)
_FROM_COCO = (0, 5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""COCO's index for each of OpenPose's joints; the entry of the neck is a placeholder."""
_NECK = 1
_SHIFT = 4
"""Fractional bits of OpenCV's fixed-point coordinates."""

People = NDArray[np.floating]


def draw(people: People | Sequence[People], height: int, width: int) -> NDArray[np.uint8]:
    """Skeletons on black: uint8 (height, width, 3) RGB.

    Limbs in 19 colors, 6 pixels wide, with a white dot on every joint, person by person, as OpenPifPaf draws them.
    Joints that are not `skeleton.detected` are not drawn, and neither are their limbs.
    """
    canvas = np.zeros((height, width, 3), np.uint8)
    for body in np.asarray(people, np.float64).reshape(-1, len(JOINTS), 3):
        mask = detected(body)
        for (start, end), color in zip(LIMBS, COLORS, strict=False):
            if mask[start] and mask[end]:
                _draw_limb(canvas, body[start], body[end], color)
        for x, y, _ in body[mask]:
            cv2.circle(canvas, (round(x), round(y)), _DOT_RADIUS, (255, 255, 255), thickness=-1)
    return canvas


def _draw_limb(canvas: NDArray[np.uint8], start: People, end: People, color: tuple[int, int, int]) -> None:
    solid = start[2] > SOLID_SCORE and end[2] > SOLID_SCORE
    for polygon in _segments(start[:2], end[:2], solid, (canvas.shape[1], canvas.shape[0])):
        cv2.fillConvexPoly(canvas, _fixed_point(polygon), color, shift=_SHIFT)
    if solid:
        for point in (start, end):
            center, radius = _fixed_point(point[:2]).tolist(), int(_HALF * 2**_SHIFT)
            cv2.circle(canvas, center, radius, color, thickness=-1, shift=_SHIFT)


def _segments(start: People, end: People, solid: bool, size: tuple[int, int]) -> Iterator[People]:
    """Rectangles (4, 2) with the line width: the whole limb, or its dashes, starting at `start`, on the canvas."""
    length = float(np.hypot(*(end - start)))
    along = (end - start) / max(length, 1e-9)
    side = np.array([-along[1], along[0]]) * _HALF
    offsets, dash = (np.zeros(1), length) if solid else (np.arange(0.0, length, 2 * DASH), DASH - 1.0)
    centers = start + (offsets[:, None] + dash / 2) * along
    margin = dash / 2 + LINE_WIDTH
    visible = ((centers > -margin) & (centers < np.array(size) + margin)).all(axis=1)
    for offset in offsets[visible]:
        a, b = start + offset * along, start + min(offset + dash, length) * along
        yield np.array([a + side, b + side, b - side, a - side])


def _fixed_point(points: People) -> NDArray[np.int32]:
    """Coordinates in sixteenths of a pixel, for OpenCV's `shift`."""
    return np.round(points * 2**_SHIFT).astype(np.int32)


def to_openpose(people: People) -> NDArray[np.float64]:
    """COCO's 17 keypoints (n, 17, 3) as OpenPose's 18 (n, 18, 3), in the order of `cn.detect.pose.skeleton.JOINTS`.

    The neck is the midpoint of the shoulders with the lower of their scores; it is missing if one of them is.
    """
    bodies = np.asarray(people, np.float64).reshape(-1, len(JOINTS), 3)
    converted = bodies[:, list(_FROM_COCO)]
    shoulders = bodies[:, list(_SHOULDERS)]
    neck = np.concatenate([shoulders[..., :2].mean(axis=1), shoulders[..., 2].min(axis=1)[:, None]], axis=1)
    converted[:, _NECK] = np.where(detected(shoulders).all(axis=1, keepdims=True), neck, 0.0)
    return converted


def from_openpose(people: People) -> NDArray[np.float64]:
    """OpenPose's 18 keypoints (n, 18, 3) as COCO's 17 (n, 17, 3), without the neck: the inverse of `to_openpose`."""
    bodies = np.asarray(people, np.float64).reshape(-1, len(OPENPOSE_JOINTS), 3)
    return bodies[:, [OPENPOSE_JOINTS.index(name) for name in JOINTS]]
