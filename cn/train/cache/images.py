"""Which images a dataset has, and whether one is still what it was: by name, size and time, in doubt by content."""

import functools
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cn import storage
from cn.data.blobs import TarMember
from cn.data.buckets import Shape
from cn.data.folder import read_target
from cn.data.frame import centered
from cn.data.pairs import Pairs
from cn.data.records import ImageFile
from cn.data.table_images import TableImage
from cn.errors import InputError, UsageError
from cn.images.reader import read_bytes

HASH_DIGITS = 16
MISSING = -1
"""The size of a file that is not there."""


@dataclass(frozen=True)
class Identity:
    """An image file as it is now: its name in the dataset, its size in bytes, and when it was changed (ns)."""

    name: str
    size: int
    time: int


@dataclass(frozen=True)
class Entry:
    """What a cache holds of an image: which file it was, and the image's own height and width.

    `sha256` are the first digits of the hash of the file's bytes. Of an image that could not be read only the `problem`
    is kept.
    """

    image: Identity
    sha256: str = ""
    height: int = 0
    width: int = 0
    problem: str | None = None

    def record(self) -> list[Any]:
        """As JSON values; `Entry.of` is the inverse."""
        image = self.image
        return [image.name, image.size, image.time, self.sha256, self.height, self.width, self.problem]

    @classmethod
    def of(cls, record: list[Any]) -> "Entry":
        """Raises InputError for anything else."""
        types = [str, int, int, str, int, int, str | None]
        right = isinstance(record, list) and len(record) == len(types)
        if not right or not all(map(isinstance, record, types)):
            raise InputError("its entries are not those of a cache")
        name, size, time, *rest = record
        return cls(Identity(name, size, time), *rest)


def identify(image: ImageFile, root: str) -> Identity:
    """The identity of an image; UsageError for one that is not on this machine."""
    if isinstance(image, TarMember):
        size, time = _stat(image.path)
        name = f"{_relative(image.path, root)}/{image.name}"
        return Identity(name, MISSING if size == MISSING else image.size, time)
    if isinstance(image, TableImage):
        return Identity(
            f"{_relative(image.part.path, root)}#{image.part.first + image.number}", *_stat(image.part.path)
        )
    path = str(image)
    if storage.is_url(path):
        raise UsageError(f"{path}: a cache is of images on this machine; copy the dataset first")
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return Identity(_relative(path, root), MISSING, 0)
    return Identity(_relative(path, root), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _stat(path: str) -> tuple[int, int]:
    """Size and time of a file with many images."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return MISSING, 0
    return status.st_size, status.st_mtime_ns


def forget() -> None:
    """Look at files with many images again."""
    _stat.cache_clear()


def _relative(path: str, root: str) -> str:
    prefix = root.rstrip("/") + "/"
    if path.startswith(prefix) and "/../" not in path:
        return path[len(prefix) :]
    return os.path.relpath(path, root)


def distinct(pairs: Pairs) -> Iterator[tuple[int, Identity]]:
    """Each image of a dataset once, in order, with the number of the first pair that has it."""
    forget()
    seen: set[str] = set()
    for index in pairs.usable():
        pair = pairs[index]
        if pair.problem is not None:
            continue
        image = identify(pair.target, pairs.root)
        if image.name not in seen:
            seen.add(image.name)
            yield index, image


def content_hash(image: ImageFile) -> str:
    """The first digits of the hash of an image file. Raises InputError where it cannot be read."""
    return _digits(read_bytes(image))


def _digits(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:HASH_DIGITS]


class CacheImage(NamedTuple):
    """An image that a cache is to hold: the number of the first pair that has it, and its (height, width) there."""

    pair: int
    identity: Identity
    shape: Shape


@dataclass(frozen=True)
class Loaded:
    """An image that was read; `pixels` (h, w, 3) uint8, None where they are known or the image is broken."""

    entry: Entry
    pixels: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Loader:
    """Reads images for a cache, in worker processes; picklable. Of contents that are `known`, no pixels are wanted."""

    pairs: Pairs
    known: frozenset[str] = frozenset()

    def __call__(self, item: "CacheImage") -> Loaded:
        index, identity, shape = item
        target = self.pairs[index].target
        try:
            data = read_bytes(target)
            digits = _digits(data)
            if digits in self.known:
                return Loaded(Entry(identity, digits), None)
            image = read_target(data, target, shape)
        except InputError as error:
            return Loaded(Entry(identity, problem=str(error)), None)
        height, width = image.shape[:2]
        return Loaded(Entry(identity, digits, height, width), centered(height, width, shape).apply(image))
