"""Files of poses of other tools and datasets: which one wrote a file is recognized by its structure.

Each function gives the images of a JSON value in its format, or None for a value in another. Sources: the
documentation, or the code that writes them, of COCO, AlphaPose, MMPose, DWPose, OpenPifPaf, Ultralytics and the
openpose-editor extension.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cn.detect.pose import json_format
from cn.detect.pose.coco_annotations import coco_images
from cn.detect.pose.json_numbers import flat_points, image_size, kind_of, listed, number, pair_points
from cn.detect.pose.keypoint_orders import COUNTS, Person, person, person_of
from cn.detect.pose.pose_images import Limits, PoseImage
from cn.errors import InputError

ALPHAPOSE = Limits(0.4, 0.4, 0.4)
MMPOSE = Limits(0.3, 0.3, 0.3)
ULTRALYTICS = Limits(0.25, 0.25, 0.25)
"""Below these scores, the tools write points, but do not draw them."""

NAMES = "OpenPose and its editors, COCO, AlphaPose, MMPose, DWPose, OpenPifPaf, Ultralytics"
"""The tools whose files are read, for messages."""

_SCENE_EDITOR = "Openpose Editor by Yu Zhu"


def recognized(value: Any) -> Sequence[PoseImage] | None:
    """The images of a file of another tool than OpenPose; None for unknown structures.

    Raises InputError, without a path, for a file that is recognized and invalid.
    """
    for read in _READERS:
        images = read(value)
        if images is not None:
            return images
    return None


def _editor(value: Any) -> list[PoseImage] | None:
    """The first editor extension: {"width", "height", "keypoints": [[x, y], …]}, 18 for each person."""
    if isinstance(value, dict) and value.get("header") == _SCENE_EDITOR:
        raise InputError(
            "is a scene of a 3-D editor, not a pose; export the pose there as an image or as OpenPose JSON"
        )
    if not (isinstance(value, dict) and {"width", "height", "keypoints"} <= value.keys()):
        return None
    points = listed(value["keypoints"], "keypoints")
    if len(points) % 18:
        raise InputError(f"keypoints has {len(points)} points, not 18 for each person")
    people = [points[start : start + 18] for start in range(0, len(points), 18)]
    size = image_size(value["height"], value["width"], ("height", "width"))
    return [PoseImage(people, _pairs, field="keypoints", size=size)]


def _pairs(record: Any, field: str) -> Person:
    return person_of(pair_points(record, field), field)


def _coco_results(value: Any) -> list[PoseImage] | None:
    """AlphaPose, and COCO's format of results: [{"image_id", "keypoints": [x, y, score, …], "score"}, …]."""
    if not _all_have(value, "image_id", "keypoints"):
        return None
    images: dict[str, list[Any]] = {}
    for record in value:
        images.setdefault(str(record["image_id"]), []).append(record)
    return [
        PoseImage(people, _flat_person, name=name, ids=(name,), limits=ALPHAPOSE, unit="pixels")
        for name, people in images.items()
    ]


def _flat_person(record: Any, field: str) -> Person:
    if not isinstance(record, dict):
        raise InputError(f'{field} is {kind_of(record)}, where a person is an object with "keypoints"')
    name = next((name for name in ("keypoints", "joints") if name in record), "keypoints")
    points = flat_points(record.get(name), f"{field}.{name}", COUNTS)
    return person(np.zeros((18, 3))) if points is None else person_of(points, f"{field}.{name}")


def _cmu(value: Any) -> list[PoseImage] | None:
    """AlphaPose's formats "cmu" and "open": {"version", "bodies" or "people"}, or such an object for each image."""
    if isinstance(value, dict) and isinstance(value.get("bodies"), list):
        return [PoseImage(value["bodies"], _flat_person, field="bodies", limits=ALPHAPOSE, unit="pixels")]
    if not (isinstance(value, dict) and value and all(isinstance(one, dict) for one in value.values())):
        return None
    images = []
    for name, one in value.items():
        if isinstance(one.get("bodies"), list):
            bodies = listed(one["bodies"], "bodies")
            image = PoseImage(
                bodies, _flat_person, field="bodies", name=name, ids=(name,), limits=ALPHAPOSE, unit="pixels"
            )
        elif "people" in one:
            read = json_format.pose_image(one)
            image = PoseImage(read.people, read.person, name=name, ids=(name,), size=read.size, limits=ALPHAPOSE)
        else:
            return None
        images.append(image)
    return images


def _mmpose(value: Any) -> list[PoseImage] | None:
    """MMPose: instances {"keypoints": [[x, y], …], "keypoint_scores"} of an image, of frames, or under a name."""
    if isinstance(value, dict):
        for name in ("instance_info", "predictions"):
            if isinstance(value.get(name), list) and (found := _mmpose(value[name])) is not None:
                return found
        return _mmpose([value]) if _all_have([value], "frame_id", "instances") else None
    if _all_have(value, "instances"):
        frames = [(str(frame.get("frame_id", k)), frame["instances"]) for k, frame in enumerate(value)]
        return [_mmpose_image(listed(people, "instances"), frame) for frame, people in frames]
    if _all_have(value, "keypoints", "keypoint_scores"):
        return [_mmpose_image(value, None)]
    if not isinstance(value, list) or not all(isinstance(one, list) for one in value) or not any(value):
        return None
    if not all(not one or _all_have(one, "keypoints", "keypoint_scores") for one in value):
        return None
    return [_mmpose_image(one, None) for one in value]


def _mmpose_image(people: list[Any], frame: str | None) -> PoseImage:
    ids = () if frame is None else (frame,)
    return PoseImage(people, _mmpose_person, field="instances", ids=ids, limits=MMPOSE, unit="pixels")


def _mmpose_person(record: Any, field: str) -> Person:
    if not isinstance(record, dict):
        raise InputError(f'{field} is {kind_of(record)}, where a person is an object with "keypoints"')
    name = f"{field}.keypoints"
    return person_of(pair_points(record.get("keypoints"), name, record.get("keypoint_scores")), name)


def _ultralytics(value: Any) -> list[PoseImage] | None:
    """Ultralytics' results: [{"name", "confidence", "box", "keypoints": {"x": […], "y": […], "visible": […]}}, …]."""
    if not (_all_have(value, "keypoints") and all(isinstance(one["keypoints"], dict) for one in value)):
        return None
    return [PoseImage(value, _ultralytics_person, field="results", limits=ULTRALYTICS)]


def _ultralytics_person(record: Any, field: str) -> Person:
    points = record["keypoints"]
    x, y = (listed(points.get(name), f"{field}.keypoints.{name}") for name in ("x", "y"))
    scores = listed(points.get("visible"), f"{field}.keypoints.visible") or [1] * len(x)
    if not len(x) == len(y) == len(scores):
        raise InputError(f"{field}.keypoints has {len(x)} x, {len(y)} y and {len(scores)} scores")
    rows = [[number(one, f"{field}.keypoints") for one in point] for point in zip(x, y, scores, strict=True)]
    found = np.array(rows, np.float64).reshape(-1, 3)
    # Points that the network is not sure of are written as (0, 0).
    found[(found[:, :2] == 0).all(axis=1)] = 0
    return person_of(found, f"{field}.keypoints")


def _pifpaf(value: Any) -> list[PoseImage] | None:
    """OpenPifPaf: [{"keypoints": [x, y, score, …], "bbox", "score", "category_id"}, …], or such a list of a frame."""
    if isinstance(value, dict) and isinstance(value.get("predictions"), list) and "frame" in value:
        frame = str(value["frame"])
        return [PoseImage(value["predictions"], _flat_person, field="predictions", ids=(frame,), unit="pixels")]
    if not (_all_have(value, "keypoints") and all(isinstance(one["keypoints"], list) for one in value)):
        return None
    return [PoseImage(value, _flat_person, field="predictions", unit="pixels")]


def _dwpose(value: Any) -> list[PoseImage] | None:
    """DWPose's result: {"bodies": {"candidate", "subset"}, "hands", "faces"}, in fractions of the image, -1 missing."""
    bodies = value.get("bodies") if isinstance(value, dict) else None
    if not (isinstance(bodies, dict) and {"candidate", "subset"} <= bodies.keys()):
        return None
    subset = listed(bodies["subset"], "bodies.subset")
    joints = pair_points(bodies["candidate"], "bodies.candidate")
    hands = [pair_points(one, f"hands[{k}]") for k, one in enumerate(listed(value.get("hands"), "hands"))]
    faces = [pair_points(one, f"faces[{k}]") for k, one in enumerate(listed(value.get("faces"), "faces"))]
    count = len(subset)
    if len(hands) not in (0, 2 * count) or any(len(hand) != 21 for hand in hands):
        raise InputError(f"hands has {len(hands)} hands, not two of 21 points for each of {count} bodies")
    if len(faces) not in (0, count) or any(len(face) not in (68, 70) for face in faces):
        raise InputError(f"faces has {len(faces)} faces, not one of 68 points for each of {count} bodies")
    for points in (joints, *hands, *faces):
        points[(points[:, :2] < 0).any(axis=1)] = 0

    def one(row: Any, field: str) -> Person:
        k = int(field.partition("[")[2][:-1])
        places = [-1.0 if place is None else number(place, field) for place in listed(row, field)[:18]]
        if len(places) != 18 or not all(place < len(joints) for place in places):
            raise InputError(f"{field} does not number 18 of {len(joints)} candidates")
        body = np.array([joints[int(place)] if place >= 0 else np.zeros(3) for place in places])
        # First all left hands, then all right ones.
        pair = np.stack([hands[k], hands[count + k]]) if hands else None
        return person(body, face=faces[k] if faces else None, hands=pair)

    return [PoseImage(subset, one, field="subset", unit="fractions")]


def _all_have(value: Any, *names: str) -> bool:
    """Whether a value is a list, not empty, of objects with these fields."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and all(name in one for name in names) for one in value)
    )


_READERS: tuple[Callable[[Any], list[PoseImage] | None], ...] = (
    _editor,
    coco_images,
    _coco_results,
    _mmpose,
    _ultralytics,
    _pifpaf,
    _dwpose,
    _cmu,
)
"""The more specific structures come first."""
