"""Reading files with numbers per pixel (measured depth, normals, labels): arrays and images, values unchanged.

The formats are in `cn.images.numbers`. No code in a file is executed; what a header claims is checked against what the
file holds before memory is taken; every fault is an InputError with the path.
"""

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn import errors
from cn.errors import InputError
from cn.images import claims
from cn.images.numbers import arrays, deep, exr, pfm
from cn.images.opening import opened, quietly
from cn.images.reader import display_name, read_bytes
from cn.images.resizing import MAX_PIXELS

Numbers = NDArray[np.generic]

_LOSSY = frozenset({"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF", "HEIF"})
_ONE_CHANNEL = frozenset({"1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_COLOR = {"RGB": "RGB", "RGBA": "RGBA", "RGBX": "RGB", "LA": "RGBA", "P": "RGBA", "PA": "RGBA"}
"""Pillow's modes that are read as colors, and the mode that they are converted to."""


@dataclass(frozen=True)
class Stored:
    """One value per pixel, as stored, and what the file says about it."""

    values: Numbers
    """(h, w)"""
    channel: str = ""
    """The name of the channel or array, in files that have names."""
    opaque: NDArray[np.bool_] | None = None
    """Where the file says that there is something: its alpha is not 0. None without alpha."""


def read(path: str | os.PathLike[str]) -> Numbers:
    """One value per pixel, (h, w): those of an image as stored (8 to 64 bits), or of an array. See `read_stored`."""
    return read_stored(path).values


def read_stored(path: str | os.PathLike[str], channel: str | None = None) -> Stored:
    """One value per pixel, from .npy, .npz, .pfm, OpenEXR, TIFF (integers, floats of 16 to 64 bits) or an image.

    An array may have further axes of length 1, and an image three channels that are equal. `channel` names one of an
    OpenEXR file or .npz; None takes the one that must be meant. Raises InputError when the file is missing or damaged,
    or has several values or a color per pixel, or no such channel.
    """
    data = read_bytes(path)
    with errors.about(display_name(path)):
        if data.startswith(exr.MAGIC):
            values, name = exr.read_depth(data, channel)
        elif data.startswith(arrays.ZIP):
            values, name = arrays.read_npz(data, channel)
        elif channel is not None:
            raise InputError("has no named channels; --channel is for OpenEXR and .npz")
        else:
            values, name = _numbers(data, _ONE_CHANNEL | {"RGB", "RGBA", "LA"}), ""
            if values.ndim == 3 and not data.startswith(arrays.NPY):
                return _gray(values)
        return Stored(_plane(values), name)


def read_numbers(path: str | os.PathLike[str]) -> Numbers:
    """The stored values of a file: an array of any shape, or the (h, w) values or (h, w, 3) colors of an image.

    `-` is standard input. The values of an image with a palette are indices into the palette. Raises InputError when
    the file is missing or damaged, has a lossy format, or is far too large.
    """
    data = read_bytes(path)
    with errors.about(display_name(path)):
        return _numbers(data, _ONE_CHANNEL | {"P", "RGB"})


def read_vectors(path: str | os.PathLike[str], channel: str | None = None) -> Numbers:
    """Three values per pixel, and alpha where there is one: (h, w, 3) or (h, w, 4), from an image or an array.

    `channel` is the part of the names of an OpenEXR file that its components share (`ViewLayer.Normal`), or the name of
    an array of an .npz. Raises InputError as `read_stored` does.
    """
    data = read_bytes(path)
    with errors.about(display_name(path)):
        if data.startswith(exr.MAGIC):
            return exr.read_vectors(data, channel)
        if data.startswith(arrays.ZIP):
            values, _ = arrays.read_npz(data, channel)
        elif channel is not None:
            raise InputError("has no named channels; --channel is for OpenEXR and .npz")
        else:
            values = arrays.read_npy(data) if data.startswith(arrays.NPY) else _colors(data)
        if values.ndim == 3 and values.shape[0] in (3, 4) and values.shape[2] not in (3, 4):
            values = np.moveaxis(values, 0, -1)
        if values.ndim != 3 or values.shape[2] not in (3, 4) or not values.size:
            raise InputError(f"has shape {_shape(values)}; expected three values per pixel (height × width × 3)")
        return values


def _numbers(data: bytes, modes: frozenset[str]) -> Numbers:
    """An array of any shape, or an image whose mode is one of Pillow's `modes`."""
    if data.startswith(arrays.NPY):
        return arrays.read_npy(data)
    if data.startswith(pfm.MAGIC):
        return pfm.read(data)
    if deep.is_deep_tiff(data):
        return deep.read_tiff(data)
    with opened(data) as image, quietly():
        if image.format in _LOSSY:
            raise InputError(f"{image.format} is lossy and does not preserve values; use a PNG")
        if image.mode not in modes:
            raise InputError(f"has mode {image.mode}; expected an image of one channel")
        if deep.is_deep_png(data) and "RGBA" in modes:
            return deep.read_deep_png(data, image)
        return np.array(image.convert("RGBA") if image.mode == "LA" else image)


def _colors(data: bytes) -> Numbers:
    """The colors of an image, (h, w, 3) or (h, w, 4), 8 or 16 bits or floating point."""
    if deep.is_deep_tiff(data):
        return deep.read_tiff(data)
    with opened(data) as image, quietly():
        if deep.is_deep_png(data):
            return deep.read_deep_png(data, image)
        if image.mode not in _COLOR:
            raise InputError(f"has one channel (mode {image.mode}); normals have three, for x, y and z")
        return np.array(image.convert(_COLOR[image.mode]))


def _gray(colors: Numbers) -> Stored:
    """The one channel of an image (h, w, 3) or (h, w, 4) whose colors are gray."""
    if colors.shape[2] not in (3, 4):
        raise InputError(f"has {colors.shape[2]} channels; expected one value per pixel")
    red, green, blue = (colors[..., channel] for channel in range(3))
    opaque = colors[..., 3] != 0 if colors.shape[2] == 4 else None
    shown = slice(None) if opaque is None else opaque
    if not (np.array_equal(red[shown], green[shown]) and np.array_equal(green[shown], blue[shown])):
        raise InputError("has colors; expected one value per pixel: export the depth in gray, not in false colors")
    return Stored(np.ascontiguousarray(red), opaque=opaque)


def _plane(values: Numbers) -> Numbers:
    """(h, w) of an array that may have further axes of length 1."""
    plane = values
    while plane.ndim > 2 and plane.shape[0] == 1:
        plane = plane[0]
    while plane.ndim > 2 and plane.shape[-1] == 1:
        plane = plane[..., 0]
    if plane.ndim != 2 or not plane.size:
        raise InputError(f"has shape {_shape(values)}; expected one value per pixel (height × width)")
    if plane.size > MAX_PIXELS:
        raise claims.too_large(_shape(plane))
    return plane


def _shape(values: Numbers) -> str:
    return "×".join(map(str, values.shape)) or "a scalar"
