"""The sizes of the images that poses are of, for files that do not contain them."""

import os

from PIL import Image

from cn import images
from cn.errors import InputError
from cn.text import shown

_ROTATED = frozenset({5, 6, 7, 8})
_ORIENTATION = 0x0112
_ADDED = ("_keypoints", "_rendered", ".predictions")
"""What OpenPose and OpenPifPaf append to the name of an image."""


class ImageSizes:
    """The images of a folder and its sub-folders. Raises InputError, naming it, where there is no such folder."""

    def __init__(self, folder: str):
        if not os.path.isdir(folder):
            raise InputError("is no folder", path=folder)
        self.folder = folder
        self._paths: dict[str, list[str]] = {}
        """Paths by file names, and by those without suffix."""
        for where, _, names in os.walk(folder):
            for name in sorted(names):
                if name.lower().endswith(tuple(images.SUFFIXES)) and not name.startswith("."):
                    for word in {name, os.path.splitext(name)[0]}:
                        self._paths.setdefault(word, []).append(os.path.join(where, name))

    def of(self, name: str) -> tuple[int, int]:
        """(height, width) of the image with this name, with any suffix or none.

        Raises InputError where there is none, or where several are called so.
        """
        base = os.path.basename(name)
        for word in (base, os.path.splitext(base)[0], *(base.removesuffix(end) for end in _ADDED)):
            paths = self._paths.get(word, [])
            if len(paths) == 1:
                return _size(paths[0])
            if paths:
                what = f"{len(paths)} images are called {shown(word)}: {paths[0]}, {paths[1]}"
                raise InputError(what, path=self.folder)
        raise InputError(f"has no image called {shown(name)}; sizes are taken from the images there", path=self.folder)


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
