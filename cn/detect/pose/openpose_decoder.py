"""From confidence maps and part affinity fields to people: the greedy decoders of OpenPose and of the lightweight one.

Peaks of the confidence maps are candidates for keypoints (`peaks`). Two candidates form a limb if the part affinity
field follows the line between them (`limbs`); limbs that share a candidate form a person. Sources: body.py in
annotator/openpose of the release, modules/keypoints.py of Daniil-Osokin's lightweight-human-pose-estimation.pytorch.
The results are the same, except where a joint has more than `peaks.MAX_PEAKS` candidates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.limbs import LINKS, Connection, find_connections
from cn.detect.pose.peaks import Peaks, find_peaks
from cn.detect.pose.skeleton import JOINTS
from cn.detect.pose.upsampled_maps import Fields

EAR_LINKS = 17
"""Links from this index on, shoulder to ear, never start a person."""


@dataclass
class PartialPose:
    """A person during assembly."""

    joints: list[int]
    """The candidate of each joint; -1: none."""
    total: float
    """Sum of the scores of joints and limbs."""
    count: int
    """Number of joints counted."""


@dataclass(frozen=True)
class DecoderSettings:
    """The differences between the two decoders."""

    sigma: float
    strict: bool
    min_distance: float
    """See `peaks.find_peaks`; in pixels of the fields."""
    agreeing_only: bool
    """See `limbs.find_connections`."""
    assemble: Callable[[list[Peaks], list[list[Connection]]], list[PartialPose]]
    min_joints: int
    min_score: float
    """People with fewer joints counted, or a lower score per joint, are dropped."""


def decode(heat: Fields, pafs: Fields, settings: DecoderSettings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """People (n, 18, 3): x, y in pixels of the fields and the confidence, zeros where not found; and scores (n,).

    `heat` holds a confidence map for each of the 18 joints, `pafs` the 38 part affinity fields.
    """
    peaks = find_peaks(heat, settings.sigma, settings.strict, settings.min_distance)
    connections = find_connections(pafs, peaks, settings.agreeing_only)
    poses = [
        pose
        for pose in settings.assemble(peaks, connections)
        if pose.count >= settings.min_joints and pose.total / pose.count >= settings.min_score
    ]
    people = np.zeros((len(poses), len(JOINTS), 3))
    for person, pose in zip(people, poses, strict=True):
        for joint, number in enumerate(pose.joints):
            if number >= 0:
                x, y, confidence = (values[number] for values in peaks[joint])
                # Smoothing can put a peak where the confidence itself is 0; the keypoint still counts as found.
                person[joint] = x, y, max(confidence, 1e-6)
    return people, np.array([pose.total for pose in poses])


def assemble_openpose(peaks: list[Peaks], connections: list[list[Connection]]) -> list[PartialPose]:
    """OpenPose's assembly: a limb extends a person with one of its ends, or merges two people without common joints."""
    poses: list[PartialPose] = []
    for link, (a, b) in enumerate(LINKS):
        for connection in connections[link]:
            matches = [pose for pose in poses if pose.joints[a] == connection.start or pose.joints[b] == connection.end]
            if len(matches) > 1 and not _have_common_joints(matches[0], matches[1]):
                _merge(matches[0], matches[1], connection.score)
                poses = [pose for pose in poses if pose is not matches[1]]
            elif len(matches) > 1 or (matches and matches[0].joints[b] != connection.end):
                _extend(matches[0], b, connection, peaks)
            elif not matches and link < EAR_LINKS:
                poses.append(_start(a, b, connection, peaks))
    return poses


def assemble_light(peaks: list[Peaks], connections: list[list[Connection]]) -> list[PartialPose]:
    """The lightweight assembly: a limb extends all people with its start; people are never merged.

    Links to the ears add missing joints and are not counted.
    """
    poses: list[PartialPose] = []
    for link, (a, b) in enumerate(LINKS):
        for connection in connections[link]:
            if link >= EAR_LINKS:
                _add_missing(poses, a, b, connection)
            elif matches := [pose for pose in poses if pose.joints[a] == connection.start]:
                for pose in matches:
                    _extend(pose, b, connection, peaks)
            else:
                poses.append(_start(a, b, connection, peaks))
    return poses


def _start(a: int, b: int, connection: Connection, peaks: list[Peaks]) -> PartialPose:
    joints = [-1] * len(JOINTS)
    joints[a], joints[b] = connection.start, connection.end
    confidence = float(peaks[a].heat[connection.start] + peaks[b].heat[connection.end])
    return PartialPose(joints, confidence + connection.score, 2)


def _extend(pose: PartialPose, b: int, connection: Connection, peaks: list[Peaks]) -> None:
    pose.joints[b] = connection.end
    pose.count += 1
    pose.total += float(peaks[b].heat[connection.end]) + connection.score


def _have_common_joints(one: PartialPose, other: PartialPose) -> bool:
    return any(i >= 0 and j >= 0 for i, j in zip(one.joints, other.joints, strict=True))


def _merge(pose: PartialPose, other: PartialPose, score: float) -> None:
    pose.joints = [max(i, j) for i, j in zip(pose.joints, other.joints, strict=True)]
    pose.count += other.count
    pose.total += other.total + score


def _add_missing(poses: list[PartialPose], a: int, b: int, connection: Connection) -> None:
    for pose in poses:
        if pose.joints[a] == connection.start and pose.joints[b] == -1:
            pose.joints[b] = connection.end
        elif pose.joints[b] == connection.end and pose.joints[a] == -1:
            pose.joints[a] = connection.start


OPENPOSE = DecoderSettings(
    sigma=3.0,
    strict=False,
    min_distance=0.0,
    agreeing_only=False,
    assemble=assemble_openpose,
    min_joints=4,
    min_score=0.4,
)
LIGHT = DecoderSettings(
    sigma=0.0,
    strict=True,
    min_distance=6.0,
    agreeing_only=True,
    assemble=assemble_light,
    min_joints=3,
    min_score=0.2,
)
