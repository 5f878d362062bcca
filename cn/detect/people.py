"""Human poses as detectors (`cn.detect.protocol`): OpenPose and its alternatives, OpenPifPaf, and poses from JSON.

What was found goes into records, and on request into a file beside each map, in the JSON of OpenPose and of the web
UIs' editors. A picture counts as one without a person when nobody shows enough key points (the paper's rule, §3.5).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect import coco_skeleton, keypoints, pifpaf, pose_json, skeleton
from cn.detect import hands as fingers
from cn.detect.loading import Network, by_size
from cn.detect.methods import NETWORKS
from cn.detect.pose_json import Posed
from cn.detect.protocol import Detection, Detector, WithoutNetwork
from cn.errors import InputError
from cn.resizing import bounded_short_side_size

Images = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class OpenPoseDetector(Detector):
    """Skeletons of 18 joints, drawn as existing pose ControlNets expect them; hands on request."""

    kind: ClassVar[str] = "openpose"
    beside: ClassVar[str] = ".json"
    network: Network
    hands: Network | None = None
    """OpenPose's hand network, where hands are wanted."""
    scales: tuple[float, ...] = keypoints.SCALES
    hand_scales: tuple[float, ...] = fingers.ONE_SCALE
    style: skeleton.Style = "released"
    least: float = keypoints.PERSON_SHARE
    """Share of the 18 key points that makes a person."""

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"style": self.style, "hands": self.hands is not None}
        if self.network.name == "BodyNetwork":
            settings["scales"] = list(self.scales)
        if self.hands is not None:
            settings |= {"hand_scales": list(self.hand_scales), "hand_weights_sha256": self.hands.sha256}
        return self.stated(NETWORKS[self.network.name], settings)

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        network = self.network.ready()
        found = by_size(images, self.batch_size, lambda n: keypoints.find_people(network, n, self.scales))
        return [self._drawn(image, people.keypoints) for image, people in zip(images, found, strict=True)]

    def _drawn(self, image: NDArray[np.uint8], people: NDArray[np.float64]) -> Detection:
        found = np.zeros((len(people), 2, 21, 3))
        if self.hands is not None:
            found = fingers.find_hands(self.hands.ready(), image, people, self.hand_scales)
        return posed_drawn(Posed(people, found, *image.shape[:2]), self.style, self.least)


@dataclass(frozen=True)
class PifPafDetector(Detector):
    """Skeletons of COCO's 17 joints by OpenPifPaf, or mapped to OpenPose's 18 and drawn like those."""

    kind: ClassVar[str] = "openpifpaf"
    beside: ClassVar[str] = ".json"
    network: Network
    long_edge: int | None = None
    """Pixels to which the longer side is brought before the network looks."""
    style: Literal["pifpaf"] | skeleton.Style = "pifpaf"
    least: float = keypoints.PERSON_SHARE

    def info(self, key: str) -> ConditionInfo:
        return self.stated(NETWORKS[self.network.name], {"style": self.style, "long_edge": self.long_edge})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        network = self.network.ready()
        found = by_size(images, self.batch_size, lambda n: pifpaf.pifpaf_people(network, n, self.long_edge))
        return [self._drawn(one.people, *image.shape[:2]) for one, image in zip(found, images, strict=True)]

    def _drawn(self, people: NDArray[np.float64], height: int, width: int) -> Detection:
        bodies = coco_skeleton.to_openpose(people)
        posed = Posed(bodies, np.zeros((len(bodies), 2, 21, 3)), height, width)
        nobody = not (coco_skeleton.share_found(people) >= self.least).any()
        if self.style == "pifpaf":
            return replace(posed_drawn(posed), map=coco_skeleton.draw(people, height, width), empty=nobody)
        return replace(posed_drawn(posed, self.style), empty=nobody)


@dataclass(frozen=True)
class PoseFileDetector(WithoutNetwork):
    """Poses from JSON, edited or made elsewhere, drawn as those that are detected."""

    kind: ClassVar[str] = "openpose"
    endings: ClassVar[frozenset[str]] = frozenset({".json"})
    beside: ClassVar[str] = ".json"
    canvas: tuple[int, int] | None = None
    """(height, width) for files that do not say it."""
    style: skeleton.Style = "released"
    least: float = keypoints.PERSON_SHARE

    def read(self, path: str) -> Any:
        """The one picture that a file tells of."""
        if path == "-":
            pictures = pose_json.parse(sys.stdin.buffer.read(), "standard input", self.canvas)
        else:
            pictures = pose_json.read(path, self.canvas)
        if len(pictures) != 1:
            raise InputError(f"{path}: tells of {len(pictures)} pictures; a map is made of a file that tells of one")
        return pictures[0]

    def resized(self, image: Any, short_side: int) -> Any:
        """The same poses on a canvas of another size: skeletons keep the thickness that controls have seen."""
        height, width = bounded_short_side_size(image.height, image.width, short_side)
        factor = np.array([width / image.width, height / image.height, 1.0])
        return Posed(image.people * factor, image.hands * factor, height, width)

    def info(self, key: str) -> ConditionInfo:
        return self.stated("poses from JSON", {"method": "from-json", "style": self.style})

    def detect(self, images: Sequence[Any], keys: Sequence[str]) -> list[Detection]:
        return [posed_drawn(posed, self.style, self.least) for posed in images]


def posed_drawn(posed: Posed, style: skeleton.Style = "released", least: float = keypoints.PERSON_SHARE) -> Detection:
    """The detection of people whose key points are known; empty where none shows the share `least` of them."""
    drawn = skeleton.draw(posed.people, posed.height, posed.width, style, posed.hands)
    nobody = not keypoints.enough(posed.people, least)
    text = pose_json.write([posed]).encode()
    return Detection(drawn, pose_json.record(posed, scores=True), nobody, text)
