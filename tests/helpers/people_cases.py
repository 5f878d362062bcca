"""People in JSON files, for the tests of detectors that find, read and draw them."""

import json
from pathlib import Path

import numpy as np

from cn.detect.pose import json_format
from cn.detect.pose.json_format import Posed
from tests.detect.pose.test_skeleton import person

NO_HANDS = np.zeros((1, 2, 21, 3))


def poses(path: Path, *people: np.ndarray, **more: object) -> Path:
    bodies = np.array(people).reshape(-1, 18, 3)
    record = json_format.record(Posed(bodies, np.zeros((len(bodies), 2, 21, 3)), 256, 256))
    path.write_text(json.dumps({**record, **more}))
    return path


def few(count: int) -> np.ndarray:
    """The person with the first `count` of 18 key points."""
    body = person()
    body[count:] = 0
    return body
