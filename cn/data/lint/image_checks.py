"""What is wrong with an image by itself, and what its file says about how it is stored."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cn import errors
from cn.detect.checks.facts import facts_of
from cn.images.opening import opened, quietly
from cn.images.pixels import has_alpha, to_rgb

_ORIENTATION = 274
_FLAT = 2
"""Levels of the range of an image that counts as one of one color."""


@dataclass(frozen=True)
class Photo:
    """A decoded image: its pixels (h, w, 3), uint8, upright, and how they were stored."""

    pixels: NDArray[np.uint8]
    orientation: int
    """EXIF, 1..8."""
    oddity: str | None
    """How its pixels are stored, in words, where tools read that differently."""


def decode(data: bytes, name: str) -> Photo:
    """Decode the bytes of an image file to the end. Raises InputError for `name` when that fails."""
    with errors.about(name), opened(data) as image, quietly():
        orientation = int(image.getexif().get(_ORIENTATION, 1) or 1)
        oddity = _oddity(image, facts_of(data[:4096]).bits)
        return Photo(to_rgb(image), orientation if orientation in range(1, 9) else 1, oddity)


def _oddity(image: Image.Image, bits: int) -> str | None:
    if image.mode == "CMYK":
        return "is CMYK, which tools convert to different colors"
    if bits == 16 or image.mode.startswith(("I", "F")):
        return "has more than 8 bits, which many tools clip or cut"
    if has_alpha(image) and int(np.asarray(image.convert("RGBA"))[..., 3].min(initial=255)) < 255:
        return "is transparent, over which some tools put white (cn too) and others black"
    return None


def image_fault(photo: Photo) -> tuple[str, str] | None:
    """The rule and message of what is wrong with an image."""
    if int(photo.pixels.max()) - int(photo.pixels.min()) <= _FLAT:
        return "blank-image", "has one color only; leave the pair out"
    if photo.oddity is not None:
        return "image-format", f"{photo.oddity}; convert it to RGB with 8 bits"
    return None


def turned_upright(map: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn a map as the EXIF orientation of its image turned the image (EXIF 2.32, 4.6.4 A)."""
    turned = {
        2: map[:, ::-1],
        3: map[::-1, ::-1],
        4: map[::-1],
        5: map.swapaxes(0, 1),
        6: np.rot90(map, -1),
        7: map[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(map, 1),
    }.get(orientation, map)
    return np.ascontiguousarray(turned)
