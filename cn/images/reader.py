"""Reading images: any image file → a uint8 array, height × width × 3, RGB."""

import io
import math
import os
import sys
from typing import Any, Protocol

import numpy as np
from PIL import Image

from cn import errors
from cn.errors import InputError
from cn.files import reason
from cn.images import png_text
from cn.images.opening import opened, quietly
from cn.images.pixels import ImageArray, orientation, to_rgb


class Readable(Protocol):
    """The bytes of an image that is not a file of its own; `str()` is its name (`cn.data.blobs`)."""

    def read(self) -> bytes: ...


ImagePath = str | os.PathLike[str] | Readable


def read(path: ImagePath) -> ImageArray:
    """Any image file as RGB: uint8 (h, w, 3), 0..255, upright; `-` reads standard input.

    Transparency is composited over white (as existing ControlNets were trained), 16 bits are scaled to 8, and the first
    frame of an animation is taken. Raises InputError when the file cannot be read or is not a valid image.
    """
    return decode(read_bytes(path), display_name(path))


def decode(data: bytes, name: str) -> ImageArray:
    """The bytes of an image file as RGB uint8 (h, w, 3); see `read`. `name` is the path that errors carry."""
    with errors.about(name), opened(data) as image, quietly():
        return to_rgb(image)


def decode_near(data: bytes, name: str, shape: tuple[int, int]) -> ImageArray:
    """`decode` of an image that is going to be shrunk to cover `shape` = (height, width), at its own size or a smaller
    one that still covers it.

    A JPEG can be decoded at a half, a quarter or an eighth of its size in a fraction of the time (its blocks of 8×8
    pixels are averaged), as photographs of 12 million pixels are for training at 512×512.
    """
    with errors.about(name), opened(data) as image, quietly():
        if image.format == "JPEG" and image.mode in ("RGB", "L"):
            height, width = shape if orientation(image) < 5 else shape[::-1]
            scale = max(height / image.height, width / image.width)
            image.draft(image.mode, (math.ceil(image.width * scale), math.ceil(image.height * scale)))
        return to_rgb(image)


def as_rgb(image: Any, name: str = "image") -> ImageArray:
    """uint8 (h, w, 3) of a path, an array (h, w), (h, w, 1) or (h, w, 3) of uint8, or an image of Pillow.

    Raises InputError, naming the image, for anything else.
    """
    if isinstance(image, str | os.PathLike):
        return read(image)
    array = np.asarray(to_rgb(image, upright=False) if isinstance(image, Image.Image) else image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        raise InputError(f"must be uint8 (h, w, 3) or (h, w), not {array.dtype} {array.shape}", path=name)
    if array.ndim == 3 and array.shape[2] not in (1, 3):
        raise InputError(f"must have 1 or 3 channels, not {array.shape[2]}", path=name)
    return np.array(np.broadcast_to(array.reshape(*array.shape[:2], -1), (*array.shape[:2], 3)))


def read_info(path: ImagePath) -> dict[str, str]:
    """The text chunks of a PNG; {} for any other file, and for one that is missing or broken."""
    if not isinstance(path, str | os.PathLike):
        return png_text.read_text(io.BytesIO(path.read()))
    try:
        with open(path, "rb") as file:
            return png_text.read_text(file)
    except OSError:
        return {}


def read_with_info(path: ImagePath) -> tuple[ImageArray, dict[str, str]]:
    """`read` and `read_info` in one, for standard input too, which can be read only once."""
    data = read_bytes(path)
    return decode(data, display_name(path)), png_text.read_text(io.BytesIO(data))


def is_complete_png(path: str | os.PathLike[str]) -> bool:
    """Whether `path` begins and ends as a PNG does: a cheap test for files that were cut off."""
    try:
        with open(path, "rb") as file:
            head = file.read(len(png_text.SIGNATURE))
            file.seek(-len(png_text.END), os.SEEK_END)
            return head == png_text.SIGNATURE and file.read() == png_text.END
    except OSError:
        return False


def display_name(path: ImagePath) -> str:
    """The path that errors carry: "standard input" for `-`."""
    return "standard input" if str(path) == "-" else str(path)


def read_bytes(path: ImagePath) -> bytes:
    """The contents of a file, or of standard input for `-`. Raises InputError when it cannot be read."""
    if not isinstance(path, str | os.PathLike):
        return path.read()
    with errors.about(display_name(path)):
        try:
            if str(path) == "-":
                return sys.stdin.buffer.read()
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            raise InputError("no such file") from None
        except IsADirectoryError:
            raise InputError("is a folder, not a file") from None
        except OSError as error:
            raise InputError(f"cannot be read: {reason(error)}") from error
