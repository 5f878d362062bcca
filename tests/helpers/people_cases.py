"""People in JSON files, for the tests of detectors that find, read and draw them."""

import json
from pathlib import Path

import numpy as np

from cn.detect.pose import json_files, json_format
from cn.detect.pose.people import ImagePoses
from tests.detect.pose.test_skeleton import person

NO_HANDS = np.zeros((1, 2, 21, 3))


def poses(path: Path, *people: np.ndarray, **more: object) -> Path:
    bodies = np.array(people).reshape(-1, 18, 3)
    record = json_format.record(ImagePoses(bodies, np.zeros((len(bodies), 2, 21, 3)), 256, 256))
    path.write_text(json.dumps({**record, **more}))
    return path


def few(count: int) -> np.ndarray:
    """The person with the first `count` of 18 keypoints."""
    body = person()
    body[count:] = 0
    return body


def parse(text: str | bytes, name: str, size=None, min_score=None) -> list[ImagePoses]:
    """All images of a JSON text."""
    poses = json_files.parse(text, name)
    return [poses.image(number, size, min_score) for number in range(len(poses))]


def random_body(seed: int = 0, width: int = 300, height: int = 200, points: int = 18) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(0, width, points), rng.uniform(0, height, points), np.ones(points)])


def image_record(*bodies: np.ndarray, hands: np.ndarray | None = None, **more: object) -> dict:
    """The JSON object of one image of 300 × 200 pixels."""
    people = [{"pose_keypoints_2d": body.ravel().tolist()} for body in bodies]
    if hands is not None:
        people[0] |= {"hand_left_keypoints_2d": hands.ravel().tolist()}
    return {"people": people, "canvas_width": 300, "canvas_height": 200} | more


def only(images: list[ImagePoses]) -> ImagePoses:
    (poses,) = images
    return poses
