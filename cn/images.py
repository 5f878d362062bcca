"""The only image input and output: any file ↔ uint8 arrays, height × width × 3, RGB.

EXIF rotation, transparency, 16 bits, CMYK, palettes and animation are settled here and nowhere else.
"""

import contextlib
import io
import os
import struct
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageOps, PngImagePlugin, UnidentifiedImageError

from cn import pngtext
from cn.errors import InputError
from cn.files import reason, write_atomic
from cn.resizing import MAX_PIXELS, resize, resize_short_side
from cn.sheet import grid

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "decode",
    "encode",
    "format_of",
    "grid",
    "is_whole_png",
    "read",
    "read_info",
    "resize",
    "resize_short_side",
    "write",
]

ImageArray = NDArray[np.uint8]

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif"}
    | {".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico"}
)
"""File name endings that a folder's images are found by (lower case)."""

MAX_SIDE = 1_000_000
"""PNG readers refuse longer sides."""

_FORMATS = {
    "": "PNG",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
# Recipes in text chunks can be long; Pillow by default refuses the whole image when one exceeds a megabyte.
PngImagePlugin.MAX_TEXT_CHUNK = 64 << 20
PngImagePlugin.MAX_TEXT_MEMORY = 256 << 20
# The size is checked below, with a message that names the file.
Image.MAX_IMAGE_PIXELS = None


def read(path: str | os.PathLike[str]) -> ImageArray:
    """Any image file as RGB: uint8 (h, w, 3), 0..255, upright; `-` reads standard input.

    Transparency is laid over white (as existing ControlNets were trained), 16 bits are scaled to 8, of an animation the
    first frame is taken. Raises InputError with one line that names the file and what is wrong with it.
    """
    name = "standard input" if str(path) == "-" else str(path)
    return decode(_read_bytes(path, name), name)


def decode(data: bytes, name: str) -> ImageArray:
    """The bytes of an image file as RGB uint8 (h, w, 3); see `read`. `name` is what errors call it."""
    if not data:
        raise InputError(f"{name}: the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    size = f"{image.width}×{image.height}"
                    raise InputError(f"{name}: {size} pixels are too many (at most {MAX_PIXELS // 10**6} million)")
                image.load()
                if image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:
                    # Without Adobe's marker the inks are the plain way round; Pillow takes all for inverted ones.
                    return _to_rgb(ImageChops.invert(_upright(image)))
                return _to_rgb(_upright(image))
    except UnidentifiedImageError:
        raise InputError(f"{name}: {_what_it_is(data)}") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
        raise InputError(f"{name}: the image is broken or cut off ({error})") from error


def read_info(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text chunks of a PNG; {} for anything else, even for a file that is missing or broken."""
    try:
        with open(path, "rb") as file:
            return pngtext.read_text(file)
    except OSError:
        return {}


def read_with_info(path: str | os.PathLike[str]) -> tuple[ImageArray, dict[str, str]]:
    """`read` and the PNG's text chunks at once, for standard input too, which can be read only one time."""
    name = "standard input" if str(path) == "-" else str(path)
    data = _read_bytes(path, name)
    return decode(data, name), pngtext.read_text(io.BytesIO(data))


def is_whole_png(path: str | os.PathLike[str]) -> bool:
    """Whether `path` begins and ends as a PNG does: cheap, and false for a file that was cut off."""
    try:
        with open(path, "rb") as file:
            head = file.read(len(pngtext.SIGNATURE))
            file.seek(-len(pngtext.END), os.SEEK_END)
            return head == pngtext.SIGNATURE and file.read() == pngtext.END
    except OSError:
        return False


def write(
    path: str | os.PathLike[str], array: NDArray[np.uint8], text: Mapping[str, str] | None = None, *, quality: int = 95
) -> None:
    """Write an image, whole or not at all; the ending says the format, PNG where there is none; `-` is stdout (PNG).

    `array` is uint8: (h, w) gray, (h, w, 1), (h, w, 3) RGB or (h, w, 4) RGBA. `text` becomes PNG text chunks (other
    formats cannot hold them). Raises InputError, naming the file, for an unknown ending and when it cannot be written.
    """
    if str(path) == "-":
        _write_stdout(encode(array, "PNG", text))
        return
    # Not waiting for the disk: hundreds of images a second, each of which can be made again.
    write_atomic(path, encode(array, format_of(path), text, quality=quality), durable=False)


def _write_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"standard output: cannot be written: {reason(error)}") from error


def format_of(path: str | os.PathLike[str]) -> str:
    """Pillow's name of the format that `path` ends on, PNG without an ending; InputError for one we do not write."""
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(f"{path}: cannot write {suffix} images; use .png, .jpg or .webp")
    return _FORMATS[suffix]


def encode(
    array: NDArray[np.uint8], format: str = "PNG", text: Mapping[str, str] | None = None, *, quality: int = 95
) -> bytes:
    """The bytes of an image file in Pillow's `format`; see `write`. The same array and text give the same bytes."""
    if array.dtype != np.uint8:
        raise TypeError(f"images are uint8, not {array.dtype}")
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if max(array.shape[:2]) > MAX_SIDE:
        raise InputError(f"{array.shape[1]}×{array.shape[0]} pixels: no side may have more than {MAX_SIDE:,}")
    if format == "PNG":
        return pngtext.with_text(_png(array), text or {})
    image = Image.fromarray(np.ascontiguousarray(array))
    options: dict[str, object] = {}
    if format in ("JPEG", "WEBP"):
        options = {"quality": quality}
        image = image.convert("RGB") if format == "JPEG" and image.mode == "RGBA" else image
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _png(array: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG by OpenCV: measured on photographs and maps, half of Pillow's time for files of its size."""
    import cv2

    array = np.ascontiguousarray(array)
    if array.ndim == 3:
        order = cv2.COLOR_RGB2BGR if array.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        array = np.asarray(cv2.cvtColor(array, order), np.uint8)
    # Run lengths behind one filter: within 1 % of what the best filter of each row gives, 4 % on bare lines.
    options = (cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE, cv2.IMWRITE_PNG_FILTER)
    _, data = cv2.imencode(".png", array, [*options, cv2.IMWRITE_PNG_FILTER_PAETH])
    return data.tobytes()


def _read_bytes(path: str | os.PathLike[str], name: str) -> bytes:
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read()
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{name}: is a folder, not an image") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {reason(error)}") from error


def _what_it_is(data: bytes) -> str:
    """Why Pillow could not identify it, in words that help."""
    head = data[:512]
    if head.startswith((pngtext.SIGNATURE, b"\xff\xd8\xff", b"GIF8", b"RIFF")):
        return "the image is broken or cut off"
    if head.startswith(b"version https://git-lfs"):
        return "not an image but a Git LFS pointer; run `git lfs pull`"
    # One replaced character is forgiven: it may have been cut in two at the end of what is looked at.
    text = head.decode("utf-8", "replace")
    if text.count("\ufffd") <= 1 and all(character.isprintable() or character.isspace() for character in text):
        return "not an image but text"
    return "not an image, or of a kind that is not supported"


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says; a damaged EXIF block counts as none."""
    with contextlib.suppress(SyntaxError, ValueError, KeyError, TypeError, OSError, struct.error):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _to_rgb(image: Image.Image) -> ImageArray:
    """uint8 (h, w, 3) of any mode that Pillow has."""
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

    32-bit and float images do not say what their white is: up to 1 (float only), 255 (float only) or 65535 is taken
    for the full range, and beyond that the largest value. Negative and undefined values are black.
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
