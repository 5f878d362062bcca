"""Reading files with one value per pixel (measured depth, labels): NumPy arrays and images, values unchanged."""

import io
import os
import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cn import errors
from cn.errors import InputError
from cn.images.claims import too_large
from cn.images.opening import far_too_large
from cn.images.reader import display_name, read_bytes
from cn.images.resizing import MAX_PIXELS

SUFFIXES = frozenset({".npy", ".png", ".tif", ".tiff"})
"""Suffixes (lower case) of the files that `read` accepts."""

_NPY = b"\x93NUMPY"
_LOSSY = frozenset({"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"})
_ONE_CHANNEL = frozenset({"1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


def read(path: str | os.PathLike[str]) -> NDArray[np.generic]:
    """One value per pixel, (h, w): those of an image as stored (8, 16 or 32 bits), or of an array.

    An array may have a first or last axis of length 1. No code in a file is executed. Raises InputError when the file
    is missing or damaged, or has several values or a color per pixel.
    """
    values = _read(path, _ONE_CHANNEL)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[..., 0] if values.shape[2] == 1 else values[0]
    if values.ndim != 2 or not values.size:
        shape = "×".join(map(str, values.shape)) or "a scalar"
        raise InputError(f"has shape {shape}; expected one value per pixel (height × width)", path=display_name(path))
    return values


def read_numbers(path: str | os.PathLike[str]) -> NDArray[np.generic]:
    """The stored values of a file: an array of any shape, or the (h, w) values or (h, w, 3) colors of an image.

    `-` is standard input. The values of an image with a palette are indices into the palette. Raises InputError when
    the file is missing or damaged, has a lossy format, or is far too large.
    """
    return _read(path, _ONE_CHANNEL | {"P", "RGB"})


def _read(path: str | os.PathLike[str], modes: frozenset[str]) -> NDArray[np.generic]:
    data = read_bytes(path)
    with errors.about(display_name(path)):
        return _array(data) if data.startswith(_NPY) else _image(data, modes)


def _array(data: bytes) -> NDArray[np.generic]:
    try:
        stored = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, MemoryError, SyntaxError) as error:
        raise InputError("the array is broken, or holds Python objects") from error
    if stored.dtype.kind not in "fiub":
        raise InputError(f"holds {stored.dtype}; expected numbers")
    if stored.size > 3 * MAX_PIXELS:
        raise too_large("×".join(map(str, stored.shape)))
    return np.asarray(stored)


def _image(data: bytes, modes: frozenset[str]) -> NDArray[np.generic]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.format in _LOSSY:
                    raise InputError(f"{image.format} is lossy and does not preserve values; use a PNG")
                if image.mode not in modes:
                    raise InputError(f"has mode {image.mode}; expected an image of one channel")
                if image.width * image.height > MAX_PIXELS:
                    raise too_large(f"{image.width}×{image.height}")
                return np.array(image)
    except Image.DecompressionBombError as error:
        raise far_too_large(error) from None
    except UnidentifiedImageError:
        raise InputError("is neither an image nor a NumPy array") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
        raise InputError(f"the image is broken or cut off ({error})") from error
