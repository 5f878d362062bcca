"""An open image of Pillow → RGB uint8, whatever its mode: palettes, transparency, 16 bits, floats, CMYK.

The pixels are converted band by band, so that a large image costs little more than itself and its result.
"""

import contextlib
import struct
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from cn.errors import InputError

ImageArray = NDArray[np.uint8]

_BAND = 1 << 22
"""Pixels that are converted at a time: images of usual size in one piece."""
_ORIENTATION = 0x0112
_WITH_ALPHA = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_PLAIN = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"})


def to_rgb(image: Image.Image) -> ImageArray:
    """uint8 (h, w, 3) from any of Pillow's modes, upright; transparency over white. Raises what Pillow raises."""
    image.load()
    if _is_deep(image):
        return _deep_gray(image)
    if has_alpha(image):
        return _banded(image, 3, _over_white)
    if image.mode not in _PLAIN:
        raise InputError(f"has the color space {image.mode}; convert it to RGB first")
    # Without Adobe's marker the inks of a JPEG are not inverted, but Pillow assumes that they always are.
    if image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:
        return _banded(image, 3, lambda band: np.asarray(ImageChops.invert(band).convert("RGB")))
    return _banded(image, 3, lambda band: np.asarray(band if band.mode == "RGB" else band.convert("RGB")))


def to_rgba(image: Image.Image) -> ImageArray:
    """uint8 (h, w, 4), upright, colors as stored; for an image that `has_alpha`. Raises what Pillow raises."""
    image.load()
    return _banded(image, 4, lambda band: np.asarray(band.convert("RGBA")))


def has_alpha(image: Image.Image) -> bool:
    """Whether colors are stored under transparency (gray of 16 bits has at most one value that is transparent)."""
    return not _is_deep(image) and (image.mode in _WITH_ALPHA or "transparency" in image.info)


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _over_white(band: Image.Image) -> ImageArray:
    rgba = np.asarray(band.convert("RGBA"))
    if (rgba[..., 3] == 255).all():
        return rgba[..., :3]
    return over(rgba, 255)


def over(rgba: ImageArray, background: int) -> ImageArray:
    """RGBA (h, w, 4) composited over gray `background` (0..255): (h, w, 3)."""
    # 255 · 255 + 127 still fits 16 bits.
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = rgba[..., :3] * alpha + np.uint16(background) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _banded(image: Image.Image, channels: int, convert: Callable[[Image.Image], ImageArray]) -> ImageArray:
    """The results (h, w, channels) of `convert` for bands of rows, in one array, upright."""
    orientation = _orientation(image)
    shape = (image.height, image.width) if orientation < 5 else (image.width, image.height)
    result = np.empty((*shape, channels), np.uint8)
    stored = _as_stored(result, orientation)
    for top, band in _bands(image):
        stored[top : top + band.height] = convert(band)
    return result


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(first row, band) of bands of at most `_BAND` pixels, but of at least one row."""
    rows = max(1, _BAND // max(1, image.width))
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _deep_gray(image: Image.Image) -> ImageArray:
    """Gray of 16 bits, 32 bits or floating point, (h, w), to RGB: 16 bits by 1/257.

    32-bit and float images do not state their white level: the smallest of 1 (float only), 255 (float only) and 65535
    that no value exceeds is taken, or else the largest value. Negative and undefined values are black. Integers of 12
    bits in a TIFF are white at 4095.
    """
    sixteen = image.mode.startswith("I;16")
    white = 65535.0
    if sixteen and image.format == "TIFF":
        white = float(2 ** min(16, image.tag_v2.get(258, (16,))[0]) - 1)  # type: ignore[attr-defined]
    elif not sixteen:
        peak = max((float(_known(np.asarray(band)).max(initial=0)) for _, band in _bands(image)), default=0.0)
        whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
        white = next((w for w in whites if peak <= w), peak)
    transparent = image.info.get("transparency")

    def convert(band: Image.Image) -> ImageArray:
        stored = np.asarray(band)
        if sixteen and white == 65535:
            # round(v / 257): 257 is odd, so that no value lies in the middle.
            gray = ((stored.astype(np.uint32) + 128) // 257).astype(np.uint8)
        else:
            gray = np.round(_known(stored).astype(np.float64) * (255.0 / white)).clip(0, 255).astype(np.uint8)
        if isinstance(transparent, int):
            gray[stored == transparent] = 255
        return gray[..., None]

    return _banded(image, 3, convert)


def _known(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Values without NaN, infinities and negative ones, which become 0."""
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).clip(min=0)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; a damaged EXIF block is ignored. The image's own transposition stays as it is."""
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        # The decoder has turned the pixels already (ISO 18181-1: the codestream's orientation is the one that counts).
        return 1
    with contextlib.suppress(SyntaxError, ValueError, KeyError, TypeError, OSError, OverflowError, struct.error):
        found = image.getexif().get(_ORIENTATION, 1)
        return found if found in range(1, 9) else 1
    return 1


def _as_stored(upright: ImageArray, orientation: int) -> ImageArray:
    """The view of an upright array that has the stored image's rows and columns.

    EXIF 2.32, 4.6.4 A: the orientation says where the stored image's first row and first column belong.
    """
    views = {
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }
    return views.get(orientation, upright)
