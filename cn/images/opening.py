"""Opening an image file with Pillow: the decoders it may use, the size it may claim, the errors it may raise."""

import contextlib
import ctypes
import functools
import io
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from cn.errors import InputError
from cn.images import claims, formats, jxl_header, png_chunks, tiff_pages, unidentified
from cn.images.resizing import MAX_PIXELS

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "JPEG2000", "PPM", "TGA", "ICO", "AVIF")
"""Pillow's names of the formats that are read. Others would run programs (EPS), or are not tested here."""

_ICON = b"\0\0\1\0"

DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, AssertionError),
    *(OverflowError, ZeroDivisionError, NotImplementedError, RuntimeError, struct.error, zlib.error),
)
"""What Pillow and its plugins raise for broken files."""

# Without a handler, Python prints what Pillow logs about broken files.
logging.getLogger("PIL").addHandler(logging.NullHandler())
# Metadata in text chunks can be long; by default Pillow refuses an image with a chunk of more than a megabyte.
PngImagePlugin.MAX_TEXT_CHUNK = 64 << 20
PngImagePlugin.MAX_TEXT_MEMORY = 1 << 30
# Pillow refuses what has more than twice this many pixels, also where only it sees the size: in later frames.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """The bytes of an image file, opened but not decoded, at its first frame or page.

    What Pillow raises for a broken file, here or in the `with` block, becomes an InputError without a path.
    """
    if not data:
        raise InputError("the file is empty")
    try:
        if data.startswith(png_chunks.SIGNATURE):
            data = png_chunks.without_bad_metadata(data)
        elif data.startswith(_ICON):
            claims.check_icon(data)
        elif data.startswith(unidentified.TIFF) and (wrong := unidentified.misread_tiff(data)):
            raise InputError(wrong)
        elif data.startswith((b"Pf", b"PF")):
            raise InputError(unidentified.why(data))
        with quietly():
            image = Image.open(io.BytesIO(data), formats=[*_FORMATS, *_plugin_formats(data)])
        with image:
            claims.check(data, image)
            if image.format == "TIFF":
                _silence_libtiff()
                first = next(iter(tiff_pages.pages(io.BytesIO(data))), 0)
                if first:
                    image.seek(first)
            yield image
    except UnidentifiedImageError:
        raise InputError(unidentified.why(data)) from None
    except Image.DecompressionBombError as error:
        raise far_too_large(error) from None
    except MemoryError:
        raise InputError("needs more memory than there is") from None
    except DECODER_ERRORS as error:
        raise InputError(f"the image is broken or cut off ({one_line(error)})") from error


@functools.cache
def _silence_libtiff() -> None:
    """libtiff prints its errors to standard error itself, and Pillow has no way to turn that off."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(Image.core.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Pillow's warnings about odd metadata and sizes are not for users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def far_too_large(error: Image.DecompressionBombError) -> InputError:
    """The error for what Pillow itself refuses; its message holds the number of pixels."""
    numbers = [int(number) for number in re.findall(r"\d+", str(error))]
    return claims.too_large(f"{max(numbers, default=MAX_PIXELS) / 10**6:,.0f} million")


def one_line(error: Exception) -> str:
    """What an exception of a decoder says, as a short line; the exception's name if it says nothing."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _plugin_formats(data: bytes) -> list[str]:
    """The format of a plugin that these bytes need; it is registered on first use, because it takes time to load."""
    if data[4:8] == b"ftyp" and not brands(data) & {b"avif", b"avis"} and brands(data) & _HEIF_BRANDS:
        _plugin("heif").register_heif_opener()
        return ["HEIF"]
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        _plugin("jxl")
        size = jxl_header.size(data)
        if size is None:
            raise InputError("the image is broken or cut off")
        claims.check_size(*size, len(data))
        return ["JXL"]
    return []


_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


def brands(data: bytes) -> set[bytes]:
    """The major and the compatible brands of an ISO media file (ISO 14496-12, 4.3)."""
    end = min(int.from_bytes(data[:4], "big"), 256, len(data))
    return {data[8:12], *(data[start : start + 4] for start in range(16, end - 3, 4))}


def _plugin(extra: str) -> Any:
    format, module, _ = formats.PLUGINS[extra]
    try:
        return __import__(module)
    except ImportError as error:
        raise InputError(formats.plugin_advice(format, extra)) from error
