"""Files of one number for each pixel (measured depth, labels): NumPy arrays and images of one channel, unchanged."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cn.errors import InputError
from cn.files import reason

SUFFIXES = frozenset({".npy", ".png", ".tif", ".tiff"})
"""File name endings that `read` takes (lower case)."""

_MAX_PIXELS = 200_000_000
_ONE_CHANNEL = ("1", "L", "P", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def read(path: str | os.PathLike[str]) -> NDArray[np.generic]:
    """The numbers of a file, (h, w): of an image as they are stored (16 and 32 bits, palette indices), or an array's.

    An array may have a last or first axis of one. Nothing in a file is run. Raises InputError, naming the file, when it
    is missing, damaged, or holds several numbers for each pixel.
    """
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
            stored = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except (ValueError, EOFError, MemoryError) as error:
        raise InputError(f"{path}: is no NumPy array of numbers, or is cut off") from error
    if stored.dtype.kind not in "fiub":
        raise InputError(f"{path}: holds {stored.dtype}, where numbers are needed")
    return np.asarray(stored)


def _read_image(path: str | os.PathLike[str]) -> NDArray[np.generic]:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.mode not in _ONE_CHANNEL:
                    raise InputError(f"{path}: is {image.mode}, where an image of one channel is needed")
                if image.width * image.height > _MAX_PIXELS:
                    size = f"{image.width}×{image.height}"
                    raise InputError(f"{path}: {size} pixels are too many (at most {_MAX_PIXELS // 10**6} million)")
                return np.array(image)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise InputError(f"{path}: is no image of numbers, or is broken ({error})") from error
