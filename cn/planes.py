"""Files of one number for each pixel (measured depth, labels): NumPy arrays and images of one channel, unchanged."""

import io
import os
import sys
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cn.errors import InputError
from cn.files import reason
from cn.resizing import MAX_PIXELS

SUFFIXES = frozenset({".npy", ".png", ".tif", ".tiff"})
"""File name endings that `read` takes (lower case)."""

_NPY = b"\x93NUMPY"
_ONE_CHANNEL = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def read(path: str | os.PathLike[str]) -> NDArray[np.generic]:
    """The numbers of a file, (h, w): of an image as they are stored (16 and 32 bits, palette indices), or an array's.

    An array may have a last or first axis of one. Nothing in a file is run. Raises InputError, naming the file, when it
    is missing, damaged, or holds several numbers for each pixel.
    """
    if str(path) == "-":
        data = sys.stdin.buffer.read()
        name = "standard input"
        plane = _array(io.BytesIO(data), name) if data.startswith(_NPY) else _image(data, name)
    else:
        plane = read_array(path) if str(path).lower().endswith(".npy") else _read_image(path)
    if plane.ndim == 3 and 1 in (plane.shape[0], plane.shape[2]):
        plane = plane[..., 0] if plane.shape[2] == 1 else plane[0]
    if plane.ndim != 2 or not plane.size:
        raise InputError(f"{path}: has the shape {plane.shape}; one number for each pixel is needed: (height, width)")
    return plane


def read_array(path: str | os.PathLike[str]) -> NDArray[np.generic]:
    """A `.npy` file of numbers, any shape. InputError, naming the file, when it is missing, damaged or no such."""
    try:
        with open(path, "rb") as file:
            return _array(file, str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error


def _array(file: BinaryIO, name: str) -> NDArray[np.generic]:
    try:
        stored = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, MemoryError) as error:
        raise InputError(f"{name}: is no NumPy array of numbers, or is cut off") from error
    if stored.dtype.kind not in "fiub":
        raise InputError(f"{name}: holds {stored.dtype}, where numbers are needed")
    return np.asarray(stored)


def _read_image(path: str | os.PathLike[str]) -> NDArray[np.generic]:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    return _image(data, str(path))


def _image(data: bytes, path: str) -> NDArray[np.generic]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.mode not in _ONE_CHANNEL:
                    raise InputError(f"{path}: is {image.mode}, where an image of one channel is needed")
                if image.width * image.height > MAX_PIXELS:
                    size = f"{image.width}×{image.height}"
                    raise InputError(f"{path}: {size} pixels are too many (at most {MAX_PIXELS // 10**6} million)")
                return np.array(image)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise InputError(f"{path}: is no image of numbers, or is broken ({error})") from error
