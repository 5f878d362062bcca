"""Reading condition maps: as images are read, but what is transparent gets the background that the map's kind has.

Photographs are composited over white, because ControlNets were trained so. Maps that people draw or export with a
transparent background would lose their content there: white lines on white, a skeleton on white.
"""

import io

import numpy as np
from PIL import Image

from cn import errors
from cn.images import png_text
from cn.images.opening import opened, quietly
from cn.images.pixels import WHITE, Color, ImageArray, has_alpha, to_rgb, visible
from cn.images.reader import ImagePath, display_name, read_bytes

BLACK: Color = (0, 0, 0)
FLAT: Color = (127, 127, 255)
"""A normal map where the surface faces the viewer: what a normal map has where there is nothing."""

_LINES = frozenset({"canny", "hough", "hed", "scribble", "lineart"})
_ON_BLACK = frozenset({"openpose", "openpifpaf", "ade20k", "coco", "depth"})
_FAINT = 8
"""Levels of 255 between content and background below which the content has vanished."""
_SAMPLES = 200_000


def read_map(path: ImagePath, kind: str | None = None) -> ImageArray:
    """A condition map as RGB: uint8 (h, w, 3), as `cn.images.read` gives it, with the background of its `kind`.

    Where the file is transparent:

    - a map of lines (canny, hough, hed, scribble, lineart) gets black or white, whichever its lines stand out from
      more; black if both are equal. White lines come out on black, a drawing in dark ink on white.
    - poses, labels and depth get black, unless all that is visible is black itself.
    - normals get (127, 127, 255), facing the viewer.
    - an image of unknown kind (None) gets white, unless all that is visible is white itself.

    Raises InputError as `cn.images.read` does.
    """
    return decode_map(read_bytes(path), display_name(path), kind)


def read_map_with_info(path: ImagePath, kind: str | None = None) -> tuple[ImageArray, dict[str, str]]:
    """`read_map` and `cn.images.read_info` in one, for standard input too, which can be read only once."""
    data = read_bytes(path)
    return decode_map(data, display_name(path), kind), png_text.read_text(io.BytesIO(data))


def decode_map(data: bytes, name: str, kind: str | None = None) -> ImageArray:
    """`read_map` of the bytes of a file; `name` is the path that errors carry."""
    with errors.about(name), opened(data) as image, quietly():
        return to_rgb(image, _background(image, kind))


def decode_on_black(data: bytes, name: str) -> ImageArray:
    """The bytes of a file as RGB uint8 (h, w, 3), what is transparent in it over black."""
    with errors.about(name), opened(data) as image, quietly():
        return to_rgb(image, BLACK)


def _background(image: Image.Image, kind: str | None) -> Color:
    if kind == "normal":
        return FLAT
    if not has_alpha(image):
        return BLACK if kind in _LINES | _ON_BLACK else WHITE
    content = visible(image, _SAMPLES)
    on_black, on_white = _contrast(content, 0), _contrast(content, 255)
    if kind in _LINES:
        return BLACK if on_black >= on_white else WHITE
    if kind in _ON_BLACK:
        return BLACK if on_black > _FAINT or on_black >= on_white else WHITE
    return WHITE if on_white > _FAINT or on_white >= on_black else BLACK


def _contrast(content: ImageArray, background: int) -> float:
    """The range of RGBA pixels (n, 4) composited over a gray, with that gray itself, in levels of 255.

    A hundredth of the pixels is left out at either end: stray ones are no content.
    """
    if not len(content):
        return 0.0
    alpha = content[:, 3:].astype(np.float32) / 255
    shown = content[:, :3] * alpha + background * (1 - alpha)
    low, high = np.percentile(shown, (1, 99), axis=0)
    return float((np.maximum(high, background) - np.minimum(low, background)).max())
