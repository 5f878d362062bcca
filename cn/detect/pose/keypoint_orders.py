"""The keypoints of a person in the orders of other networks and datasets, as OpenPose's body, feet, face and hands.

Sources: OpenPose's and AlphaPose's documentation of their output, Halpe-FullBody, COCO-WholeBody, DWPose.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.coco_skeleton import JOINTS as COCO_JOINTS
from cn.detect.pose.coco_skeleton import to_openpose
from cn.detect.pose.skeleton import FACE_POINTS, FOOT_POINTS, HAND_POINTS, JOINTS
from cn.errors import InputError

Points = NDArray[np.float64]

BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
"""Indices of the 18 joints among the 25 of OpenPose's newer model, which adds the middle of the hips and the feet."""

_HALPE_NECK = 18
_HALPE_FEET = (20, 22, 24, 21, 23, 25)
"""Halpe has left and right in turn; the feet here are big toe, small toe and heel, first of the left one."""

COUNTS = (17, 18, 23, 25, 26, 68, 133, 134, 136)
"""How many keypoints a person may have: `person_of`."""


class Person(NamedTuple):
    """The keypoints of a person: x, y, score each; a score of 0 or NaN where a point was not found."""

    body: Points
    """(18, 3), in the order of `skeleton.JOINTS`."""
    hands: Points
    """(2, 21, 3), left and right."""
    face: Points
    """(70, 3): 68 points of the face and two pupils."""
    feet: Points
    """(6, 3): big toe, small toe and heel of the left foot and of the right."""


def person(
    body: Points, *, feet: Points | None = None, face: Points | None = None, hands: Points | None = None
) -> Person:
    """A person; parts that are None were not found, and a face of 68 points gets no pupils."""
    whole = np.zeros((FACE_POINTS, 3))
    if face is not None:
        whole[: len(face)] = face
    no_hands, no_feet = np.zeros((2, HAND_POINTS, 3)), np.zeros((FOOT_POINTS, 3))
    return Person(body, no_hands if hands is None else hands, whole, no_feet if feet is None else feet)


def person_of(points: Points, field: str) -> Person:
    """The person of keypoints (n, 3) in the order that n implies: one of `COUNTS`.

    17: COCO. 18: OpenPose. 23: COCO and feet. 25: OpenPose's BODY_25. 26, 68 and 136: Halpe, with hands, with hands and
    face. 133: COCO-WholeBody. 134: the same in OpenPose's order, as DWPose gives it.
    """
    count = len(points)
    if count == len(JOINTS):
        return person(points)
    if count == 25:
        return person(points[list(BODY_25)], feet=points[19:25])
    if count in (26, 68, 136):
        body = coco_body(points[: len(COCO_JOINTS)])
        body[1] = points[_HALPE_NECK]
        face = points[26:94] if count == 136 else None
        return person(body, feet=points[list(_HALPE_FEET)], face=face, hands=_hands(points))
    if count in (17, 23, 133):
        feet = points[17:23] if count > 17 else None
        face, hands = (points[23:91], _hands(points)) if count == 133 else (None, None)
        return person(coco_body(points[:17]), feet=feet, face=face, hands=hands)
    if count == 134:
        return person(points[:18], feet=points[18:24], face=points[24:92], hands=_hands(points))
    raise InputError(f"{field} has {count} keypoints; those of people are known with {', '.join(map(str, COUNTS))}")


def coco_body(points: Points) -> Points:
    """OpenPose's 18 joints (18, 3) of COCO's 17 (17, 3), with a neck between the shoulders."""
    return to_openpose(np.nan_to_num(points)[None])[0]


def _hands(points: Points) -> Points | None:
    """The last 42 points, left hand and right hand, where there are so many."""
    return points[-2 * HAND_POINTS :].reshape(2, HAND_POINTS, 3) if len(points) >= 2 * HAND_POINTS else None
