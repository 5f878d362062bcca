"""From the people of an image to its detection: the drawn map, the record and the JSON for the sidecar file."""

import numpy as np
from numpy.typing import NDArray

from cn.detect.detector import Detection
from cn.detect.pose import json_format, skeleton
from cn.detect.pose.people import PERSON_SHARE, ImagePoses, shows_person
from cn.detect.settings import Style


def openpose_detection(
    poses: ImagePoses,
    style: Style = "released",
    min_keypoints: float = PERSON_SHARE,
    *,
    hands: bool = True,
    face: bool = False,
) -> Detection:
    """The detection with skeletons of 18 joints; empty unless a person shows this fraction of the keypoints.

    `hands` and `face` say whether those that there are are drawn; the record and the sidecar file have all points.
    """
    drawn_hands, drawn_faces = poses.hands if hands else None, poses.faces if face else None
    pose_map = skeleton.draw(poses.people, poses.height, poses.width, style, drawn_hands, drawn_faces)
    return pose_detection(poses, pose_map, min_keypoints)


def pose_detection(poses: ImagePoses, pose_map: NDArray[np.uint8], min_keypoints: float) -> Detection:
    """The detection with a given map (h, w, 3)."""
    nobody = not shows_person(poses.people, (poses.height, poses.width), min_keypoints)
    return Detection(pose_map, json_format.record(poses), nobody, json_format.write(poses).encode())
