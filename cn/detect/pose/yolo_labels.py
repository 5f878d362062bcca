"""YOLO's pose labels: a text file for each image, with a line of numbers for each person.

A line is the class, the box (x, y, width, height), then x, y and visibility of 17 keypoints, or only x and y, and for
predictions perhaps the score of the person and the number of its track. Coordinates are fractions of the image.
"""

import math

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.keypoint_orders import Person, person, person_of
from cn.detect.pose.pose_images import PoseImage
from cn.errors import InputError
from cn.json_text import decode_text
from cn.text import shown

BOX, POINTS = 5, 17
VISIBLE = 2


def yolo_image(data: bytes) -> PoseImage:
    """The image of a label file. Raises InputError, without a path, for any other text."""
    rows = [(k, line.split()) for k, line in enumerate(decode_text(data).splitlines(), 1) if line.strip()]
    people = [_points(words, f"line {k}") for k, words in rows]
    # In labels the third number of a point is a flag (1: hidden, 2: visible), in predictions a score.
    flags = any((points[:, 2] > 1).any() for points in people)
    for points in people:
        points[:, 2] /= VISIBLE if flags else 1
        points[(points[:, :2] == 0).all(axis=1)] = 0
    return PoseImage(people, _person, field="line", unit="fractions")


def _person(points: NDArray[np.float64], field: str) -> Person:
    return person_of(points.copy(), field) if len(points) else person(np.zeros((18, 3)))


def _points(words: list[str], field: str) -> NDArray[np.float64]:
    """(17, 3), or (0, 3) for a line with a box only."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise InputError(f"{field} holds {shown(words[0], 20)} …, where YOLO's pose labels have numbers") from None
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"{field} holds a number that is not finite")
    rest = len(numbers) - BOX
    if rest in (0, 1):
        return np.zeros((0, 3))
    if 3 * POINTS <= rest <= 3 * POINTS + 2:
        return np.array(numbers[BOX : BOX + 3 * POINTS]).reshape(-1, 3)
    if 2 * POINTS <= rest <= 2 * POINTS + 2:
        places = np.array(numbers[BOX : BOX + 2 * POINTS]).reshape(-1, 2)
        return np.column_stack([places, np.ones(POINTS)])
    raise InputError(f"{field} has {len(numbers)} numbers, where a person has a class, a box and {POINTS} keypoints")
