"""Images that Pillow does not read, or not without loss, by OpenCV: 16 bits per color, TIFFs of numbers.

OpenCV comes with libtiff and so reads nearly every compression. (tifffile reads half floats, too, but needs another
package for LZW, for floating-point predictors, and for most other compressions.)
"""

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cn.errors import InputError
from cn.images import claims, png_chunks, tiff_pages, unidentified
from cn.images.numbers.quiet import quiet_decoders

_PLACES = {tiff_pages.STRIP_OFFSETS, tiff_pages.STRIP_BYTES, tiff_pages.TILE_OFFSETS, tiff_pages.TILE_BYTES}
_SIZES = {tiff_pages.WIDTH, tiff_pages.HEIGHT, tiff_pages.BITS, tiff_pages.SAMPLES, tiff_pages.COMPRESSION}
_FIELDS = _PLACES | _SIZES | {tiff_pages.SAMPLE_FORMAT}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
"""Values of the field SampleFormat (TIFF 6.0, section 19)."""
_DEFLATE, _LZW = 1032, 2731
"""Bytes per byte that these compressions reach at most."""
_EXPANSION = {1: 1, 5: _LZW, 8: _DEFLATE, 32773: 64, 32946: _DEFLATE}


def is_deep_png(data: bytes) -> bool:
    """Whether a PNG has several channels of 16 bits, of which Pillow would keep 8."""
    return data.startswith(png_chunks.SIGNATURE) and data[24:25] == b"\x10" and data[25:26] in (b"\2", b"\4", b"\6")


def is_deep_tiff(data: bytes) -> bool:
    """Whether this is a TIFF whose samples Pillow does not read, or not as they are."""
    if not data.startswith(unidentified.TIFF):
        return False
    page = tiff_pages.first_page(data, _FIELDS)
    form, bits = page.get(tiff_pages.SAMPLE_FORMAT, _UNSIGNED), page.get(tiff_pages.BITS, 1)
    if form not in (_UNSIGNED, _SIGNED, _FLOAT):
        return False
    # Pillow swaps the bytes of compressed samples once too often, where the file is big-endian.
    return bits in (16, 32, 64) or (bits == 8 and data.startswith(b"MM\0+"))


def read_tiff(data: bytes) -> NDArray[np.generic]:
    """The values of the first page, (h, w) or (h, w, channels). Raises InputError, without a path."""
    if wrong := unidentified.misread_tiff(data):
        raise InputError(wrong)
    page = tiff_pages.first_page(data, _FIELDS)
    places = page.fields.get(tiff_pages.STRIP_OFFSETS) or page.fields.get(tiff_pages.TILE_OFFSETS) or ()
    lengths = page.fields.get(tiff_pages.STRIP_BYTES) or page.fields.get(tiff_pages.TILE_BYTES) or ()
    if not places or any(place + length > len(data) for place, length in zip(places, lengths, strict=False)):
        raise InputError("the image is broken or cut off")
    bits, samples = page.get(tiff_pages.BITS, 1), page.get(tiff_pages.SAMPLES, 1)
    expansion = _EXPANSION.get(page.get(tiff_pages.COMPRESSION, 1), 1 << 14)
    size = page.get(tiff_pages.WIDTH), page.get(tiff_pages.HEIGHT)
    claims.check_size(*size, len(data), lambda: sum(lengths) * 8 * expansion / max(1, bits * samples))
    if page.get(tiff_pages.SAMPLE_FORMAT, _UNSIGNED) == _FLOAT and bits == 16:
        # OpenCV refuses half floats; it reads them as integers, bit by bit.
        return decode(_as_unsigned(data)).view(np.float16)
    return decode(data)


def decode(data: bytes) -> NDArray[np.generic]:
    """Any image as stored, colors as RGB or RGBA. Raises InputError, without a path."""
    import cv2

    log = cv2.utils.logging
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        with quiet_decoders():
            found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        raise InputError("the image is broken, or needs more memory than there is") from error
    finally:
        log.setLogLevel(level)
    if found is None:
        raise InputError("the image is broken or cut off")
    values = np.asarray(found)
    return values if values.ndim == 2 else np.ascontiguousarray(values[..., [2, 1, 0, 3][: values.shape[2]]])


def read_deep_png(data: bytes, image: Image.Image) -> NDArray[np.generic]:
    """A PNG with channels of 16 bits, uint16 (h, w, 3) or (h, w, 4); `image` is the same, opened by Pillow."""
    # OpenCV takes memory for the length that a chunk claims, and gives what there is of an image that was cut off.
    file = io.BytesIO(data)
    if any(file.tell() + length > len(data) for _, length in png_chunks.chunks(file)):
        raise InputError("the image is broken or cut off")
    image.load()
    return decode(png_chunks.without_bad_metadata(data))


def _as_unsigned(data: bytes) -> bytes:
    """A TIFF whose first page has the same bits as unsigned integers: its field SampleFormat says 1."""
    order, big = ("<" if data.startswith(b"II") else ">"), data[2:4] in (b"+\0", b"\0+")
    (start,) = struct.unpack_from(f"{order}Q", data, 8) if big else struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}Q", data, start) if big else struct.unpack_from(f"{order}H", data, start)
    first, size, value = (start + 8, 20, 12) if big else (start + 2, 12, 8)
    changed = bytearray(data)
    for entry in range(first, min(first + size * count, len(data) - size + 1), size):
        tag, kind, number = struct.unpack_from(f"{order}HH{'Q' if big else 'I'}", data, entry)
        if tag == tiff_pages.SAMPLE_FORMAT and kind == 3:
            at = entry + value
            if 2 * number > size - value:
                (at,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, at)
            number = max(0, min(number, (len(data) - at) // 2))
            struct.pack_into(f"{order}{number}H", changed, min(at, len(data)), *[_UNSIGNED] * number)
    return bytes(changed)
