"""Training pairs of a dataset in any layout, cropped and resized to what they are trained at."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cn import conditions, images
from cn.data.buckets import Buckets, Shape
from cn.data.examples import Example, Fetched
from cn.data.flip import mirror
from cn.data.frame import centered
from cn.data.map_warnings import MapTally, map_info
from cn.data.pairs import Pairs, open_pairs
from cn.data.records import ImageFile, Pair, refuse_if_most
from cn.errors import InputError
from cn.images.reader import decode_near, display_name, read_bytes
from cn.storage import StrPath

T = TypeVar("T")

MAX_SKIPPED = 50
"""After so many broken pairs in a row, the dataset as a whole counts as broken."""
CHECKED = 256
"""Pairs whose images are read before training starts: seconds, also on a slow disk."""
_ASPECT_TOLERANCE = 0.02


def load_pair(pair: Pair, shape: Shape, kind: str) -> Example:
    """Both images of a pair, whose map is of this kind, at `shape`: the largest centered box of its aspect ratio.

    They may differ in size but must show the same frame; the box shows the same part of both. Raises InputError for an
    image that is missing or broken, and for shapes that differ by more than 2 %.
    """
    condition, target = read_pair(pair, kind, shape)
    frame = centered(target.shape[0], target.shape[1], shape)
    info = map_info(pair.source) if kind == "normal" else None
    return Example(frame.apply(target), frame.apply(condition, conditions.get(kind).geometry), pair.prompt, info)


def read_pair(pair: Pair, kind: str, shape: Shape | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Condition and target of a pair at their own sizes, (h, w, 3) each; errors are those of `load_pair`.

    With `shape`, the target may be smaller, as `read_target` says.
    """
    pair.check()
    with named(pair.where):
        condition = images.read_map(pair.source, kind)
        target = images.read(pair.target) if shape is None else read_target(read_bytes(pair.target), pair.target, shape)
    check_frame(pair, condition.shape[:2], target.shape[:2])
    return condition, target


def read_target(data: bytes, image: ImageFile, shape: Shape) -> NDArray[np.uint8]:
    """The bytes of the file of an image, (h, w, 3), at its own size or a smaller one that still covers `shape`."""
    return decode_near(data, display_name(image), shape)


def check_frame(pair: Pair, source: tuple[int, int], target: tuple[int, int]) -> None:
    """InputError where the shapes (h, w) of a pair's images differ by more than 2 %."""
    (ch, cw), (th, tw) = source, target
    if abs((cw * th) / (ch * tw) - 1) > _ASPECT_TOLERANCE:
        raise InputError(f"source is {cw}×{ch} and target {tw}×{th}: not the same frame", path=pair.where)


@contextmanager
def named(where: str) -> Iterator[None]:
    """Errors of the block name the line of the dataset, before the image that they are about."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error), path=where) from error


def stated_kind(pairs: Pairs) -> str | None:
    """The condition kind that a dataset states, or the metadata of the first map of a pair without a known problem."""
    if pairs.kind is not None:
        return pairs.kind
    info = next((map_info(pairs[index].source) for index in pairs.usable()[:1]), None)
    return info.kind if info is not None else None


def next_intact(numbers: Iterable[int], load: Callable[[int], T]) -> tuple[T, tuple[str, ...]]:
    """`load` of the first of these numbers that can be loaded, and a message for each one before it.

    Raises InputError after `MAX_SKIPPED` broken ones in a row.
    """
    skipped: list[str] = []
    for number in islice(numbers, MAX_SKIPPED):
        try:
            return load(number), tuple(skipped)
        except InputError as error:
            skipped.append(str(error))
    raise InputError(f"{len(skipped)} pairs in a row are broken; the last: {skipped[-1]}")


@dataclass(frozen=True)
class Findings:
    """What a check of a dataset found: messages about broken pairs, with file and line, and other warnings."""

    checked: int = 0
    broken: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    """Of the pairs that were looked at."""


@dataclass(frozen=True)
class FolderDataset:
    """The pairs of one dataset; maps are of one kind, which decides how they are resized.

    All are squares of `size` pixels, or with `buckets` each has a shape near its own aspect ratio.
    """

    pairs: Pairs
    size: int
    kind: str
    repeats: int | None = None
    """How often each pair is seen in an epoch; None: as often as the dataset itself says it, once unless it does."""
    buckets: Buckets | None = None

    @classmethod
    def open(cls, path: StrPath, size: int, kind: str) -> "FolderDataset":
        """Read what is in a dataset. Raises what `open_pairs` raises."""
        return cls(open_pairs(path, kind), size, kind)

    @property
    def count(self) -> int:
        return len(self.pairs)

    def times(self) -> "array[int]":
        """How often each pair is seen in an epoch."""
        return self.pairs.repeats() if self.repeats is None else array("H", [self.repeats]) * self.count

    def shape(self, index: int) -> Shape:
        """The (height, width) that a pair is trained at."""
        return (self.size, self.size) if self.buckets is None else self.buckets.shape(index)

    def turns(self, index: int) -> Iterator[int]:
        """A pair, and in order those that take its place where it is broken."""
        if self.buckets is not None:
            return self.buckets.turns(index)
        return ((index + step) % self.count for step in range(self.count))

    def __getitem__(self, index: int) -> Example:
        return load_pair(self.pairs[index], self.shape(index), self.kind)

    def fetch(self, index: int, mirrored: bool = False) -> Fetched:
        """Pair `index`, or in its shape the next intact one: a broken file does not end a long run."""
        shape = self.shape(index)
        example, skipped = next_intact(
            self.turns(index), lambda number: load_pair(self.pairs[number], shape, self.kind)
        )
        return Fetched(mirror(example, self.kind) if mirrored else example, skipped)

    def stated_kind(self) -> str | None:
        """The condition kind in the first map's metadata, if there is one."""
        return stated_kind(self.pairs)

    def check(self, path: StrPath, images: int = CHECKED) -> Findings:
        """Look at every line, and at the images of up to `images` pairs, evenly spread.

        Raises InputError where most of these pairs are broken.
        """
        usable = self.pairs.usable()
        count = min(len(usable), images)
        failures, suspicious, prompts = [], MapTally(), []
        for place in range(count):
            pair = self.pairs[usable[place * len(usable) // count]]
            try:
                condition, _ = read_pair(pair, self.kind)
            except InputError as error:
                failures.append(str(error))
                continue
            suspicious.add(pair.source, condition, self.kind)
            prompts.append(pair.prompt)
        refuse_if_most(failures, count, path)
        warnings = (*self.pairs.notes, *suspicious.messages(count))
        return Findings(count, (*self.pairs.broken, *failures), warnings, tuple(prompts))
