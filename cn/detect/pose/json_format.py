"""One image of people as JSON: the format of OpenPose, and of the web UIs and their editors.

An image is {"people": [{"pose_keypoints_2d": [x, y, score, …], "hand_left_keypoints_2d": …,
"hand_right_keypoints_2d": …, "face_keypoints_2d": …}], "canvas_width": …, "canvas_height": …}. OpenPose writes no
canvas, and 25 points per body with its newer model. Some versions of the ControlNet extension write coordinates as
fractions of the canvas. Their editors accept a point only if its score is 1, so that is what is written. Records of
`cn detect --json`, which hold the same under "found", are read as well. Faces and animals are ignored: they are never
drawn.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.coco_skeleton import JOINTS as COCO_JOINTS
from cn.detect.pose.coco_skeleton import to_openpose
from cn.detect.pose.people import ImagePoses
from cn.detect.pose.skeleton import HAND_POINTS, JOINTS, detected
from cn.errors import InputError
from cn.images import MAX_PIXELS

BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
"""Indices of the 18 joints among the 25 of OpenPose's newer model, which adds the middle of the hips and the feet."""

MAX_PEOPLE = 2000
"""Images with more people are refused: in no crowd are the joints of so many distinguishable."""

MAX_FRACTION = 2.0
"""Coordinates are fractions of the canvas if most points of an image do not exceed this value."""

MAX_NEGATIVE = 0.25
"""If a larger fraction of such points is negative, they are OpenPose's -1..1, not 0..1."""

BODY_SCORE, HAND_SCORE = 0.05, 0.2
"""OpenPose also writes undetected points, with lower scores than these; it does not draw them either."""

_BODIES = ("pose_keypoints_2d", "pose_keypoints")
_HANDS = (("hand_left_keypoints_2d", "hand_left_keypoints"), ("hand_right_keypoints_2d", "hand_right_keypoints"))
"""OpenPose's names, and those of its first versions."""


def parse_image(record: Any, size: tuple[int, int] | None, min_score: float | None) -> ImagePoses:
    """The people of one JSON object; for `size` and `min_score` see `json_files.PoseFile.image`.

    Raises InputError, without a path, that names the invalid field.
    """
    if isinstance(record, dict) and "people" not in record and isinstance(record.get("found"), dict):
        record = record["found"]
    if not isinstance(record, dict):
        raise InputError(f'is {_kind(record)}, where an image is an object with "people"')
    if "people" not in record and "animals" not in record:
        raise InputError('has no "people", so it is not in the format of OpenPose and its editors')
    listed = record.get("people")
    if not isinstance(listed, list | None):
        raise InputError(f"people is {_kind(listed)}, not a list")
    if len(listed or []) > MAX_PEOPLE:
        raise InputError(f"has {len(listed or [])} people, at most {MAX_PEOPLE} can be drawn")
    height, width = _canvas(record, size)
    if min_score is None:
        from_openpose = record.get("canvas_height") is None
        scores = (BODY_SCORE, HAND_SCORE) if from_openpose else (0.0, 0.0)
    else:
        scores = (min_score, min_score)
    parsed = [_person(person, f"people[{number}]", scores) for number, person in enumerate(listed or [])]
    kept = [(body, hands) for body, hands in parsed if (body[:, 2] > 0).any() or (hands[..., 2] > 0).any()]
    people = np.array([body for body, _ in kept]).reshape(-1, len(JOINTS), 3)
    hands = np.array([pair for _, pair in kept]).reshape(-1, 2, HAND_POINTS, 3)
    for points in (people, hands):
        _to_pixels(points, height, width)
    return ImagePoses(people, hands, height, width)


def _to_pixels(points: NDArray[np.float64], height: int, width: int) -> None:
    """Convert points (…, 3) in fractions of the canvas to pixels, in place."""
    places = points[points[..., 2] > 0][:, :2]
    if not places.size or not np.median(np.abs(places).max(axis=1)) <= MAX_FRACTION < max(height, width):
        return
    if (places < 0).any(axis=1).mean() > MAX_NEGATIVE:
        raise InputError("its coordinates go from -1 to 1; give pixels, or fractions of the canvas from 0 to 1")
    points[..., :2] *= (width, height)


def _canvas(record: dict[str, Any], size: tuple[int, int] | None) -> tuple[int, int]:
    if record.get("canvas_height") is None and record.get("canvas_width") is None:
        if size is None:
            raise InputError("has no canvas size (canvas_width, canvas_height); give it with --canvas")
        height, width = size
    else:
        height, width = (_side(record.get(name), name) for name in ("canvas_height", "canvas_width"))
    if height * width > MAX_PIXELS:
        raise InputError(f"canvas of {width}×{height} pixels is too large (at most {MAX_PIXELS // 10**6} million)")
    return height, width


def _side(value: Any, field: str) -> int:
    number = _number(value, field)
    if number < 1 or number != int(number):
        raise InputError(f"{field} is {value}, where a number of pixels is needed")
    return int(number)


def _person(record: Any, field: str, scores: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Body (18, 3) and hands (2, 21, 3); `scores` are the minimum scores for body and hands."""
    if not isinstance(record, dict):
        raise InputError(f'{field} is {_kind(record)}, where a person is an object with "pose_keypoints_2d"')
    sizes = (len(JOINTS), 25, len(COCO_JOINTS))
    body = _points(record, _BODIES, sizes, field, scores[0])
    if len(body) == 25:
        body = body[list(BODY_25)]
    elif len(body) == len(COCO_JOINTS):
        body = to_openpose(body[None])[0]
    hands = [_points(record, names, (HAND_POINTS,), field, scores[1]) for names in _HANDS]
    return body, np.stack(hands)


def _points(
    record: dict[str, Any], names: Sequence[str], sizes: Sequence[int], field: str, min_score: float
) -> NDArray[np.float64]:
    """(points, 3) with zeros for points that were not found; the first of `sizes` if the field is missing or empty."""
    name = next((name for name in names if record.get(name) is not None), names[0])
    listed = record.get(name)
    if listed is None or listed == []:
        return np.zeros((sizes[0], 3))
    if not isinstance(listed, list):
        raise InputError(f"{field}.{name} is {_kind(listed)}, not a list")
    if len(listed) not in [3 * size for size in sizes]:
        known = " or ".join(str(size) for size in sizes)
        raise InputError(f"{field}.{name} has {len(listed)} numbers, where x, y and score of {known} points are needed")
    numbers = [_number(value, f"{field}.{name}[{number}]") for number, value in enumerate(listed)]
    points = np.array(numbers).reshape(-1, 3)
    points[(points[:, 2] <= 0) | (points[:, 2] < min_score)] = 0
    return points


def _number(value: Any, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{field} is {_kind(value)}, not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{field} is not a finite number")
    return number


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def write(poses: ImagePoses) -> str:
    """An image as JSON, with a score of 1 for each detected point, as the web UIs require."""
    return json.dumps(record(poses, scores=False), allow_nan=False)


def record(poses: ImagePoses, scores: bool = True) -> dict[str, Any]:
    """An image as a JSON object, with the scores themselves or with 1 for each detected point."""
    people = [
        {
            "pose_keypoints_2d": _flat(body, scores),
            "face_keypoints_2d": None,
            "hand_left_keypoints_2d": _flat(hands[0], scores) if (hands[0, :, 2] > 0).any() else None,
            "hand_right_keypoints_2d": _flat(hands[1], scores) if (hands[1, :, 2] > 0).any() else None,
        }
        for body, hands in zip(poses.people, poses.hands, strict=True)
    ]
    return {"people": people, "canvas_height": poses.height, "canvas_width": poses.width}


def _flat(points: NDArray[np.float64], scores: bool) -> list[float]:
    """x, y, score, x, y, score, …"""
    mask = detected(points)
    values = np.where(mask[:, None], points, 0.0)
    if not scores:
        values[:, 2] = mask
    return [float(value) for value in values.ravel()]
