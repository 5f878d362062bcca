"""Human pose (`openpose`): people by OpenPose's body network, the lightweight one or Keypoint R-CNN; hands on request.

People go into records, and on request into a sidecar file, as the JSON of OpenPose and of the web UIs' editors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, Images, NetworkDetector, batch_by_size
from cn.detect.network import Network
from cn.detect.pose import keypoint_rcnn, openpose_body, openpose_light
from cn.detect.pose.openpose_hands import ONE_SCALE, find_hands
from cn.detect.pose.people import ImagePoses, People
from cn.detect.pose.pose_detection import openpose_detection
from cn.detect.settings import BodySettings

if TYPE_CHECKING:
    from torch import nn


def find_people(
    network: "nn.Module", images: NDArray[np.uint8], scales: Sequence[float] = openpose_body.SCALES
) -> list[People]:
    """The people in each of the images (n, h, w, 3) RGB of one size, by a network of the family "openpose".

    `scales`: see `openpose_body.find_people`; the other networks ignore them. Images may have any size.
    """
    from cn.detect.nets.keypoint_rcnn import KeypointRCNN
    from cn.detect.nets.openpose import BodyNetwork
    from cn.detect.nets.openpose_light import LightBodyNetwork

    if isinstance(network, BodyNetwork):
        return openpose_body.find_people(network, images, scales)
    if isinstance(network, LightBodyNetwork):
        return openpose_light.find_people(network, images)
    if isinstance(network, KeypointRCNN):
        return keypoint_rcnn.find_people(network, images)
    raise TypeError(f"{type(network).__name__} is not a pose network")


@dataclass(frozen=True)
class OpenPoseDetector(BodySettings, NetworkDetector):
    """Skeletons of 18 joints, drawn as existing pose ControlNets expect them; hands on request."""

    kind: ClassVar[str] = "openpose"
    sidecar_suffix: ClassVar[str] = ".json"
    hands: Network | None = None
    """OpenPose's hand network, to detect hands as well."""
    scales: tuple[float, ...] = openpose_body.SCALES
    hand_scales: tuple[float, ...] = ONE_SCALE

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"style": self.style, "hands": self.hands is not None}
        if self.network.spec.method == "openpose":
            settings["scales"] = list(self.scales)
        if self.hands is not None:
            settings |= {"hand_scales": list(self.hand_scales), "hand_weights_sha256": self.hands.sha256}
        return self.condition_info(self.network.title, settings)

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        network = self.network.module()
        per_image = batch_by_size(images, self.batch_size, lambda stack: find_people(network, stack, self.scales))
        return [self._detection(image, people.keypoints) for image, people in zip(images, per_image, strict=True)]

    def _detection(self, image: NDArray[np.uint8], people: NDArray[np.float64]) -> Detection:
        hands = np.zeros((len(people), 2, 21, 3))
        if self.hands is not None:
            hands = find_hands(self.hands.module(), image, people, self.hand_scales, self.hands.batch_size)
        return openpose_detection(ImagePoses(people, hands, *image.shape[:2]), self.style, self.min_keypoints)
