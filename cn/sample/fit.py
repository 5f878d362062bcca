"""A condition image of any size → the hint at the image's size."""

import math
from collections.abc import Sequence

import numpy as np

from cn import conditions
from cn.errors import InputError
from cn.images.resizing import resize

LINES = frozenset({"canny", "hough"})
"""Kinds with lines one pixel wide."""

MAX_STRETCH = 1.15
"""How much the aspect ratio may change: rounding the sides to multiples of 64 pixels needs that much."""


def fit(image: np.ndarray, kind: str | None, size: tuple[int, int], own_size: tuple[int, int], name: str) -> np.ndarray:
    """The condition (h, w, 3), uint8, at `size` = (height, width).

    Labels and colors take the nearest pixel, smooth maps are averaged, and thin lines keep their brightest pixel when
    the image shrinks. Raises InputError for another aspect ratio, since stretching would distort the content;
    `own_size` is the size that this image alone would lead to, which is always accepted.
    """
    height, width = image.shape[:2]
    check_aspect("a condition", (height, width), size, name, unless=own_size)
    if kind in LINES and min(height / size[0], width / size[1]) > 1:
        return _shrink_lines(image, size)
    known = kind is not None and kind in conditions.KINDS
    return resize(image, size, conditions.get(kind).geometry if kind and known else "smooth")


def _shrink_lines(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The brightest pixel of each cell: the nearest one alone would leave dots of a line."""
    import cv2

    cell = np.ones((math.ceil(image.shape[0] / size[0]), math.ceil(image.shape[1] / size[1])), np.uint8)
    return resize(np.asarray(cv2.dilate(image, cell)), size, "discrete")


def check_aspect(
    what: str,
    shape: Sequence[int],
    size: tuple[int, int],
    name: str,
    *,
    unless: tuple[int, int] | None = None,
) -> None:
    """InputError where an image of (height, width, …) `shape` has another aspect ratio than `size`, except for the size
    `unless`."""
    height, width = shape[:2]
    stretch = (height * size[1]) / (width * size[0])
    if max(stretch, 1 / stretch) > MAX_STRETCH and size != unless:
        raise InputError(
            f"{what} of {width}×{height} pixels does not fit an image of {size[1]}×{size[0]}; "
            "crop it, or give another --size",
            path=name,
        )
