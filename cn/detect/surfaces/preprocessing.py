"""How images are resized and normalized for the depth networks."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cn.detect.settings import Preprocessing
from cn.images.resizing import resize, resize_short_side, short_side_size

if TYPE_CHECKING:
    from cn.detect.nets.midas_blocks import DepthNetwork

Rule = Literal["released", "minimal", "upper_bound"]

MULTIPLE = 32
"""Both sides of the input of the networks are multiples of this, since they are halved five times."""

MAX_ASPECT = 4
"""Images with a larger aspect ratio get the area of one with this ratio, which bounds time and memory."""


@dataclass(frozen=True)
class InputSize:
    """The size at which a network processes an image.

    "released": as the apps of the released ControlNets. The short side becomes `side`, both sides are rounded to
    multiples of 64; area interpolation to reduce, Lanczos to enlarge. This is the default for DPT-hybrid, because depth
    and normal controls are used with such maps, and area interpolation does not alias.
    "minimal" and "upper_bound": as MiDaS itself (its transforms.py). The side that needs the smaller change, or the
    long side, becomes `side`; both are rounded to multiples of 32; cubic interpolation. "upper_bound" is the default
    for the small network.
    """

    rule: Rule = "released"
    side: int = 384

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the network's input for an image of this size: multiples of 32, at least 32.

        An image with an aspect ratio above 4:1 (`MAX_ASPECT`) gets the area of a 4:1 one; its long side is at most 16
        times `side`.
        """
        size = short_side_size(height, width, self.side) if self.rule == "released" else self._midas_size(height, width)
        max_area = MAX_ASPECT * self.side**2
        if max(height, width) <= MAX_ASPECT * min(height, width) or size[0] * size[1] <= max_area:
            return size
        scale = math.sqrt(max_area / (height * width))
        max_side = MAX_ASPECT**2 * self.side
        return _rounded(min(height * scale, max_side), MULTIPLE), _rounded(min(width * scale, max_side), MULTIPLE)

    def _midas_size(self, height: int, width: int) -> tuple[int, int]:
        down, across = self.side / height, self.side / width
        if self.rule == "minimal":
            scale = across if abs(1 - across) < abs(1 - down) else down
            return _rounded(height * scale, MULTIPLE), _rounded(width * scale, MULTIPLE)
        scale = min(across, down)
        # Without the limit, `side` plus half a multiple would be rounded up.
        limit = max(MULTIPLE, self.side // MULTIPLE * MULTIPLE)
        return min(limit, _rounded(height * scale, MULTIPLE)), min(limit, _rounded(width * scale, MULTIPLE))

    def resized(self, image: NDArray[np.uint8]) -> NDArray[np.floating]:
        """An image (h, w, 3) at `size`: 0..255 as float32, or as float64 with the overshoot of cubic interpolation."""
        import cv2

        height, width = image.shape[:2]
        size = self.size(height, width)
        if self.rule != "released":
            # In floating point without clipping, like MiDaS.
            return np.asarray(cv2.resize(image.astype(np.float64), size[::-1], interpolation=cv2.INTER_CUBIC))
        if size == short_side_size(height, width, self.side):
            return resize_short_side(image, self.side).astype(np.float32)
        return resize(image, size).astype(np.float32)


def input_size(network: "DepthNetwork", preprocessing: Preprocessing | None = None) -> InputSize:
    """The size rule for a depth network: as the released apps, or as MiDaS itself; None is the network's default."""
    chosen = preprocessing or network.default_preprocessing
    return InputSize("released" if chosen == "released" else network.midas_rule, network.side)


def normalized(network: "DepthNetwork", image: NDArray[np.floating]) -> NDArray[np.float32]:
    """(h, w, 3) of 0..255, normalized as in training: to -1..1 for DPT-hybrid, by ImageNet for the small network."""
    if set(network.mean) == set(network.std) == {0.5}:
        # In this order and precision, the input is bit-identical to that of the released annotator.
        return (image / 127.5 - 1).astype(np.float32)
    return ((image / 255 - np.array(network.mean)) / np.array(network.std)).astype(np.float32)


def _rounded(length: float, multiple: int) -> int:
    """The nearest multiple (halves to the even one, as NumPy rounds), at least one multiple."""
    return max(multiple, round(length / multiple) * multiple)
