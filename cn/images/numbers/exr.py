"""OpenEXR: float, half and integer channels, scan lines or tiles, one part or several, by OpenEXR's own package."""

import io
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn.errors import InputError
from cn.images import claims
from cn.images.formats import plugin_advice
from cn.images.numbers import layers
from cn.images.numbers.quiet import quiet_decoders
from cn.images.resizing import MAX_PIXELS

MAGIC = b"v/1\x01"

Numbers = NDArray[np.generic]

_FLAT_TYPES = ("scanlineimage", "tiledimage")
_ERRORS = (RuntimeError, ValueError, TypeError, KeyError, IndexError, OSError, OverflowError, UnicodeError)
"""What the package raises for broken files."""

_RATIOS = {"NO": 1, "RLE": 64, "ZIP": 1032, "ZIPS": 1032, "PXR24": 2064}
_ANY = 1 << 15
"""Bytes per byte that each compression reaches at most, and what is believed of the others."""
_TILE_HEAD = 28


@dataclass(frozen=True)
class _Part:
    """The rectangles of one part: (x, y) of the first pixel and (width, height)."""

    data: tuple[int, int, int, int]
    shown: tuple[int, int, int, int]


def read_depth(data: bytes, channel: str | None) -> tuple[Numbers, str]:
    """One channel (h, w) of the whole image (the display window), and its name; NaN where the file has no pixels.

    Depth that was written as a gray image counts as one channel. Raises InputError, without a path, where it is not
    clear which channel is meant, and for deep and broken files.
    """
    channels = _channels(data)
    names = list(channels)
    name = layers.named(names, channel) if channel is not None else layers.depth(names)
    if name is not None:
        return _whole(*channels[name]), name
    colors = [channels[name][0] for name in _colors(names)]
    if not colors:
        raise layers.unclear(names)
    red, green, blue = colors
    # Some engines write depth into red alone.
    if not (_same(red, green) and _same(green, blue)) and (np.ptp(green) or np.ptp(blue)):
        raise InputError("has colors, not depth; write the depth pass into the file")
    name = _colors(names)[0]
    return _whole(*channels[name]), name


def read_vectors(data: bytes, channel: str | None) -> Numbers:
    """Three channels, and alpha where there is one: (h, w, 3) or (h, w, 4), NaN where the file has no pixels."""
    channels = _channels(data)
    names = layers.vectors(list(channels), channel)
    if names is None:
        if channel is not None:
            raise InputError(f"has no {channel}.X, .Y and .Z (or .R, .G and .B); it has {layers.listed([*channels])}")
        raise InputError(
            f"which channels are the normals? It has {layers.listed([*channels])}; name with --channel what theirs "
            "begin with, before .X, .Y and .Z"
        )
    return np.stack([_whole(*channels[name]).astype(np.float32) for name in names], axis=-1)


def _channels(data: bytes) -> dict[str, tuple[Numbers, _Part]]:
    """All channels by name; with the name of its part in front, where several parts have one of that name."""
    exr = _package()
    try:
        with quiet_decoders():
            parts = [_checked(part, len(data)) for part in exr.File(io.BytesIO(data), header_only=True).parts]
            _check_total(exr, data, parts)
            stored = exr.File(io.BytesIO(data), separate_channels=True).parts
            found = [
                (part.header.get("name", ""), name, value.pixels, rectangles)
                for part, rectangles in zip(stored, parts, strict=True)
                for name, value in part.channels.items()
            ]
    except MemoryError:
        raise InputError("needs more memory than there is") from None
    except _ERRORS as error:
        raise InputError("the OpenEXR file is broken or cut off") from error
    if not found:
        raise InputError("the OpenEXR file is broken or cut off")
    names = [name for _, name, _, _ in found]
    return {
        f"{part}.{name}" if names.count(name) > 1 else name: (pixels, rectangles)
        for part, name, pixels, rectangles in found
    }


def _checked(part: Any, length: int) -> _Part:
    """The rectangles of a part whose header can be believed."""
    header = part.header
    kind = getattr(header.get("type"), "name", "scanlineimage")
    if kind not in _FLAT_TYPES:
        raise InputError("is a deep image, with several samples per pixel; flatten it first")
    rectangles = []
    for window in ("dataWindow", "displayWindow"):
        (left, top), (right, bottom) = (tuple(map(int, corner)) for corner in header[window])
        claims.check_size(right - left + 1, bottom - top + 1, length, partial(_max_pixels, header, length))
        if right < left or bottom < top:
            raise InputError("the OpenEXR file is broken: an image without pixels")
        rectangles.append((left, top, right - left + 1, bottom - top + 1))
    return _Part(*rectangles)


def _max_pixels(header: Any, length: int) -> float:
    """The most pixels that `length` bytes can hold: of 2 bytes each, with an entry and a head of each tile."""
    ratio = _RATIOS.get(getattr(header.get("compression"), "name", "").removesuffix("_COMPRESSION"), _ANY)
    tiles = header.get("tiles")
    if tiles is None:
        return length * ratio / 2
    # Each is decoded as a whole, also where it is larger than the image.
    claims.check_size(tiles.xSize, tiles.ySize, length, lambda: length * ratio / 2)
    return min(length * ratio / 2, length / _TILE_HEAD * tiles.xSize * tiles.ySize)


def _check_total(exr: Any, data: bytes, parts: list[_Part]) -> None:
    """All channels are decoded at once."""
    headers = exr.File(io.BytesIO(data), header_only=True).parts
    counts = [len(part.header.get("channels", ())) for part in headers]
    total = sum(part.data[2] * part.data[3] * count for part, count in zip(parts, counts, strict=True))
    if total > 4 * MAX_PIXELS:
        raise InputError(f"has {sum(counts)} channels, too many for its size; write the one that is needed into a file")


def _whole(pixels: Numbers, part: _Part) -> Numbers:
    """The pixels in the display window: cropped, or surrounded by NaN."""
    left, top, width, height = part.data
    if pixels.shape != (height, width):
        raise InputError("its channel has fewer pixels than the image (subsampling); write it at full size")
    if part.data == part.shown:
        return pixels
    shown_left, shown_top, shown_width, shown_height = part.shown
    whole = np.full((shown_height, shown_width), np.nan, np.float32)
    first_row, first_column = max(0, top - shown_top), max(0, left - shown_left)
    inside = pixels[max(0, shown_top - top) :, max(0, shown_left - left) :]
    inside = inside[: max(0, shown_height - first_row), : max(0, shown_width - first_column)]
    whole[first_row : first_row + inside.shape[0], first_column : first_column + inside.shape[1]] = inside
    return whole


def _colors(names: list[str]) -> tuple[str, ...]:
    """The three channels of a file that has nothing but colors, else ()."""
    found = layers.vectors(names)
    rest = {*names} - {*(found or ())}
    letters = "".join(layers.parts(name)[-1] for name in (found or ())[:3])
    return (found or ())[:3] if letters == "rgb" and all(layers.parts(name)[-1] == "a" for name in rest) else ()


def _same(a: Numbers, b: Numbers) -> bool:
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=True)


def _package() -> Any:
    try:
        import OpenEXR
    except ImportError as error:
        raise InputError(plugin_advice("OpenEXR", "exr")) from error
    return OpenEXR
