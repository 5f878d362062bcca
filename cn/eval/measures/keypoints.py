"""PCK@0.1 of keypoints (`openpose`, `openpifpaf`)."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.detect.detector import Detection
from cn.detect.pose import json_files
from cn.eval.measures.comparison import Comparison, Map, Measure
from cn.eval.measures.skeletons import People, read_coco_people, read_people

SHARE = 0.1
"""Of the larger side of the person's box: a keypoint that is found no farther away is correct."""


def pck(given: People, found: People, share: float = SHARE) -> float:
    """The percentage of correct keypoints as a share of 0 … 1: of people (n, 18, 3) and (m, 18, 3).

    A keypoint of the map is correct if a joint of the same name is found within `share` times the larger side of its
    person's box, of whichever person (Yang and Ramanan 2013; the box is that of the person's keypoints in the map).
    NaN where no person of the map has two keypoints, which a box needs.
    """
    correct = total = 0
    for person in given:
        known = person[:, 2] > 0
        places = person[known, :2]
        if len(places) < 2:
            continue
        reach = share * float((places.max(axis=0) - places.min(axis=0)).max())
        for joint in np.flatnonzero(known):
            others = found[found[:, joint, 2] > 0, joint, :2]
            total += 1
            correct += bool((np.hypot(*(others - person[joint, :2]).T) <= reach).any())
    return correct / total if total else float("nan")


class PCK(Comparison):
    """`openpose`: `pck` of the keypoints read off the map, and of those that are found in the image."""

    measure: ClassVar[Measure] = Measure(
        "PCK@0.1",
        "higher",
        about="share of the map's keypoints that are found again within a tenth of the person's larger side",
    )
    parameters: ClassVar[Mapping[str, float]] = {"share": SHARE}

    def given(self, condition: Map) -> People:
        return read_people(_colored(condition))

    def found(self, detection: Detection) -> People:
        if not isinstance(detection.sidecar, bytes):
            raise TypeError("the detector of poses gives no keypoints")
        return json_files.parse(detection.sidecar, "poses").image().people

    def score(self, given: People, found: People) -> float:
        return pck(given, found)


class CocoPCK(PCK):
    """`openpifpaf`: the same, of maps with COCO's 17 joints, or with 18 in the other styles of that detector."""

    def given(self, condition: Map) -> People:
        drawn = _colored(condition)
        coco, other = read_coco_people(drawn), read_people(drawn)
        return max((coco, other), key=lambda people: int(people[..., 2].sum()))


def _colored(condition: Map) -> NDArray[np.uint8]:
    if condition.ndim != 3:
        raise ValueError("a map of skeletons has three channels")
    return condition
