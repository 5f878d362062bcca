"""Drawing OpenPifPaf's skeletons of COCO's 17 key points, and saying the same with OpenPose's 18.

People are float (n, 17, 3): x and y in pixels and a score, 0 for a joint that was not found.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.skeleton import found

JOINTS: tuple[str, ...] = (
    *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder"),
    *("left elbow", "right elbow", "left wrist", "right wrist", "left hip", "right hip"),
    *("left knee", "right knee", "left ankle", "right ankle"),
)
"""COCO's key points, in order; right and left are the person's own."""

LIMBS: tuple[tuple[int, int], ...] = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
    *((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
"""Limb k joins these joints (from 0), is field k of CAF and has color k."""

COLORS: tuple[tuple[int, int, int], ...] = (
    *((31, 119, 180), (174, 199, 232), (255, 127, 14), (255, 187, 120), (44, 160, 44), (152, 223, 138)),
    *((214, 39, 40), (255, 152, 150), (148, 103, 189), (197, 176, 213), (140, 86, 75), (196, 156, 148)),
    *((227, 119, 194), (247, 182, 210), (127, 127, 127), (199, 199, 199), (188, 189, 34), (219, 219, 141)),
    *((23, 190, 207), (158, 218, 229)),
)
"""matplotlib's "tab20", RGB."""

LINE_WIDTH = 6
DASH = 4
"""Length in pixels of a dash, and of the gap behind it."""

SURE = 0.5
"""A limb is drawn solid when the scores of both its joints exceed this, else dashed."""

_DOT_RADIUS = 1
_HALF = (LINE_WIDTH - 1) / 2
"""From a line's middle to the middles of its outermost pixels."""
_SHOULDERS = (5, 6)
_FROM_COCO = (0, 5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""COCO's number of each of OpenPose's joints; the second, the neck, is put between the shoulders instead."""
_NECK = 1
_SHIFT = 4

People = NDArray[np.floating]


def draw(people: People | Sequence[People], height: int, width: int) -> NDArray[np.uint8]:
    """Skeletons on black: uint8 (height, width, 3) RGB.

    Limbs in 19 colors, 6 pixels wide, with a white dot on every joint, person by person, as OpenPifPaf draws over
    pictures. What was not `skeleton.found` is not drawn, and neither are its limbs.
    """
    canvas = np.zeros((height, width, 3), np.uint8)
    for body in np.asarray(people, np.float64).reshape(-1, len(JOINTS), 3):
        there = found(body)
        for (start, end), color in zip(LIMBS, COLORS, strict=False):
            if there[start] and there[end]:
                _draw_limb(canvas, body[start], body[end], color)
        for x, y, _ in body[there]:
            cv2.circle(canvas, (round(x), round(y)), _DOT_RADIUS, (255, 255, 255), thickness=-1)
    return canvas


def _draw_limb(canvas: NDArray[np.uint8], start: People, end: People, color: tuple[int, int, int]) -> None:
    solid = start[2] > SURE and end[2] > SURE
    for polygon in _pieces(start[:2], end[:2], solid, (canvas.shape[1], canvas.shape[0])):
        cv2.fillConvexPoly(canvas, _fixed(polygon), color, shift=_SHIFT)
    if solid:
        for point in (start, end):
            cv2.circle(canvas, _fixed(point[:2]).tolist(), int(_HALF * 2**_SHIFT), color, thickness=-1, shift=_SHIFT)


def _pieces(start: People, end: People, solid: bool, size: tuple[int, int]) -> Iterator[People]:
    """Rectangles (4, 2) as wide as a line: the whole limb, or its dashes from `start` on that touch the canvas."""
    length = float(np.hypot(*(end - start)))
    along = (end - start) / max(length, 1e-9)
    side = np.array([-along[1], along[0]]) * _HALF
    begins, piece = (np.zeros(1), length) if solid else (np.arange(0.0, length, 2 * DASH), DASH - 1.0)
    places = start + (begins[:, None] + piece / 2) * along
    near = piece / 2 + LINE_WIDTH
    touching = ((places > -near) & (places < np.array(size) + near)).all(axis=1)
    for begin in begins[touching]:
        a, b = start + begin * along, start + min(begin + piece, length) * along
        yield np.array([a + side, b + side, b - side, a - side])


def _fixed(points: People) -> NDArray[np.int32]:
    """In sixteenths of a pixel, as OpenCV wants them."""
    return np.round(points * 2**_SHIFT).astype(np.int32)


def to_openpose(people: People) -> NDArray[np.float64]:
    """COCO's 17 key points (n, 17, 3) as OpenPose's 18 (n, 18, 3), in the order of `cn.detect.pose.skeleton.JOINTS`.

    The neck is midway between the shoulders and as sure as the less sure of them; it is only there when both are.
    """
    bodies = np.asarray(people, np.float64).reshape(-1, len(JOINTS), 3)
    made = bodies[:, list(_FROM_COCO)]
    shoulders = bodies[:, list(_SHOULDERS)]
    neck = np.concatenate([shoulders[..., :2].mean(axis=1), shoulders[..., 2].min(axis=1)[:, None]], axis=1)
    made[:, _NECK] = np.where(found(shoulders).all(axis=1, keepdims=True), neck, 0.0)
    return made
