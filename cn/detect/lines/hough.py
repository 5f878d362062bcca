"""Straight lines (`hough`): by the M-LSD networks, or by OpenCV's line segment detector, which needs no weights.

Lines are float (k, 4): x and y of one end, x and y of the other, in pixels of the image. Maps are uint8 (h, w):
white lines on black.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect import registry
from cn.detect.detector import Detection, Images, OptionalNetworkDetector, batch_by_size
from cn.detect.settings import LSD_LENGTH, MLSD_LENGTH, HoughSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

SCORE, LENGTH = HoughSettings.score, MLSD_LENGTH
"""Thresholds of the released annotator: confidence of a line's center, and length in pixels of the half-size map."""

MAX_LINES = 200
"""M-LSD considers this many centers, the most confident ones."""


def mlsd_lines(
    network: "nn.Module", images: NDArray[np.uint8], score: float = SCORE, length: float = LENGTH
) -> list[NDArray[np.float64]]:
    """The lines of each of the images (n, h, w, 3) RGB of one size, by an M-LSD network.

    Any size: the image is padded to multiples of 16 by repeating its last row and column; line centers in the padding
    are ignored. `score` and `length`: see `decode`.
    """
    import torch

    from cn.detect.nets.arrays import pad, to_array, to_tensor
    from cn.detect.nets.mlsd import MULTIPLE

    padded = pad(images, MULTIPLE)
    ones = np.ones((*padded.shape[:3], 1), np.uint8)
    with torch.inference_mode():
        planes = np.concatenate([padded, ones], axis=3).astype(np.float32) / 127.5 - 1.0
        outputs = network(to_tensor(planes, network))[:, :, : -(-images.shape[1] // 2), : -(-images.shape[2] // 2)]
        return [decode(torch.from_numpy(output), score, length) for output in to_array(outputs, network)]


def decode(output: "Tensor", score: float = SCORE, length: float = LENGTH) -> NDArray[np.float64]:
    """Lines (k, 4), most confident first, from the M-LSD output (9, h / 2, w / 2) of an image (pred_lines in utils.py).

    Plane 0 holds the logit of a line's center. A center is kept if it is the maximum of its 3×3 neighborhood, its
    sigmoid is among the 200 largest and exceeds `score`. Planes 1 to 4 are the displacements to both ends (x, y, x, y).
    A line is kept if it is longer than `length`. All of these are in pixels of the output; the returned lines are in
    pixels of the image.
    """
    import torch
    import torch.nn.functional as F

    heat = torch.sigmoid(output[0])
    peaks = torch.where(F.max_pool2d(heat[None], 3, 1, 1)[0] == heat, heat, 0.0).flatten()
    scores, places = peaks.topk(min(MAX_LINES, peaks.numel()))
    ends = output[1:5].flatten(1)[:, places].T
    long = (ends[:, :2] - ends[:, 2:]).square().sum(dim=1).sqrt() > length
    good = long & (scores > score)
    y, x = places // output.shape[2], places % output.shape[2]
    lines = torch.stack([x, y, x, y], dim=1).double() + ends.double()
    return (2.0 * lines[good]).numpy()


def lsd_lines(image: NDArray[np.uint8], length: float = LSD_LENGTH) -> NDArray[np.float64]:
    """The lines of an image (h, w, 3) RGB or (h, w) gray by OpenCV's LSD (von Gioi and others), the longest first.

    Lines shorter than `length` times the shorter side are dropped.
    """
    import cv2

    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else np.ascontiguousarray(image)
    found = cv2.createLineSegmentDetector().detect(gray)[0]
    lines = np.zeros((0, 4)) if found is None else np.asarray(found, np.float64).reshape(-1, 4)
    lengths = np.hypot(lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1])
    order = np.argsort(-lengths, kind="stable")
    return lines[order[lengths[order] >= length * min(gray.shape)]]


def draw_lines(lines: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Lines, one pixel wide, as a map of `size` = (height, width); ends are truncated to whole pixels, as published."""
    import cv2

    canvas = np.zeros(size, np.uint8)
    for x1, y1, x2, y2 in lines.astype(np.int64).tolist():
        cv2.line(canvas, (x1, y1), (x2, y2), 255, 1)
    return canvas


@dataclass(frozen=True)
class HoughDetector(HoughSettings, OptionalNetworkDetector):
    """Straight lines by M-LSD, or by OpenCV's LSD without a network."""

    kind: ClassVar[str] = "hough"

    @property
    def min_length(self) -> float:
        return self.length if self.length is not None else LENGTH if self.network else LSD_LENGTH

    def info(self, key: str) -> ConditionInfo:
        if self.network is None:
            return self.condition_info(
                registry.weight_free_title("hough"), {"method": "lsd", "length": self.min_length}
            )
        settings = {"method": "mlsd", "score": self.score, "length": self.min_length}
        return self.condition_info(self.network.title, settings)

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        if self.network is None:
            found = [lsd_lines(image, self.min_length) for image in images]
        else:
            net = self.network.module()
            found = batch_by_size(
                images, self.batch_size, lambda stack: mlsd_lines(net, stack, self.score, self.min_length)
            )
        return [
            Detection(draw_lines(some, image.shape[:2]), {"lines": len(some)}, empty=not len(some))
            for some, image in zip(found, images, strict=True)
        ]
