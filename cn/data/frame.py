"""A part of an image, and the size that it gets: one decision for the image and all its maps."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.conditions import Geometry


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


def covering(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The largest box in an image (height, width) with the aspect ratio of `size`."""
    ratio = size[1] / size[0]
    if width / height > ratio:
        return height, min(width, max(1, round(height * ratio)))
    return min(height, max(1, round(width / ratio))), width


def centered(height: int, width: int, size: tuple[int, int]) -> Frame:
    """The largest centered box of an image (height, width) that has the aspect ratio of `size` = (height, width)."""
    down, across = covering(height, width, size)
    return Frame((height, width), (height - down) // 2, (width - across) // 2, down, across, size)
