"""From one sample to the bytes of a training image: read once, identified by its content, cut to its frame."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cn import errors, images
from cn.data.blobs import Blob, Content
from cn.data.build.frame import Frame, frame
from cn.data.build.settings import BuildSettings, ImageFormat
from cn.images.opening import opened, quietly
from cn.images.pixels import to_rgb

KEY_DIGITS = 16
"""Hexadecimal digits of a content key: 64 bits, so that two of a billion images share one with a chance of 3 %."""

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
_FORMATS = {"auto": "JPEG", "jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Picture:
    """An image that was read."""

    key: str
    """The first digits of the SHA-256 of its file, or of its pixels where there is no file (frames of videos)."""
    array: NDArray[np.uint8]
    """(h, w, 3) RGB, at its own size."""
    data: bytes | None
    """The file."""
    frame: Frame
    plain: str | None = None
    """The suffix of its file, if every program reads that as we do (`plain_suffix`)."""

    @property
    def training(self) -> NDArray[np.uint8]:
        """The training image (h, w, 3)."""
        return self.frame.apply(self.array)

    def text(self) -> dict[str, str]:
        """The text chunks of the file, if it is a PNG."""
        return png_text(self.data) if self.data is not None else {}


def read(blob: Blob, settings: BuildSettings) -> Picture:
    """Read and decode an image. Raises InputError for a missing, broken or far too large one, naming it."""
    array: Any = getattr(blob, "array", None)
    data = plain = None
    if array is None:
        data = blob.read()
        key = hashlib.sha256(data).hexdigest()[:KEY_DIGITS]
        with errors.about(str(blob)), opened(data) as file, quietly():
            # Before it is decoded, which may change what it says of itself.
            plain = plain_suffix(file)
            array = to_rgb(file)
    else:
        shape = repr(array.shape).encode()
        key = hashlib.sha256(shape + np.ascontiguousarray(array).tobytes()).hexdigest()[:KEY_DIGITS]
    height, width = array.shape[:2]
    chosen = frame(height, width, settings.resolution, settings.crop, seed=settings.seed, key=key)
    return Picture(key, array, data, chosen, plain)


def encode(picture: Picture, training: NDArray[np.uint8], settings: BuildSettings) -> tuple[bytes, str]:
    """The file of the training image, and its suffix.

    With the format "auto", an image that needs no change keeps its own bytes: a second compression would cost quality.
    """
    if picture.data is not None and picture.plain is not None and picture.frame.is_whole:
        wanted = _suffix(settings.image_format)
        if settings.image_format == "auto" or wanted == picture.plain:
            return picture.data, picture.plain
    data = images.encode(training, _FORMATS[settings.image_format], quality=settings.quality)
    return data, _suffix(settings.image_format)


def _suffix(image_format: ImageFormat) -> str:
    return SUFFIXES[_FORMATS[image_format]]


def plain_suffix(image: Image.Image) -> str | None:
    """The suffix of an image file that every program reads as we do: RGB or gray, 8 bits, upright, one frame.

    None for any other: rotated by EXIF, transparent, CMYK, 16 bits, with a palette, animated, or of another format.
    """
    suffix = SUFFIXES.get(image.format or "")
    if suffix is None or image.mode not in ("RGB", "L") or getattr(image, "n_frames", 1) != 1:
        return None
    return None if "transparency" in image.info or _is_rotated(image) else suffix


def _is_rotated(image: Image.Image) -> bool:
    # Reading EXIF costs as much as opening the file; most files say by their size that they have none.
    if image.format == "JPEG" and "exif" not in image.info:
        return False
    return image.getexif().get(_ORIENTATION, 1) != 1


def is_plain_map(data: bytes, size: tuple[int, int]) -> str | None:
    """`plain_suffix` of a map's file if it has this (height, width)."""
    with opened(data) as image:
        return plain_suffix(image) if (image.height, image.width) == size else None


def png_text(data: bytes) -> dict[str, str]:
    """The text chunks of a PNG; {} for any other file."""
    return images.read_info(Content("", data))
