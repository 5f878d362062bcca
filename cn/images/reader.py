"""Reading images: any image file → a uint8 array, height × width × 3, RGB."""

import contextlib
import io
import os
import struct
import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageOps, PngImagePlugin, UnidentifiedImageError

from cn import errors
from cn.errors import InputError
from cn.files import reason
from cn.images import png_text
from cn.images.resizing import MAX_PIXELS

ImageArray = NDArray[np.uint8]

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif"}
    | {".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico"}
)
"""Suffixes (lower case) of the files in a folder that count as images."""

# Metadata in text chunks can be long; by default Pillow refuses an image with a chunk of more than a megabyte.
PngImagePlugin.MAX_TEXT_CHUNK = 64 << 20
PngImagePlugin.MAX_TEXT_MEMORY = 256 << 20
# The size is checked in `_decode`, with a message of our own.
Image.MAX_IMAGE_PIXELS = None


def read(path: str | os.PathLike[str]) -> ImageArray:
    """Any image file as RGB: uint8 (h, w, 3), 0..255, upright; `-` reads standard input.

    Transparency is composited over white (as existing ControlNets were trained), 16 bits are scaled to 8, and the first
    frame of an animation is taken. Raises InputError when the file cannot be read or is not a valid image.
    """
    return decode(read_bytes(path), display_name(path))


def decode(data: bytes, name: str) -> ImageArray:
    """The bytes of an image file as RGB uint8 (h, w, 3); see `read`. `name` is the path that errors carry."""
    with errors.about(name):
        return _decode(data)


def _decode(data: bytes) -> ImageArray:
    if not data:
        raise InputError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise too_large(f"{image.width}×{image.height}")
                image.load()
                if image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:
                    # Without Adobe's marker the inks are not inverted, but Pillow assumes that they always are.
                    return _to_rgb(ImageChops.invert(_upright(image)))
                return _to_rgb(_upright(image))
    except UnidentifiedImageError:
        raise InputError(_why_unidentified(data)) from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
        raise InputError(f"the image is broken or cut off ({error})") from error


def as_rgb(image: Any, name: str = "image") -> ImageArray:
    """uint8 (h, w, 3) of a path, an array (h, w), (h, w, 1) or (h, w, 3) of uint8, or an image of Pillow.

    Raises InputError, naming the image, for anything else.
    """
    if isinstance(image, str | os.PathLike):
        return read(image)
    array = np.asarray(_to_rgb(image) if isinstance(image, Image.Image) else image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        raise InputError(f"must be uint8 (h, w, 3) or (h, w), not {array.dtype} {array.shape}", path=name)
    if array.ndim == 3 and array.shape[2] not in (1, 3):
        raise InputError(f"must have 1 or 3 channels, not {array.shape[2]}", path=name)
    return np.array(np.broadcast_to(array.reshape(*array.shape[:2], -1), (*array.shape[:2], 3)))


def read_info(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text chunks of a PNG; {} for any other file, and for one that is missing or broken."""
    try:
        with open(path, "rb") as file:
            return png_text.read_text(file)
    except OSError:
        return {}


def read_with_info(path: str | os.PathLike[str]) -> tuple[ImageArray, dict[str, str]]:
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


def display_name(path: str | os.PathLike[str]) -> str:
    """The path that errors carry: "standard input" for `-`."""
    return "standard input" if str(path) == "-" else os.fspath(path)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The contents of a file, or of standard input for `-`. Raises InputError when it cannot be read."""
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


def too_large(size: str) -> InputError:
    """The error for an image or array of more than `MAX_PIXELS`; `size` describes its shape."""
    return InputError(f"{size} pixels are too many (at most {MAX_PIXELS // 10**6} million)")


def _why_unidentified(data: bytes) -> str:
    """Why Pillow could not identify a file: a message that helps."""
    head = data[:512]
    if head.startswith((png_text.SIGNATURE, b"\xff\xd8\xff", b"GIF8", b"RIFF")):
        return "the image is broken or cut off"
    if head.startswith(b"version https://git-lfs"):
        return "not an image but a Git LFS pointer; run `git lfs pull`"
    # One replacement character is allowed: the last character of `head` may have been cut in two.
    text = head.decode("utf-8", "replace")
    if text.count("\ufffd") <= 1 and all(character.isprintable() or character.isspace() for character in text):
        return "not an image but text"
    return "not an image, or an unsupported format"


def _upright(image: Image.Image) -> Image.Image:
    """The image with its EXIF orientation applied; a damaged EXIF block is ignored."""
    with contextlib.suppress(SyntaxError, ValueError, KeyError, TypeError, OSError, struct.error):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _to_rgb(image: Image.Image) -> ImageArray:
    """uint8 (h, w, 3) from any of Pillow's modes."""
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_gray_to_rgb(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"))
        if (rgba[..., 3] == 255).all():
            return np.ascontiguousarray(rgba[..., :3])
        # 255 · 255 + 127 still fits 16 bits.
        alpha = rgba[..., 3:].astype(np.uint16)
        over_white = rgba[..., :3] * alpha + 255 * (255 - alpha)
        return ((over_white + 127) // 255).astype(np.uint8)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _deep_gray_to_rgb(image: Image.Image) -> ImageArray:
    """Gray of 16 bits, 32 bits or floating point, (h, w), to RGB: 16 bits by 1/257.

    32-bit and float images do not state their white level: the smallest of 1 (float only), 255 (float only) and 65535
    that no value exceeds is taken, or else the largest value. Negative and undefined values are black.
    """
    values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0).clip(min=0.0)
    peak = float(values.max(initial=0.0))
    whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    white = next((w for w in whites if peak <= w), peak)
    gray = np.round(values * (255.0 / white)).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray[np.asarray(image) == transparent] = 255
    return np.repeat(gray[..., None], 3, axis=2)
