"""Human pose (`openpifpaf`): COCO's 17 keypoints of all people in an image, by OpenPifPaf's networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, Images, NetworkDetector, batch_by_size
from cn.detect.pose import coco_skeleton
from cn.detect.pose.people import ImagePoses
from cn.detect.pose.pifpaf_decoder import CocoPeople, decode
from cn.detect.pose.pose_detection import openpose_detection, pose_detection
from cn.detect.settings import PifPafSettings

if TYPE_CHECKING:
    from torch import nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's images, RGB of 0..1."""

MAX_LONG_EDGE = 2048
"""Larger images are reduced to this long side by default: they would take gigabytes, and people in them are many times
larger than in the training data."""

PADDING = (124, 116, 104)
"""The color of the padding: the mean in 0..255."""


@dataclass(frozen=True)
class Placement:
    """The position and scale of an image in the network's input."""

    left: int
    top: int
    """Padding in pixels."""
    scale_x: float
    scale_y: float
    """Size in the input relative to the image."""

    def to_image(self, people: NDArray[np.float64]) -> NDArray[np.float64]:
        """Keypoints (n, 17, 3) in pixels of the input, converted to pixels of the image; missing ones are (0, 0, 0)."""
        moved = (people[..., :2] - (self.left, self.top)) / (self.scale_x, self.scale_y)
        return np.concatenate([np.where(people[..., 2:] > 0, moved, 0.0), people[..., 2:]], axis=-1)


def preprocess(images: NDArray[np.uint8], long_edge: int | None = None) -> tuple[NDArray[np.float32], Placement]:
    """Images (n, h, w, 3) RGB of one size as input of the network, (n, h', w', 3), and their placement in it.

    With `long_edge` they are first resized bilinearly to this longer side in pixels (the networks were trained with
    513); without it, only larger ones to `MAX_LONG_EDGE`. Then they are padded on all four sides until both sides are
    multiples of 16, plus one.
    """
    import cv2

    from cn.detect.nets.pifpaf import MULTIPLE

    height, width = images.shape[1:3]
    if long_edge is None and max(height, width) > MAX_LONG_EDGE:
        long_edge = MAX_LONG_EDGE
    if long_edge is not None and (height, width) != (new := _resized(height, width, long_edge)):
        resized = [cv2.resize(image, new[::-1], interpolation=cv2.INTER_LINEAR) for image in images]
        images = np.stack(resized).astype(np.uint8)
    new_height, new_width = images.shape[1:3]
    right, below = -(new_width - 1) % MULTIPLE, -(new_height - 1) % MULTIPLE
    left, top = right // 2, below // 2
    padded = np.empty((len(images), new_height + below, new_width + right, 3), np.float32)
    padded[:] = PADDING
    padded[:, top : top + new_height, left : left + new_width] = images
    padded /= 255
    padded -= np.array(MEAN, np.float32)
    padded /= np.array(STD, np.float32)
    # As in OpenPifPaf, the centers of the corner pixels are the fixed points of the scaling.
    placement = Placement(left, top, _scale(new_width, width), _scale(new_height, height))
    return padded, placement


def _resized(height: int, width: int, long_edge: int) -> tuple[int, int]:
    factor = long_edge / max(height, width)
    if height > width:
        return long_edge, max(1, int(width * factor))
    return max(1, int(height * factor)), long_edge


def _scale(new: int, old: int) -> float:
    return (new - 1) / (old - 1) if new > 1 and old > 1 else 1.0


def find_people(network: "nn.Module", images: NDArray[np.uint8], long_edge: int | None = None) -> list[CocoPeople]:
    """The people in each of the images (n, h, w, 3) RGB of one size, by OpenPifPaf.

    Keypoints are in pixels of the images, with the center of the first pixel at (0, 0); those that the network predicts
    outside of the image are included. `long_edge`: see `preprocess`.
    """
    import torch

    from cn.detect.nets.arrays import to_array, to_tensor
    from cn.detect.nets.pifpaf import STRIDE

    inputs, placement = preprocess(images, long_edge)
    with torch.inference_mode():
        cifs, cafs = (to_array(field, network) for field in network(to_tensor(inputs, network)))
    people = [decode(cif, caf, STRIDE) for cif, caf in zip(cifs, cafs, strict=True)]
    return [CocoPeople(placement.to_image(one.keypoints), one.scores) for one in people]


@dataclass(frozen=True)
class PifPafDetector(PifPafSettings, NetworkDetector):
    """Skeletons of COCO's 17 joints by OpenPifPaf, or converted to OpenPose's 18 and drawn like those."""

    kind: ClassVar[str] = "openpifpaf"
    sidecar_suffix: ClassVar[str] = ".json"

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info(self.network.title, {"style": self.style, "long_edge": self.long_edge})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        network = self.network.module()
        per_image = batch_by_size(images, self.batch_size, lambda stack: find_people(network, stack, self.long_edge))
        return [self._detection(one.keypoints, *image.shape[:2]) for one, image in zip(per_image, images, strict=True)]

    def _detection(self, people: NDArray[np.float64], height: int, width: int) -> Detection:
        bodies = coco_skeleton.to_openpose(people)
        poses = ImagePoses(bodies, np.zeros((len(bodies), 2, 21, 3)), height, width)
        if self.style == "pifpaf":
            return pose_detection(poses, coco_skeleton.draw(people, height, width), self.min_keypoints)
        return openpose_detection(poses, self.style, self.min_keypoints)
