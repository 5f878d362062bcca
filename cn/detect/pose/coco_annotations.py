"""People in the annotations of COCO, and of datasets in its format: person_keypoints_*.json, COCO-WholeBody."""

from typing import Any

import numpy as np

from cn.detect.pose.json_numbers import flat_points, image_size, kind_of
from cn.detect.pose.keypoint_orders import COUNTS, Person, person, person_of
from cn.detect.pose.pose_images import PoseImage
from cn.errors import InputError

VISIBLE = 2
"""COCO's flags: 0 is not labeled, 1 is labeled but hidden, 2 is visible. As scores they are 0, 0.5 and 1."""


def without_outlines(record: dict[str, Any]) -> dict[str, Any]:
    """An annotation without its segmentation, which takes most of the memory of a file; for `json_text.parse_json`."""
    record.pop("segmentation", None)
    return record


def coco_images(value: Any) -> list[PoseImage] | None:
    """The images of {"images", "annotations", …}, also those without people; None for other structures."""
    if not (isinstance(value, dict) and isinstance(value.get("images"), list) and "annotations" in value):
        return None
    annotations = value["annotations"]
    if not isinstance(annotations, list) or not all(isinstance(one, dict) for one in annotations):
        raise InputError("annotations is not a list of objects, as in COCO's files")
    if annotations and not any("keypoints" in one for one in annotations):
        raise InputError("its annotations have no keypoints; give person_keypoints_….json")
    people: dict[Any, list[Any]] = {}
    for annotation in annotations:
        if not isinstance(annotation.get("image_id"), int | str):
            raise InputError(f"an annotation has the image_id {kind_of(annotation.get('image_id'))}")
        people.setdefault(annotation["image_id"], []).append(annotation)
    return [_image(record, people) for record in value["images"]]


def _image(record: Any, people: dict[Any, list[Any]]) -> PoseImage:
    if not isinstance(record, dict) or not isinstance(record.get("id"), int | str):
        raise InputError("an element of images has no id, as in COCO's files")
    size = None
    if record.get("height") is not None or record.get("width") is not None:
        size = image_size(record.get("height"), record.get("width"), ("height", "width"))
    name = record.get("file_name")
    name = name if isinstance(name, str) and name else None
    ids = (str(record["id"]), *((name,) if name else ()))
    found = people.get(record["id"], [])
    return PoseImage(found, _person, field="annotations", size=size, name=name, ids=ids, unit="pixels")


def _person(record: Any, field: str) -> Person:
    points = _flags(record, "keypoints", field, COUNTS)
    if points is None:
        return person(np.zeros((18, 3)))
    known = person_of(points, f"{field}.keypoints")
    hands = [_flags(record, name, field, (21,)) for name in ("lefthand_kpts", "righthand_kpts")]
    feet, face = _flags(record, "foot_kpts", field, (6,)), _flags(record, "face_kpts", field, (68,))
    whole = person(known.body, feet=feet, face=face)
    return Person(
        known.body,
        np.stack([own if hand is None else hand for own, hand in zip(known.hands, hands, strict=True)]),
        known.face if face is None else whole.face,
        known.feet if feet is None else feet,
    )


def _flags(record: dict[str, Any], name: str, field: str, sizes: tuple[int, ...]) -> Any:
    """Points (n, 3) with a score for each flag; None where there are none."""
    points = flat_points(record.get(name), f"{field}.{name}", sizes)
    if points is not None and points[:, 2].max(initial=0) >= 1:
        points[:, 2] = np.where(points[:, 2] > 0, np.minimum(points[:, 2] / VISIBLE, 1), 0)
    return points
