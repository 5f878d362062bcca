"""Portable float maps (.pfm), by Pillow: one channel, either byte order, the bottom row first."""

import io
import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cn.errors import InputError
from cn.images import claims
from cn.images.opening import DECODER_ERRORS, quietly

MAGIC = (b"Pf", b"PF")
_HEAD_OF_WINDOWS = re.compile(rb"Pf\r\n(?:#[^\n]*\n)*[ \t]*\d+\s+\d+[ \t]*\r\n[-+.\deE]+[ \t]*\r\n")


def read(data: bytes) -> NDArray[np.generic]:
    """The values (h, w), float32, the top row first. The file's scale is not applied. InputError without a path."""
    if data.startswith(b"PF"):
        raise InputError("is a .pfm of three channels; expected one value per pixel (Pf)")
    head = _HEAD_OF_WINDOWS.match(data)
    if head is not None:
        # One byte follows the scale; with two, Pillow would read every number one byte too early.
        data = head[0].replace(b"\r\n", b"\n") + data[head.end() :]
    try:
        with quietly(), Image.open(io.BytesIO(data), formats=["PPM"]) as image:
            claims.check_size(image.width, image.height, len(data), lambda: len(data) / 4)
            return np.array(image)
    except MemoryError:
        raise InputError("needs more memory than there is") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, *DECODER_ERRORS) as error:
        raise InputError("the .pfm file is broken or cut off") from error
