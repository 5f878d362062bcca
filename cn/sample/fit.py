"""A condition image of any size → the hint at the image's size."""

import math
from collections.abc import Sequence

import numpy as np

from cn import conditions
from cn.errors import InputError
from cn.images import maps
from cn.images.resizing import resize
from cn.sample.options import Fit

LINES = frozenset({"canny", "hough"})
"""Kinds with lines one pixel wide."""

MAX_STRETCH = 1.15
"""How much the aspect ratio may change: rounding the sides to multiples of 64 pixels needs that much."""


def fit(
    image: np.ndarray,
    kind: str | None,
    size: tuple[int, int],
    own_size: tuple[int, int],
    name: str,
    how: Fit | None = None,
) -> np.ndarray:
    """The condition (h, w, 3), uint8, at `size` = (height, width).

    Labels and colors take the nearest pixel, smooth maps are averaged, and thin lines keep their brightest pixel when
    the image shrinks. `how` is what becomes of another aspect ratio: it is cropped to its center, padded around it with
    the background of its kind, or stretched. Without it, raises InputError, since stretching would distort the content;
    `own_size` is the size that this image alone would lead to, which is always accepted.
    """
    height, width = image.shape[:2]
    if how is None:
        check_aspect(
            "a condition", (height, width), size, name, unless=own_size, advice="give --fit crop, pad or stretch"
        )
    if how == "crop" and size != own_size:
        image = _cropped(image, size)
    elif how == "pad" and size != own_size:
        return _padded(image, kind, size)
    return _resized(image, kind, size)


def _resized(image: np.ndarray, kind: str | None, size: tuple[int, int]) -> np.ndarray:
    if kind in LINES and min(image.shape[0] / size[0], image.shape[1] / size[1]) > 1:
        return _shrink_lines(image, size)
    known = kind is not None and kind in conditions.KINDS
    return resize(image, size, conditions.get(kind).geometry if kind and known else "smooth")


def _cropped(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The largest part of this shape, from the center."""
    height, width = image.shape[:2]
    down, across = _inside((height, width), size)
    top, left = (height - down) // 2, (width - across) // 2
    return image[top : top + down, left : left + across]


def _padded(image: np.ndarray, kind: str | None, size: tuple[int, int]) -> np.ndarray:
    """All of it in the center of `size`, on the background of its kind; if unknown, on the color of its edges."""
    down, across = _inside(size, (image.shape[0], image.shape[1]))
    if kind in conditions.KINDS:
        color = np.asarray(maps.FLAT if kind == "normal" else maps.BLACK)
    else:
        color = np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]), axis=0)
    canvas = np.empty((*size, 3), np.uint8)
    canvas[:] = color.astype(np.uint8)
    top, left = (size[0] - down) // 2, (size[1] - across) // 2
    canvas[top : top + down, left : left + across] = _resized(image, kind, (down, across))
    return canvas


def _inside(room: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """The largest (height, width) of the same aspect ratio as `shape` that fits into `room`."""
    factor = min(room[0] / shape[0], room[1] / shape[1])
    down, across = (min(most, max(1, round(side * factor))) for most, side in zip(room, shape, strict=True))
    return down, across


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
    advice: str = "crop it",
) -> None:
    """InputError where an image of (height, width, …) `shape` has another aspect ratio than `size`, except for the size
    `unless`; `advice` is what to do."""
    height, width = shape[:2]
    stretch = (height * size[1]) / (width * size[0])
    if max(stretch, 1 / stretch) > MAX_STRETCH and size != unless:
        raise InputError(
            f"{what} of {width}×{height} pixels does not fit an image of {size[1]}×{size[0]}; "
            f"{advice}, or give another --size",
            path=name,
        )
