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
Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)

_BAND = 1 << 22
"""Pixels that are converted at a time: images of usual size in one piece."""
_ORIENTATION = 0x0112
_BITS, _PHOTOMETRIC = 258, 262
_WITH_ALPHA = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_PLAIN = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"})


def to_rgb(image: Image.Image, background: Color = WHITE, *, upright: bool = True) -> ImageArray:
    """uint8 (h, w, 3) from any of Pillow's modes; transparency over a color. Raises what Pillow raises.

    `upright` applies the EXIF orientation; without it, the array has the image's own rows and columns.
    """
    image.load()
    turn = orientation(image) if upright else 1
    if _is_deep(image):
        return _deep_gray(image, background, turn)
    if has_alpha(image):
        return _banded(image, turn, lambda band: _over(np.asarray(band.convert("RGBA")), background))
    if image.mode not in _PLAIN:
        raise InputError(f"has the color space {image.mode}; convert it to RGB first")
    # Without Adobe's marker the inks of a JPEG are not inverted, but Pillow assumes that they always are.
    if image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:
        return _banded(image, turn, lambda band: np.asarray(ImageChops.invert(band).convert("RGB")))
    return _banded(image, turn, lambda band: np.asarray(band if band.mode == "RGB" else band.convert("RGB")))


def visible(image: Image.Image, count: int) -> ImageArray:
    """About `count` RGBA pixels (n, 4), or all if there are fewer, evenly from those that are not fully transparent."""
    image.load()
    step = 1
    found: list[ImageArray] = []
    for _, band in _bands(image):
        rgba = np.asarray(band.convert("RGBA"))
        found.append(rgba[rgba[..., 3] > 0][::step])
        while sum(map(len, found)) > 2 * count:
            step *= 2
            found = [part[::2] for part in found]
    return np.concatenate(found)


def has_alpha(image: Image.Image) -> bool:
    """Whether colors are stored under transparency (gray of 16 bits has at most one value that is transparent)."""
    return not _is_deep(image) and (image.mode in _WITH_ALPHA or "transparency" in image.info)


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _over(rgba: ImageArray, background: Color) -> ImageArray:
    """RGBA (h, w, 4) composited over a color: (h, w, 3)."""
    if (rgba[..., 3] == 255).all():
        return rgba[..., :3]
    # 255 · 255 + 127 still fits 16 bits.
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = rgba[..., :3] * alpha + np.array(background, np.uint16) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _banded(image: Image.Image, turn: int, convert: Callable[[Image.Image], ImageArray]) -> ImageArray:
    """The results (h, w, 3) of `convert` for bands of rows, in one array (h, w, 3) that is turned by an orientation."""
    shape = (image.height, image.width) if turn < 5 else (image.width, image.height)
    result = np.empty((*shape, 3), np.uint8)
    stored = _as_stored(result, turn)
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


def _deep_gray(image: Image.Image, background: Color, turn: int) -> ImageArray:
    """Gray of 16 bits, 32 bits or floating point, (h, w), to RGB: 16 bits by 1/257.

    32-bit and float images do not state their white level: the smallest of 1 (float only), 255 (float only) and 65535
    that no value exceeds is taken, or else the largest value. Negative and undefined values are black. Integers of 12
    bits in a TIFF are white at 4095.
    """
    tags = image.tag_v2 if image.format == "TIFF" else {}  # type: ignore[attr-defined]
    sixteen = image.mode.startswith("I;16")
    white = 65535.0
    if sixteen:
        white = float(2 ** min(16, tags.get(_BITS, (16,))[0]) - 1)
    else:
        peak = max((float(_known(np.asarray(band)).max(initial=0)) for _, band in _bands(image)), default=0.0)
        whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
        white = next((w for w in whites if peak <= w), peak)
    # Pillow inverts it for 8 bits, but not for 16.
    inverted = sixteen and tags.get(_PHOTOMETRIC) == 0
    key = image.info.get("transparency")

    def convert(band: Image.Image) -> ImageArray:
        stored = np.asarray(band)
        if sixteen and white == 65535:
            # round(v / 257): 257 is odd, so that no value lies in the middle.
            gray = ((stored.astype(np.uint32) + 128) // 257).astype(np.uint8)
        else:
            gray = np.round(_known(stored).astype(np.float64) * (255.0 / white)).clip(0, 255).astype(np.uint8)
        rgb = np.repeat((255 - gray if inverted else gray)[..., None], 3, axis=2)
        if isinstance(key, int):
            rgb[stored == key] = background
        return rgb

    return _banded(image, turn, convert)


def _known(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Values without NaN, infinities and negative ones, which become 0."""
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).clip(min=0)


def orientation(image: Image.Image) -> int:
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
