"""What an image file says of itself without being decoded: its size."""

from collections.abc import Mapping
from typing import Any

from cn import errors
from cn.data.blobs import Blob
from cn.images.opening import opened

ORIENTATION = 0x0112
_SIZES = ("original_size",)
_SIDES = (("original_width", "original_height"), ("WIDTH", "HEIGHT"))
"""As `cn dataset build`, img2dataset and LAION's tables call the size before an image was resized."""


def image_size(blob: Blob) -> tuple[int, int]:
    """Width and height of an image as it is shown, after EXIF rotation. Raises InputError, naming it."""
    return size_of(blob.read(), str(blob))


def size_of(data: bytes, name: str) -> tuple[int, int]:
    """`image_size` of the bytes of a file."""
    with errors.about(name), opened(data) as image:
        width, height = image.size
        # Of a TIFF, Pillow gives the size as it is shown.
        turned = image.format != "TIFF" and image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def original_size(extra: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height of what an image was made from, where the further keys of its line say so."""
    for key in _SIZES:
        value = extra.get(key)
        if isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_side, value)):
            return int(value[0]), int(value[1])
    for width, height in _SIDES:
        if _is_side(extra.get(width)) and _is_side(extra.get(height)):
            return int(extra[width]), int(extra[height])
    return None


def _is_side(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 1 and value == int(value)
