"""One image of people as JSON: the format of OpenPose, and of the web UIs and their editors.

An image is {"people": [{"pose_keypoints_2d": [x, y, score, …], "hand_left_keypoints_2d": …,
"hand_right_keypoints_2d": …, "face_keypoints_2d": …}], "canvas_width": …, "canvas_height": …}; some editors call the
canvas "width" and "height". OpenPose writes none, and 25 points per body with its newer model, which adds feet; those
are written as "foot_keypoints_2d", which other programs ignore. Some versions of the ControlNet extension write
coordinates as fractions of the canvas. Their editors accept a point only if its score is 1, and a face only if it has
70 points, so that is what is written. Records of `cn detect --json`, which hold the same under "found", are read as
well. Animals are never drawn.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.json_numbers import flat_points, image_size, kind_of, listed
from cn.detect.pose.keypoint_orders import Person, person, person_of
from cn.detect.pose.people import ImagePoses
from cn.detect.pose.pose_images import NO_LIMITS, Limits, PoseImage
from cn.detect.pose.skeleton import FACE_POINTS, FOOT_POINTS, HAND_POINTS, JOINTS, detected
from cn.errors import InputError

OPENPOSE_LIMITS = Limits(0.05, 0.2, 0.4)
"""OpenPose also writes undetected points, with lower scores than these; it does not draw them either."""

_CANVASES = (("canvas_height", "canvas_width"), ("height", "width"))
"""The names that the web UIs give to the canvas, and those of some editors of poses."""

FEET = "foot_keypoints_2d"
_BODIES = ("pose_keypoints_2d", "pose_keypoints")
_HANDS = (("hand_left_keypoints_2d", "hand_left_keypoints"), ("hand_right_keypoints_2d", "hand_right_keypoints"))
_FACES = ("face_keypoints_2d", "face_keypoints")
"""OpenPose's names, and those of its first versions."""


def is_image(record: Any) -> bool:
    """Whether a value of JSON is an image in this format, valid or not."""
    return isinstance(record, dict) and not {"people", "animals", "found"}.isdisjoint(record)


def pose_image(record: Any) -> PoseImage:
    """The image of one JSON object. Raises InputError, without a path, for what is none."""
    name = record.get("output") if isinstance(record, dict) else None
    if isinstance(record, dict) and "people" not in record and isinstance(record.get("found"), dict):
        record = record["found"]
    if not isinstance(record, dict):
        raise InputError(f'is {kind_of(record)}, where an image is an object with "people"')
    if "people" not in record and "animals" not in record:
        raise InputError('has no "people", so it is not in the format of OpenPose and its editors')
    people = listed(record.get("people"), "people")
    stated = next((pair for pair in _CANVASES if any(record.get(field) is not None for field in pair)), None)
    size = None if stated is None else image_size(record.get(stated[0]), record.get(stated[1]), stated)
    limits = OPENPOSE_LIMITS if size is None else NO_LIMITS
    animals = len(listed(record.get("animals"), "animals"))
    name = name if isinstance(name, str) else None
    return PoseImage(people, _person, size=size, name=name, limits=limits, animals=animals)


def _person(record: Any, field: str) -> Person:
    if not isinstance(record, dict):
        raise InputError(f'{field} is {kind_of(record)}, where a person is an object with "pose_keypoints_2d"')
    body = _points(record, _BODIES, (len(JOINTS), 25, 17), field)
    known = person(np.zeros((len(JOINTS), 3))) if body is None else person_of(body, field)
    hands = [_points(record, names, (HAND_POINTS,), field) for names in _HANDS]
    # The web UIs leave out points that they did not find; which ones are there does not matter to dots.
    face = _points(record, _FACES, range(1, FACE_POINTS + 1), field)
    feet = _points(record, (FEET,), (FOOT_POINTS,), field)
    none = np.zeros((HAND_POINTS, 3))
    return person(
        known.body,
        feet=known.feet if feet is None else feet,
        face=face,
        hands=np.stack([none if hand is None else hand for hand in hands]),
    )


def _points(record: dict[str, Any], names: tuple[str, ...], sizes: Sequence[int], field: str) -> Any:
    """The points (n, 3) under the first of the names that is there; None where there are none."""
    name = next((name for name in names if record.get(name) is not None), names[0])
    return flat_points(record.get(name), f"{field}.{name}", sizes)


def write(poses: ImagePoses) -> str:
    """An image as JSON, with a score of 1 for each detected point, as the web UIs require."""
    return json.dumps(record(poses, scores=False), allow_nan=False)


def record(poses: ImagePoses, scores: bool = True) -> dict[str, Any]:
    """An image as a JSON object, with the scores themselves or with 1 for each detected point."""
    people = [
        {
            "pose_keypoints_2d": _flat(body, scores),
            "face_keypoints_2d": _flat(face, scores) if (face[:, 2] > 0).any() else None,
            "hand_left_keypoints_2d": _flat(hands[0], scores) if (hands[0, :, 2] > 0).any() else None,
            "hand_right_keypoints_2d": _flat(hands[1], scores) if (hands[1, :, 2] > 0).any() else None,
        }
        | ({FEET: _flat(feet, scores)} if (feet[:, 2] > 0).any() else {})
        for body, hands, face, feet in zip(poses.people, poses.hands, poses.faces, poses.feet, strict=True)
    ]
    found = {"people": people, "canvas_height": poses.height, "canvas_width": poses.width}
    return found | ({"not_found": poses.not_found} if poses.not_found and scores else {})


def _flat(points: NDArray[np.float64], scores: bool) -> list[float]:
    """x, y, score, x, y, score, …"""
    mask = detected(points)
    values = np.where(mask[:, None], points, 0.0)
    if not scores:
        values[:, 2] = mask
    return [float(value) for value in values.ravel()]
