"""Which part of an image becomes the training image, and at what size: one decision for the image and all its maps."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.conditions import Geometry
from cn.data.build.settings import MULTIPLE, Crop
from cn.images.resizing import bounded_short_side_size


@dataclass(frozen=True)
class Frame:
    """A box in an image of `original` = (height, width), and the size that it gets."""

    original: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]
    """(height, width)."""

    @property
    def is_whole(self) -> bool:
        """Whether the image stays as it is."""
        return self.size == self.original == (self.height, self.width)

    @property
    def enlarges(self) -> bool:
        """Whether the box is enlarged."""
        return self.size[0] > self.height or self.size[1] > self.width

    def cut(self, image: NDArray[np.generic]) -> NDArray[np.generic]:
        """The box of an image (h, w, …) that shows what the original does, at any size."""
        height, width = image.shape[:2]
        if (height, width) == self.original:
            top, left, bottom, right = self.top, self.left, self.top + self.height, self.left + self.width
        else:
            down, across = height / self.original[0], width / self.original[1]
            top, left = math.floor(self.top * down + 0.5), math.floor(self.left * across + 0.5)
            bottom = max(top + 1, math.floor((self.top + self.height) * down + 0.5))
            right = max(left + 1, math.floor((self.left + self.width) * across + 0.5))
        return image[top:bottom, left:right]

    def apply(self, image: NDArray[np.uint8], geometry: Geometry = "smooth") -> NDArray[np.uint8]:
        """The box of an image or map, at its size; see `cn.images.resize`."""
        return np.ascontiguousarray(images.resize(self.cut(image), self.size, geometry))


def frame(height: int, width: int, resolution: int, crop: Crop, *, seed: int = 0, key: str = "") -> Frame:
    """The frame of an image for a crop policy (`BuildSettings.crop`); a random one depends on seed and key alone."""
    if crop == "none":
        return Frame((height, width), 0, 0, height, width, bounded_short_side_size(height, width, resolution))
    size = (resolution, resolution) if crop != "buckets" else bucket(height, width, resolution)
    box_height, box_width = _covering(height, width, size)
    down, across = height - box_height, width - box_width
    top, left = down // 2, across // 2
    if crop == "random":
        digest = hashlib.sha256(f"crop:{seed}:{key}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        top, left = int(rng.integers(0, down + 1)), int(rng.integers(0, across + 1))
    return Frame((height, width), top, left, box_height, box_width, size)


def bucket(height: int, width: int, resolution: int) -> tuple[int, int]:
    """(height, width) of the bucket whose aspect ratio is nearest; the larger one of equals.

    Sides are multiples of 64 between half and twice the resolution; the area is at most that of the square, as in
    NovelAI's aspect ratio buckets.
    """
    ratio = math.log(width / height)
    low, high = max(MULTIPLE, resolution // 2 // MULTIPLE * MULTIPLE), 2 * resolution
    best, distance = (resolution, resolution), abs(ratio)
    for across in range(low, high + 1, MULTIPLE):
        down = min(high, resolution * resolution // across // MULTIPLE * MULTIPLE)
        if down >= low and (off := abs(ratio - math.log(across / down))) < distance - 1e-9:
            best, distance = (down, across), off
    return best


def _covering(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The largest box in an image (height, width) with the aspect ratio of `size`."""
    ratio = size[1] / size[0]
    if width / height > ratio:
        return height, min(width, max(1, round(height * ratio)))
    return min(height, max(1, round(width / ratio))), width
