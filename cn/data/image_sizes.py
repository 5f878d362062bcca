"""The sizes of a dataset's images, from the beginnings of their files: about 100,000 a minute."""

import io
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cn import storage
from cn.data.blobs import File, TarMember
from cn.data.image_facts import ORIENTATION, size_of
from cn.data.pairs import Pairs
from cn.data.records import ImageFile
from cn.errors import InputError
from cn.images import claims, png_chunks
from cn.images.reader import read_bytes
from cn.parallel import map_threads

_START = 1 << 16
"""Bytes of a file that hold its header: EXIF and a color profile come first in a JPEG."""
_TURNED = (5, 6, 7, 8)


def read_sizes(pairs: Pairs, numbers: Sequence[int] | None = None) -> NDArray[np.int32]:
    """(n, 2) height and width of the images of the pairs with these numbers (default: of all), as they are shown.

    0 for one that cannot be read.
    """
    numbers = range(len(pairs)) if numbers is None else numbers
    sizes = np.zeros((len(numbers), 2), np.int32)

    def size(place: int) -> tuple[int, int]:
        pair = pairs[numbers[place]]
        return quick_size(pair.target) if pair.problem is None else (0, 0)

    for done in map_threads(size, range(len(numbers)), storage.REQUESTS):
        if done.error is not None and not isinstance(done.error, InputError):
            raise done.error
        sizes[done.item] = done.value[::-1] if done.value is not None else 0
    return sizes


def quick_size(image: ImageFile) -> tuple[int, int]:
    """Width and height of an image as it is shown, from the first bytes of its file where they say it.

    Raises InputError for one that cannot be read.
    """
    start = _start(image)
    if start.startswith(png_chunks.SIGNATURE) and len(start) >= 24:
        return _png_size(start)
    try:
        return size_of(start, str(image))
    except InputError:
        # A TIFF's header may be at its end.
        return size_of(read_bytes(image), str(image))


def _start(image: ImageFile) -> bytes:
    if isinstance(image, TarMember):
        return storage.read_range(image.path, image.offset, min(image.size, _START))
    if isinstance(image, File):
        return storage.read_range(image.path, 0, _START)
    return image.read() if not hasattr(image, "__fspath__") else storage.read_range(image, 0, _START)


def _png_size(start: bytes) -> tuple[int, int]:
    """Of the header; Pillow would decode the pixels to find an orientation after them."""
    width, height = struct.unpack(">II", start[16:24])
    if width * height > claims.MAX_PIXELS:
        raise claims.too_large(f"{width}×{height}")
    file = io.BytesIO(start)
    for kind, length in png_chunks.chunks(file):
        if kind == b"IDAT":
            break
        if kind == b"eXIf":
            exif = Image.Exif()
            exif.load(b"Exif\0\0" + file.read(length))
            if exif.get(ORIENTATION, 1) in _TURNED:
                return height, width
    return width, height
