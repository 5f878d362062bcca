"""Keypoints of stick figures, in the format of OpenPose's JSON files (18 points of the COCO model)."""

from dataclasses import dataclass
from math import cos, radians, sin
from typing import Any

Point = tuple[float, float]


@dataclass(frozen=True)
class Stick:
    """A person that faces the viewer. Lengths in heights of the sheet; angles in degrees from hanging straight down,
    positive outwards: (upper, lower) of each limb.
    """

    x: float
    y: float
    """The neck."""
    height: float
    right_arm: tuple[float, float] = (12, 8)
    left_arm: tuple[float, float] = (12, 8)
    right_leg: tuple[float, float] = (6, 3)
    left_leg: tuple[float, float] = (6, 3)

    def points(self) -> list[Point]:
        """Nose, neck, right arm, left arm, right leg, left leg (three points each), eyes, ears: right, left."""
        h, neck = self.height, (self.x, self.y)
        nose = (self.x, self.y - 0.10 * h)
        limbs: list[Point] = []
        for side, angles in ((-1, self.right_arm), (1, self.left_arm)):
            limbs += _limb((self.x + side * 0.11 * h, self.y + 0.01 * h), side, angles, 0.17 * h)
        for side, angles in ((-1, self.right_leg), (1, self.left_leg)):
            limbs += _limb((self.x + side * 0.07 * h, self.y + 0.31 * h), side, angles, 0.24 * h)
        face = [(self.x + side * 0.025 * h, nose[1] - 0.025 * h) for side in (-1, 1)]
        face += [(self.x + side * 0.055 * h, nose[1] - 0.01 * h) for side in (-1, 1)]
        return [nose, neck, *limbs, *face]


def _limb(start: Point, side: int, angles: tuple[float, float], length: float) -> list[Point]:
    """Three joints, of which the first is `start`."""
    joints = [start]
    for angle in angles:
        x, y = joints[-1]
        joints.append((x + side * length * sin(radians(angle)), y + length * cos(radians(angle))))
    return joints


GROUPS: dict[str, tuple[Stick, ...]] = {
    "cheering": (
        Stick(0.5, 0.36, 0.72, right_arm=(140, 165), left_arm=(140, 165), right_leg=(14, 8), left_leg=(14, 8)),
    ),
    "couple": (
        Stick(0.34, 0.33, 0.72, left_arm=(35, 20)),
        Stick(0.66, 0.37, 0.66, right_arm=(35, 20), left_arm=(120, 170)),
    ),
    "three": (
        Stick(0.22, 0.36, 0.62, right_arm=(130, 160)),
        Stick(0.5, 0.34, 0.66, right_arm=(60, -40), left_arm=(60, -40)),
        Stick(0.78, 0.44, 0.50, left_arm=(130, 160)),
    ),
}


def record(people: tuple[Stick, ...], side: int) -> dict[str, Any]:
    """The content of the file: pixels of a sheet of this side, each point with a score of 1."""
    keypoints = [[round(value * side, 1) for value in point] for person in people for point in person.points()]
    count = len(keypoints) // len(people)
    rows = [keypoints[start : start + count] for start in range(0, len(keypoints), count)]
    return {
        "canvas_width": side,
        "canvas_height": side,
        "people": [{"pose_keypoints_2d": [value for x, y in row for value in (x, y, 1.0)]} for row in rows],
    }
