"""Files of numbers for each pixel (measured depth, labels): NumPy arrays and images, unchanged."""

import io
import os
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cn.errors import InputError
from cn.files import reason
from cn.resizing import MAX_PIXELS

SUFFIXES = frozenset({".npy", ".png", ".tif", ".tiff"})
"""File name endings that `read` takes (lower case)."""

_NPY = b"\x93NUMPY"
_LOSSY = frozenset({"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"})
_ONE_CHANNEL = frozenset({"1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


def read(path: str | os.PathLike[str]) -> NDArray[np.generic]:
    """What was measured at each pixel, (h, w): the numbers of an image as stored (also 16 and 32 bits), or an array's.

    An array may have a last or first axis of one. Nothing in a file is run. Raises InputError, naming the file, when it
    is missing, damaged, or holds several numbers or a color for each pixel.
    """
    plane = _read(path, _ONE_CHANNEL)
    if plane.ndim == 3 and 1 in (plane.shape[0], plane.shape[2]):
        plane = plane[..., 0] if plane.shape[2] == 1 else plane[0]
    if plane.ndim != 2 or not plane.size:
        shape = "×".join(map(str, plane.shape)) or "one number"
        raise InputError(f"{called(path)}: is {shape}, where one number for each pixel is needed (height × width)")
    return plane


def read_numbers(path: str | os.PathLike[str]) -> NDArray[np.generic]:
    """What a file holds as it is: an array of any shape, the (h, w) numbers or (h, w, 3) colors of an image.

    "-" is standard input. Of an image with a color table, the numbers are the places in the table. Raises InputError,
    naming the file, when it is missing or damaged, is of a format that does not keep numbers, or is far too large.
    """
    return _read(path, _ONE_CHANNEL | {"P", "RGB"})


def _read(path: str | os.PathLike[str], modes: frozenset[str]) -> NDArray[np.generic]:
    name = called(path)
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{name}: is a folder, not a file of numbers") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {reason(error)}") from error
    return _array(data, name) if data.startswith(_NPY) else _image(data, name, modes)


def called(path: str | os.PathLike[str]) -> str:
    """What errors call a file."""
    return "standard input" if str(path) == "-" else os.fspath(path)


def _array(data: bytes, name: str) -> NDArray[np.generic]:
    try:
        stored = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, MemoryError, SyntaxError) as error:
        raise InputError(f"{name}: the array is broken, or holds objects") from error
    if stored.dtype.kind not in "fiub":
        raise InputError(f"{name}: holds {stored.dtype}, where numbers are needed")
    if stored.size > 3 * MAX_PIXELS:
        _refuse_size(name, "×".join(map(str, stored.shape)))
    return np.asarray(stored)


def _image(data: bytes, name: str, modes: frozenset[str]) -> NDArray[np.generic]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.format in _LOSSY:
                    raise InputError(f"{name}: {image.format} does not keep numbers as they are; give a PNG")
                if image.mode not in modes:
                    raise InputError(f"{name}: is {image.mode}, where an image of one channel is needed")
                if image.width * image.height > MAX_PIXELS:
                    _refuse_size(name, f"{image.width}×{image.height}")
                return np.array(image)
    except UnidentifiedImageError:
        raise InputError(f"{name}: is neither an image nor a NumPy array") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
        raise InputError(f"{name}: is no image of numbers, or is broken ({error})") from error


def _refuse_size(name: str, size: str) -> None:
    raise InputError(f"{name}: {size} pixels are too many (at most {MAX_PIXELS // 10**6} million)")
