"""Human poses as detectors (`cn.detect.detector`): OpenPose and its alternatives, OpenPifPaf, and poses from JSON.

What was found goes into records, and on request into a file beside each map, in the JSON of OpenPose and of the web
UIs' editors. An image counts as one without a person when nobody shows enough key points (the paper's rule, §3.5).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, NetworkDetector, WithoutNetwork, batch_by_size
from cn.detect.network import Network
from cn.detect.pose import coco_skeleton, json_format, openpose, pifpaf, skeleton
from cn.detect.pose import hands as fingers
from cn.detect.pose.json_files import PoseFile, open_poses
from cn.detect.pose.json_format import Posed
from cn.detect.pose.people import PERSON_SHARE, shows_person
from cn.detect.settings import OPENPOSE_SCALES, BodySettings, PifPafSettings, PoseFileSettings
from cn.errors import InputError
from cn.images.resizing import bounded_short_side_size

Images = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class OpenPoseDetector(BodySettings, NetworkDetector):
    """Skeletons of 18 joints, drawn as existing pose ControlNets expect them; hands on request."""

    kind: ClassVar[str] = "openpose"
    sidecar_suffix: ClassVar[str] = ".json"
    hands: Network | None = None
    """OpenPose's hand network, where hands are wanted."""
    scales: tuple[float, ...] = OPENPOSE_SCALES
    hand_scales: tuple[float, ...] = fingers.ONE_SCALE

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"style": self.style, "hands": self.hands is not None}
        if self.network.name == "BodyNetwork":
            settings["scales"] = list(self.scales)
        if self.hands is not None:
            settings |= {"hand_scales": list(self.hand_scales), "hand_weights_sha256": self.hands.sha256}
        return self.condition_info(self.network.title, settings)

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        network = self.network.ready()
        found = batch_by_size(images, self.batch_size, lambda n: openpose.find_people(network, n, self.scales))
        return [self._drawn(image, people.keypoints) for image, people in zip(images, found, strict=True)]

    def _drawn(self, image: NDArray[np.uint8], people: NDArray[np.float64]) -> Detection:
        found = np.zeros((len(people), 2, 21, 3))
        if self.hands is not None:
            found = fingers.find_hands(self.hands.ready(), image, people, self.hand_scales, self.hands.batch)
        return posed_drawn(Posed(people, found, *image.shape[:2]), self.style, self.min_keypoints)


@dataclass(frozen=True)
class PifPafDetector(PifPafSettings, NetworkDetector):
    """Skeletons of COCO's 17 joints by OpenPifPaf, or mapped to OpenPose's 18 and drawn like those."""

    kind: ClassVar[str] = "openpifpaf"
    sidecar_suffix: ClassVar[str] = ".json"

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info(self.network.title, {"style": self.style, "long_edge": self.long_edge})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        network = self.network.ready()
        found = batch_by_size(images, self.batch_size, lambda n: pifpaf.pifpaf_people(network, n, self.long_edge))
        return [self._drawn(one.people, *image.shape[:2]) for one, image in zip(found, images, strict=True)]

    def _drawn(self, people: NDArray[np.float64], height: int, width: int) -> Detection:
        bodies = coco_skeleton.to_openpose(people)
        posed = Posed(bodies, np.zeros((len(bodies), 2, 21, 3)), height, width)
        if self.style == "pifpaf":
            return _detection(posed, coco_skeleton.draw(people, height, width), self.min_keypoints)
        return posed_drawn(posed, self.style, self.min_keypoints)


@dataclass(frozen=True)
class PoseFileDetector(PoseFileSettings, BodySettings, WithoutNetwork):
    """Poses from JSON, edited or made elsewhere, drawn as those that are detected."""

    kind: ClassVar[str] = "openpose"
    suffixes: ClassVar[frozenset[str]] = frozenset({".json", ".jsonl"})
    sidecar_suffix: ClassVar[str] = ".json"
    canvas: tuple[int, int] | None = None
    """(height, width) for files that do not say it."""
    hands: bool = True
    """Whether hands are drawn where the file has them."""

    @property
    def uses_threads(self) -> bool:
        """A file of many images is read once."""
        return True

    def parts(self, path: str) -> Sequence[str]:
        """The images of a file; one that cannot be read is one that fails."""
        poses = _opened(path)
        return ("",) if isinstance(poses, InputError) or len(poses) == 1 else poses.names()

    def read(self, path: str, part: int = 0) -> Any:
        """One of the images that a file tells of."""
        poses = _opened(path)
        if isinstance(poses, InputError):
            raise poses
        posed = poses.picture(part, self.canvas, self.min_score)
        return posed if self.hands else replace(posed, hands=np.zeros_like(posed.hands))

    def resized(self, image: Any, short_side: int) -> Any:
        """The same poses on a canvas of another size: skeletons keep the thickness that controls have seen."""
        height, width = bounded_short_side_size(image.height, image.width, short_side)
        factor = np.array([width / image.width, height / image.height, 1.0])
        return replace(image, people=image.people * factor, hands=image.hands * factor, height=height, width=width)

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"method": "from-json", "style": self.style, "hands": self.hands}
        settings |= {"min_score": self.min_score} if self.min_score is not None else {}
        settings |= {"canvas": list(self.canvas[::-1])} if self.canvas is not None else {}
        return self.condition_info("poses from JSON", settings)

    def detect(self, images: Sequence[Any], keys: Sequence[str]) -> list[Detection]:
        return [posed_drawn(posed, self.style, self.min_keypoints) for posed in images]


# One: the files of a folder come one after the other, and the images of a file too.
@functools.lru_cache(maxsize=1)
def _opened(path: str) -> PoseFile | InputError:
    """The file, or why it cannot be read: standard input can be read only once."""
    try:
        return open_poses(path)
    except InputError as error:
        return error


def posed_drawn(posed: Posed, style: skeleton.Style = "released", least: float = PERSON_SHARE) -> Detection:
    """The detection of people whose key points are known; empty where none shows the share `least` of them."""
    return _detection(posed, skeleton.draw(posed.people, posed.height, posed.width, style, posed.hands), least)


def _detection(posed: Posed, drawn: NDArray[np.uint8], least: float) -> Detection:
    nobody = not shows_person(posed.people, (posed.height, posed.width), least)
    return Detection(drawn, json_format.record(posed), nobody, json_format.write(posed).encode())
