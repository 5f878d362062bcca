"""Whether a file can hold the pixels that its header claims, found out before memory is taken for them.

Each format's compression has a highest ratio. Where it has none (a lossless WebP can state any flat image in 40 bytes),
large images of next to no data are refused: nobody has those.
"""

import math
import struct
from collections.abc import Callable
from functools import partial

from PIL import Image

from cn.errors import InputError
from cn.images import png_chunks, tiff_pages
from cn.images.resizing import MAX_PIXELS

_DEFLATE = 1032
"""Bytes per byte of DEFLATE: 258 of them in 2 bits (RFC 1951: a code of 1 bit each for length and distance)."""
_LZW = 2731
"""Bytes per byte of LZW: at most 4096 of them in a code of 12 bits."""
_JPEG = 1024
"""Pixels per byte of Huffman-coded JPEG: 1 bit per block, and a sixteenth of all blocks with the oddest subsampling."""
_TIFF_FIELDS = {tiff_pages.BITS, tiff_pages.SAMPLES, tiff_pages.COMPRESSION, tiff_pages.STRIP_BYTES}
_TIFF_FIELDS |= {tiff_pages.TILE_BYTES}
_ANY = 1 << 14
"""Pixels per byte that are believed of any format, in images of more than `_SMALL` pixels."""
_SMALL = 1 << 24
_WEBP_SIDE = 16383
"""Of a frame; only the canvas of an animation can claim more, up to 2²⁴, and no program writes that."""

_Bound = Callable[[bytes, Image.Image], float]
"""The most pixels that the bytes of a file can hold, given its header."""


def check(data: bytes, image: Image.Image) -> None:
    """Raise InputError if an opened image has too many pixels, or more than the bytes of its file can hold."""
    bound = _BOUNDS.get(image.format or "", lambda data, image: math.inf)
    check_size(image.width, image.height, len(data), lambda: bound(data, image))


def check_size(width: int, height: int, length: int, bound: Callable[[], float] = lambda: math.inf) -> None:
    """As `check`, for a width and height that were read from a header of a file of `length` bytes."""
    pixels = width * height
    if pixels > MAX_PIXELS:
        raise too_large(f"{width}×{height}")
    if (pixels > _SMALL and pixels > _ANY * length) or pixels > bound():
        raise InputError(
            f"is broken or cut off: {length:,} bytes cannot hold the {width}×{height} pixels that it claims to have"
        )


def too_large(size: str) -> InputError:
    """The error for an image or array of more than `MAX_PIXELS`; `size` describes its shape."""
    return InputError(f"{size} pixels are too many (at most {MAX_PIXELS // 10**6} million)")


def check_icon(data: bytes) -> None:
    """`check` of the PNGs in an icon, before it is opened: its directory knows no more than 256×256 pixels."""
    for entry in range(6, min(6 + 16 * struct.unpack_from("<H", data, 4)[0], len(data) - 15), 16):
        length, start = struct.unpack_from("<II", data, entry + 8)
        stored = data[start : start + length]
        if stored.startswith(png_chunks.SIGNATURE) and len(stored) >= 24:
            width, height = struct.unpack_from(">II", stored, 16)
            check_size(width, height, len(stored), partial(png_chunks.max_pixels, stored, _DEFLATE))


def _png(data: bytes, image: Image.Image) -> float:
    return png_chunks.max_pixels(data, _DEFLATE)


def _jpeg(data: bytes, image: Image.Image) -> float:
    # Arithmetic coding has no lowest number of bits.
    arithmetic = b"\xff\xc9" in data[: 1 << 16] or b"\xff\xca" in data[: 1 << 16]
    return math.inf if arithmetic else len(data) * _JPEG


def _gif(data: bytes, image: Image.Image) -> float:
    return len(data) * _LZW


def _webp(data: bytes, image: Image.Image) -> float:
    return 0 if max(image.size) > _WEBP_SIDE else math.inf


def _tga(data: bytes, image: Image.Image) -> float:
    return len(data) * 64


def _pnm(data: bytes, image: Image.Image) -> float:
    return len(data) * (8 if data[:2] in (b"P4", b"P1") else 1)


def _bmp(data: bytes, image: Image.Image) -> float:
    """Uncompressed: 1 bit per pixel or more. A run-length file may end anywhere; the rest is black."""
    runs = len(data) > 34 and struct.unpack_from("<I", data, 30)[0] in (1, 2)
    return math.inf if runs else len(data) * 8


def _tiff(data: bytes, image: Image.Image) -> float:
    page = tiff_pages.first_page(data, _TIFF_FIELDS)
    bits = max(1, page.get(tiff_pages.BITS, 1)) * max(1, page.get(tiff_pages.SAMPLES, 1))
    counts = page.fields.get(tiff_pages.STRIP_BYTES) or page.fields.get(tiff_pages.TILE_BYTES) or (len(data),)
    stored = min(sum(counts), len(data))
    expansion = {1: 1, 5: _LZW, 8: _DEFLATE, 32773: 64, 32946: _DEFLATE}
    compression = page.get(tiff_pages.COMPRESSION, 1)
    if compression in expansion:
        return stored * 8 * expansion[compression] / bits
    return stored * _JPEG if compression in (6, 7) else math.inf


_BOUNDS: dict[str, _Bound] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "MPO": _jpeg,
    "GIF": _gif,
    "WEBP": _webp,
    "TIFF": _tiff,
    "BMP": _bmp,
    "PPM": _pnm,
    "TGA": _tga,
}
