"""People as JSON: what OpenPose writes, and what the web UIs and their editors read and write.

One image is {"people": [{"pose_keypoints_2d": [x, y, score, …], "hand_left_keypoints_2d": …,
"hand_right_keypoints_2d": …, "face_keypoints_2d": …}], "canvas_width": …, "canvas_height": …}; several are a list.
OpenPose has no canvas, and 25 points a body where its newer model was used. Some versions of the ControlNet extension
write places as shares of the canvas. Their editors take a point only where its score is 1, so that is what is written.
Records of `cn detect --json`, which hold the same under "found", are read too, also a line for each picture. Faces and
animals are passed over: nothing here draws them.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.coco_skeleton import JOINTS as COCO_JOINTS
from cn.detect.pose.coco_skeleton import to_openpose
from cn.detect.pose.skeleton import HAND_POINTS, JOINTS, found
from cn.errors import InputError
from cn.images import MAX_PIXELS

BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
"""Where the 18 joints are among the 25 of OpenPose's newer model, which has the middle of the hips and feet besides."""

MOST_PEOPLE = 2000
"""Images of more people are refused: no crowd has so many whose joints can be told apart."""

SHARES_UP_TO = 2.0
"""Places are shares of the canvas where most of an image's points do not exceed this: no pixels are so few."""

MOST_NEGATIVE = 0.25
"""Shares of which more than this share of the points are negative are OpenPose's -1..1, not 0..1."""

BODY_SCORE, HAND_SCORE = 0.05, 0.2
"""OpenPose also writes points that it has not seen, with lower scores than these; it does not draw them either."""

_BODIES = ("pose_keypoints_2d", "pose_keypoints")
_HANDS = (("hand_left_keypoints_2d", "hand_left_keypoints"), ("hand_right_keypoints_2d", "hand_right_keypoints"))
"""OpenPose's names, and those of its first versions."""


@dataclass(frozen=True)
class Posed:
    """The people of an image, and its size in pixels."""

    people: NDArray[np.float64]
    """(n, 18, 3): x, y in pixels and a score, 0 where not found."""
    hands: NDArray[np.float64]
    """(n, 2, 21, 3): left and right, zeros where there is none."""
    height: int
    width: int


def picture_of(record: Any, where: str, size: tuple[int, int] | None, least: float | None) -> Posed:
    """The image that an object of JSON stands for; `where` is what messages call it. See `PoseFile.image`."""
    if isinstance(record, dict) and "people" not in record and isinstance(record.get("found"), dict):
        record = record["found"]
    if not isinstance(record, dict):
        raise InputError(f'{where}: is {_kind(record)}, where an image is an object with "people"')
    if "people" not in record and "animals" not in record:
        raise InputError(f'{where}: has no "people", so it is not as OpenPose and its editors write it')
    listed = record.get("people")
    if not isinstance(listed, list | None):
        raise InputError(f"{where}: people is {_kind(listed)}, not a list")
    if len(listed or []) > MOST_PEOPLE:
        raise InputError(f"{where}: has {len(listed or [])} people, of whom {MOST_PEOPLE} at most can be drawn")
    height, width = _canvas(record, where, size)
    if least is None:
        from_openpose = record.get("canvas_height") is None
        scores = (BODY_SCORE, HAND_SCORE) if from_openpose else (0.0, 0.0)
    else:
        scores = (least, least)
    everybody = [_person(person, f"{where}: people[{number}]", scores) for number, person in enumerate(listed or [])]
    some = [(body, hands) for body, hands in everybody if (body[:, 2] > 0).any() or (hands[..., 2] > 0).any()]
    people = np.array([body for body, _ in some]).reshape(-1, len(JOINTS), 3)
    hands = np.array([pair for _, pair in some]).reshape(-1, 2, HAND_POINTS, 3)
    for points in (people, hands):
        _to_pixels(points, height, width, where)
    return Posed(people, hands, height, width)


def _to_pixels(points: NDArray[np.float64], height: int, width: int, where: str) -> None:
    """Places (…, 3) that are shares of the canvas as pixels, in place."""
    places = points[points[..., 2] > 0][:, :2]
    if not places.size or not np.median(np.abs(places).max(axis=1)) <= SHARES_UP_TO < max(height, width):
        return
    if (places < 0).any(axis=1).mean() > MOST_NEGATIVE:
        raise InputError(f"{where}: its places go from -1 to 1; give pixels, or shares of the canvas from 0 to 1")
    points[..., :2] *= (width, height)


def _canvas(record: dict[str, Any], where: str, size: tuple[int, int] | None) -> tuple[int, int]:
    if record.get("canvas_height") is None and record.get("canvas_width") is None:
        if size is None:
            what = "does not say how large the image is (canvas_width, canvas_height); give its size (--canvas)"
            raise InputError(f"{where}: {what}")
        height, width = size
    else:
        height, width = (_side(record.get(f"canvas_{name}"), f"{where}: canvas_{name}") for name in ("height", "width"))
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{where}: canvas of {width}×{height} pixels is too large (at most {MAX_PIXELS // 10**6} million)"
        )
    return height, width


def _side(value: Any, where: str) -> int:
    number = _number(value, where)
    if number < 1 or number != int(number):
        raise InputError(f"{where} is {value}, where a number of pixels is needed")
    return int(number)


def _person(record: Any, where: str, scores: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Body (18, 3) and hands (2, 21, 3); `scores` are the least that count, of each."""
    if not isinstance(record, dict):
        raise InputError(f'{where} is {_kind(record)}, where a person is an object with "pose_keypoints_2d"')
    sizes = (len(JOINTS), 25, len(COCO_JOINTS))
    body = _points(record, _BODIES, sizes, where, scores[0])
    if len(body) == 25:
        body = body[list(BODY_25)]
    elif len(body) == len(COCO_JOINTS):
        body = to_openpose(body[None])[0]
    hands = [_points(record, names, (HAND_POINTS,), where, scores[1]) for names in _HANDS]
    return body, np.stack(hands)


def _points(
    record: dict[str, Any], names: Sequence[str], sizes: Sequence[int], where: str, least: float
) -> NDArray[np.float64]:
    """(points, 3) with zeros for what was not found; as many as the first of `sizes` where nothing is there."""
    name = next((name for name in names if record.get(name) is not None), names[0])
    listed = record.get(name)
    if listed is None or listed == []:
        return np.zeros((sizes[0], 3))
    if not isinstance(listed, list):
        raise InputError(f"{where}.{name} is {_kind(listed)}, not a list")
    if len(listed) not in [3 * size for size in sizes]:
        known = " or ".join(str(size) for size in sizes)
        raise InputError(f"{where}.{name} has {len(listed)} numbers, where x, y and score of {known} points are needed")
    numbers = [_number(value, f"{where}.{name}[{number}]") for number, value in enumerate(listed)]
    points = np.array(numbers).reshape(-1, 3)
    points[(points[:, 2] <= 0) | (points[:, 2] < least)] = 0
    return points


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where} is {_kind(value)}, not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{where} is not a finite number")
    return number


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def write(picture: Posed) -> str:
    """An image as JSON, with a score of 1 for all that was found: the web UIs leave out points with a lower one."""
    return json.dumps(record(picture, scores=False), allow_nan=False)


def record(picture: Posed, scores: bool = True) -> dict[str, Any]:
    """The object that stands for an image; `scores`: as they are, else 1 for all that was found."""
    people = [
        {
            "pose_keypoints_2d": _listed(body, scores),
            "face_keypoints_2d": None,
            "hand_left_keypoints_2d": _listed(hands[0], scores) if (hands[0, :, 2] > 0).any() else None,
            "hand_right_keypoints_2d": _listed(hands[1], scores) if (hands[1, :, 2] > 0).any() else None,
        }
        for body, hands in zip(picture.people, picture.hands, strict=True)
    ]
    return {"people": people, "canvas_height": picture.height, "canvas_width": picture.width}


def _listed(points: NDArray[np.float64], scores: bool) -> list[float]:
    there = found(points)
    values = np.where(there[:, None], points, 0.0)
    if not scores:
        values[:, 2] = there
    return [float(value) for value in values.ravel()]
