"""Resizing of images and condition maps, as in the training of the released checkpoints."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn.conditions import Geometry
from cn.errors import InputError

MAX_PIXELS = 200_000_000
"""Larger images are refused: a tiny file can claim any size (a decompression bomb)."""

MULTIPLE = 64
"""Both sides of Stable Diffusion's images are multiples of this many pixels."""


def resize(image: NDArray[Any], size: tuple[int, int], geometry: Geometry = "smooth") -> NDArray[Any]:
    """An image or map (h, w) or (h, w, c) at `size` = (height, width), same dtype.

    "discrete" takes the nearest pixel, so that no new label or color appears; "smooth" averages areas when shrinking
    and interpolates bilinearly when enlarging.
    """
    import cv2

    height, width = size
    if image.shape[:2] == (height, width):
        return image
    if geometry == "discrete":
        method = cv2.INTER_NEAREST_EXACT
    else:
        method = cv2.INTER_AREA if height * width < image.shape[0] * image.shape[1] else cv2.INTER_LINEAR
    # OpenCV drops a last axis of one channel.
    return np.asarray(cv2.resize(image, (width, height), interpolation=method)).reshape(height, width, *image.shape[2:])


def short_side_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) with the short side at `short_side` and both rounded to multiples of 64 (at least 64)."""
    factor = short_side / min(height, width)
    down, across = (max(MULTIPLE, round(side * factor / MULTIPLE) * MULTIPLE) for side in (height, width))
    return down, across


def bounded_short_side_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """As `short_side_size`; InputError for more than `MAX_PIXELS`."""
    down, across = short_side_size(height, width, short_side)
    if down * across > MAX_PIXELS:
        raise InputError(f"{width}×{height} with the short side at {short_side} is {across}×{down}: too many pixels")
    return down, across


def resize_short_side(image: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    """An image (h, w, 3) at `bounded_short_side_size`, enlarged by Lanczos, shrunk by area, as officially trained."""
    import cv2

    height, width = bounded_short_side_size(image.shape[0], image.shape[1], short_side)
    if image.shape[:2] == (height, width):
        return image
    method = cv2.INTER_LANCZOS4 if short_side > min(image.shape[:2]) else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, (width, height), interpolation=method))
