"""Image input and output, resizing and contact sheets.

Images are uint8 arrays, height × width × 3, RGB. EXIF rotation, transparency, 16 bits, CMYK, palettes and animation are
handled in `reader` and nowhere else.
"""

from cn.images.reader import SUFFIXES, as_rgb, decode, is_complete_png, read, read_info, read_with_info
from cn.images.resizing import MAX_PIXELS, resize, resize_short_side
from cn.images.sheet import grid
from cn.images.writer import encode, format_of, write

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "as_rgb",
    "decode",
    "encode",
    "format_of",
    "grid",
    "is_complete_png",
    "read",
    "read_info",
    "read_with_info",
    "resize",
    "resize_short_side",
    "write",
]
