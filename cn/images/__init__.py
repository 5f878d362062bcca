"""Image input and output, resizing and contact sheets.

Images are uint8 arrays, height × width × 3, RGB. EXIF rotation, transparency, 16 bits, CMYK, palettes and animation are
handled here and nowhere else. Importing this package loads neither NumPy nor Pillow; the first use of a function does,
so that usage errors, which need only `formats`, come at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cn.images.formats import SUFFIXES, VIDEO_SUFFIXES, format_of, unread

if TYPE_CHECKING:
    from cn.images.frames import frame_count, read_frame
    from cn.images.maps import read_map, read_map_with_info
    from cn.images.reader import as_rgb, decode, is_complete_png, read, read_info, read_with_info
    from cn.images.resizing import MAX_PIXELS, resize, resize_short_side
    from cn.images.sheet import grid
    from cn.images.writer import encode, write

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "VIDEO_SUFFIXES",
    "as_rgb",
    "decode",
    "encode",
    "format_of",
    "frame_count",
    "grid",
    "is_complete_png",
    "read",
    "read_frame",
    "read_info",
    "read_map",
    "read_map_with_info",
    "read_with_info",
    "resize",
    "resize_short_side",
    "unread",
    "write",
]

_MODULES = ("resizing", "reader", "frames", "maps", "writer", "sheet")


def __getattr__(name: str) -> Any:
    """The functions in `__all__`, from the modules that define them, loaded on the first use."""
    if name in __all__:
        for module in map(import_module, (f"cn.images.{module}" for module in _MODULES)):
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"module 'cn.images' has no attribute {name!r}")
