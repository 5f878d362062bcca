"""Line drawings (`lineart`): by Anime2Sketch, or by what is darker than its surroundings, which needs no weights.

All maps are uint8 (h, w), white lines on black; with `invert` dark lines on white, as they are drawn.
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
"""Deviation, in pixels, of the Gaussian that gives a point's surroundings."""

FAINTEST = 8.0
"""Differences in gray levels up to this are not looked at when the strength of lines is measured."""

WEAKEST_STRENGTH = 16.0
MEDIAN_LEVEL = 127.0
"""What the median line becomes; an image without strong lines is not amplified beyond this over `WEAKEST_STRENGTH`."""


def sketches(network: "nn.Module", images: NDArray[np.uint8], *, invert: bool = False) -> NDArray[np.uint8]:
    """Line drawings (n, h, w) of images (n, h, w, 3) RGB of one size, by Anime2Sketch.

    As controlnet_aux runs it: the image is stretched to the next multiples of 256, the drawing shrunk back, both
    bicubically.
    """
    import cv2
    import torch

    from cn.detect.nets.arrays import to_array, to_tensor
    from cn.detect.nets.sketch import MULTIPLE

    height, width = images.shape[1:3]
    stretched = (-(-width // MULTIPLE) * MULTIPLE, -(-height // MULTIPLE) * MULTIPLE)
    pictures = [cv2.resize(image, stretched, interpolation=cv2.INTER_CUBIC) for image in images]
    with torch.inference_mode():
        drawn = network(to_tensor(np.stack(pictures).astype(np.float32) / 127.5 - 1.0, network))[:, 0]
    drawn = to_array(drawn, network) * 127.5 + 127.5
    drawings = [cv2.resize(drawing, (width, height), interpolation=cv2.INTER_CUBIC) for drawing in drawn]
    dark_on_white = np.stack(drawings).clip(0, 255).astype(np.uint8)
    return dark_on_white if invert else 255 - dark_on_white


def standard_lineart(image: NDArray[np.uint8], *, invert: bool = False) -> NDArray[np.uint8]:
    """A line drawing (h, w) of an image (h, w, 3) RGB without weights (lineart_standard in controlnet_aux).

    A point is as white as it is darker, in all three channels, than its surroundings. The median of what is clearly
    darker becomes 127.
    """
    import cv2

    picture = image.astype(np.float32)
    darker = np.min(cv2.GaussianBlur(picture, (0, 0), SIGMA) - picture, axis=2).clip(0, 255)
    clear = darker[darker > FAINTEST]
    darker /= max(WEAKEST_STRENGTH, float(np.median(clear)) if clear.size else 0.0)
    drawing = (darker * MEDIAN_LEVEL).clip(0, 255).astype(np.uint8)
    return 255 - drawing if invert else drawing


WHITE, DARK = "white lines on black", "dark lines on white"


@dataclass(frozen=True)
class LineartDetector(LineartSettings, OptionalNetworkDetector):
    """Line drawings by Anime2Sketch, or by what is darker than its surroundings where there is no network."""

    kind: ClassVar[str] = "lineart"

    def info(self, key: str) -> ConditionInfo:
        name = self.network.title if self.network else registry.weight_free_title("lineart")
        settings = {"method": "anime2sketch" if self.network else "standard", "invert": self.invert}
        return self.condition_info(name, settings, DARK if self.invert else WHITE)

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        if self.network is None:
            made = [standard_lineart(image) for image in images]
        else:
            net = self.network.ready()
            made = batch_by_size(images, self.batch_size, lambda n: sketches(net, n))
        return [line_detection(one, "lines", 255 - one if self.invert else one) for one in made]
