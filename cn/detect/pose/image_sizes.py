"""The sizes of the images that poses are of, for files that do not contain them."""

import functools
import os

from PIL import Image

from cn import images
from cn.errors import InputError
from cn.text import shown

_ROTATED = frozenset({5, 6, 7, 8})
_ORIENTATION = 0x0112
_ADDED = ("_keypoints", "_rendered", ".predictions")
"""What OpenPose and OpenPifPaf append to the name of an image."""


def size_of(folder: str, names: tuple[str, ...]) -> tuple[int, int]:
    """(height, width) of the image in a folder or its sub-folders that has one of these names, with any suffix or none.

    Raises InputError where there is none, or where several are called so.
    """
    by_name = _names(folder)
    for name in names:
        base = os.path.basename(name)
        for word in dict.fromkeys((base, os.path.splitext(base)[0], *(base.removesuffix(end) for end in _ADDED))):
            paths = by_name.get(word, [])
            if len(paths) == 1:
                return _size(paths[0])
            if paths:
                raise InputError(f"{len(paths)} images are called {shown(word)}: {paths[0]}, {paths[1]}", path=folder)
    raise InputError(f"has no image called {shown(names[0])}; sizes are taken from the images there", path=folder)


@functools.lru_cache(maxsize=1)
def _names(folder: str) -> dict[str, list[str]]:
    """The images by their file names, and by those without suffix."""
    if not os.path.isdir(folder):
        raise InputError("is no folder", path=folder)
    found: dict[str, list[str]] = {}
    for where, _, files in os.walk(folder):
        for name in sorted(files):
            if name.lower().endswith(tuple(images.SUFFIXES)) and not name.startswith("."):
                for word in {name, os.path.splitext(name)[0]}:
                    found.setdefault(word, []).append(os.path.join(where, name))
    return found


def _size(path: str) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            width, height = image.size
            upright = image.getexif().get(_ORIENTATION) not in _ROTATED
    except (OSError, SyntaxError, ValueError):
        # A format that needs a plugin, or a broken file: the reader knows, or says what is wrong.
        height, width = images.read(path).shape[:2]
        upright = True
    return (height, width) if upright else (width, height)
