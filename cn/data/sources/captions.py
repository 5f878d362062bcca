"""Text files that hold the captions of images: `a.txt`, `a.caption` or `a.jpg.txt` beside `a.jpg`, found by name."""

import os
import posixpath
from collections.abc import Iterable, Iterator

from cn import storage
from cn.data.sources.request import CAPTION_SUFFIXES


class CaptionNames:
    """The names of text files, asked which of them belongs to an image."""

    def __init__(self, names: Iterable[str]):
        self._names: set[str] = set()
        self._odd: dict[str, str] = {}
        """Names with a suffix in capitals, by the name with that in lower case."""
        for name in names:
            stem, suffix = posixpath.splitext(name)
            if suffix == (lower := suffix.lower()):
                self._names.add(name)
            else:
                self._odd[stem + lower] = name

    def __bool__(self) -> bool:
        return bool(self._names or self._odd)

    def of(self, image: str) -> str | None:
        """The name of the text file that holds an image's caption; None without one."""
        for name in _candidates(image):
            if name in self._names:
                return name
            if name in self._odd:
                return self._odd[name]
        return None

    def all_of(self, image: str) -> Iterator[str]:
        """The names of all text files that are called as an image, also of those that are not read."""
        for name in _candidates(image):
            if name in self._names:
                yield name
            if name in self._odd:
                yield self._odd[name]


def _candidates(image: str) -> Iterator[str]:
    stem = posixpath.splitext(image)[0]
    for base in (stem, image):
        for suffix in CAPTION_SUFFIXES:
            yield base + suffix


class FoldersCaptions:
    """The same for images anywhere: the folder of each is listed once, when its first image is asked for."""

    def __init__(self) -> None:
        self._folders: dict[str, CaptionNames] = {}

    def of(self, image: str) -> str | None:
        """The path of the text file that holds an image's caption; None without one."""
        folder, _, name = image.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = CaptionNames(text_files(folder or ("/" if image.startswith("/") else ".")))
        found = self._folders[folder].of(name)
        return None if found is None else image[: len(image) - len(name)] + found


def text_files(folder: str) -> list[str]:
    """The names of the text files in a folder; none where it cannot be listed."""
    if storage.is_url(folder):
        names = [name for name in storage.files_below(folder) if "/" not in name]
    else:
        try:
            names = os.listdir(folder)
        except OSError:
            return []
    return [name for name in names if posixpath.splitext(name)[1].lower() in CAPTION_SUFFIXES]
