"""Line drawings (`lineart`): by Anime2Sketch, or from local darkness, which needs no weights.

All maps are uint8 (h, w): white lines on black, or dark lines on white with `invert`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect import registry
from cn.detect.detector import Detection, Images, OptionalNetworkDetector, batch_by_size, line_detection
from cn.detect.settings import LineartSettings

if TYPE_CHECKING:
    from torch import nn

SIGMA = 6.0
"""Standard deviation, in pixels, of the Gaussian blur that a pixel is compared with."""

MIN_DIFFERENCE = 8.0
"""Differences in gray levels up to this are ignored when the strength of lines is measured."""

MIN_STRENGTH = 16.0
MEDIAN_LEVEL = 127.0
"""The level of the median line. The gain is at most `MEDIAN_LEVEL` / `MIN_STRENGTH`, where all lines are weak."""


def sketches(network: "nn.Module", images: NDArray[np.uint8], *, invert: bool = False) -> NDArray[np.uint8]:
    """Line drawings (n, h, w) of images (n, h, w, 3) RGB of one size, by Anime2Sketch.

    As in controlnet_aux: the image is enlarged to the next multiples of 256 and the drawing reduced again, both by
    bicubic interpolation.
    """
    import cv2
    import torch

    from cn.detect.nets.arrays import to_array, to_tensor
    from cn.detect.nets.sketch import MULTIPLE

    height, width = images.shape[1:3]
    enlarged = (-(-width // MULTIPLE) * MULTIPLE, -(-height // MULTIPLE) * MULTIPLE)
    inputs = [cv2.resize(image, enlarged, interpolation=cv2.INTER_CUBIC) for image in images]
    with torch.inference_mode():
        output = network(to_tensor(np.stack(inputs).astype(np.float32) / 127.5 - 1.0, network))[:, 0]
    levels = to_array(output, network) * 127.5 + 127.5
    drawings = [cv2.resize(drawing, (width, height), interpolation=cv2.INTER_CUBIC) for drawing in levels]
    dark_on_white = np.stack(drawings).clip(0, 255).astype(np.uint8)
    return dark_on_white if invert else 255 - dark_on_white


def standard_lineart(image: NDArray[np.uint8], *, invert: bool = False) -> NDArray[np.uint8]:
    """A line drawing (h, w) of an image (h, w, 3) RGB without weights (lineart_standard in controlnet_aux).

    A pixel is white in proportion to how much darker it is than the blurred image, in all three channels. The median
    of the clear differences becomes 127.
    """
    import cv2

    levels = image.astype(np.float32)
    darker = np.min(cv2.GaussianBlur(levels, (0, 0), SIGMA) - levels, axis=2).clip(0, 255)
    clear = darker[darker > MIN_DIFFERENCE]
    darker /= max(MIN_STRENGTH, float(np.median(clear)) if clear.size else 0.0)
    drawing = (darker * MEDIAN_LEVEL).clip(0, 255).astype(np.uint8)
    return 255 - drawing if invert else drawing


WHITE, DARK = "white lines on black", "dark lines on white"


@dataclass(frozen=True)
class LineartDetector(LineartSettings, OptionalNetworkDetector):
    """Line drawings by Anime2Sketch, or from local darkness without a network."""

    kind: ClassVar[str] = "lineart"

    def info(self, key: str) -> ConditionInfo:
        name = self.network.title if self.network else registry.weight_free_title("lineart")
        settings = {"method": "anime2sketch" if self.network else "standard", "invert": self.invert}
        return self.condition_info(name, settings, DARK if self.invert else WHITE)

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        if self.network is None:
            made = [standard_lineart(image) for image in images]
        else:
            net = self.network.module()
            made = batch_by_size(images, self.batch_size, lambda stack: sketches(net, stack))
        return [line_detection(one, "lines", 255 - one if self.invert else one) for one in made]
