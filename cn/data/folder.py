"""Training pairs of a dataset in any layout, resized to the training size."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cn import conditions, images
from cn.conditions import Geometry
from cn.data.examples import Example, Fetched
from cn.data.map_warnings import MapTally, map_info
from cn.data.pairs import Pairs, open_pairs
from cn.data.records import Pair, refuse_if_most
from cn.errors import InputError
from cn.storage import StrPath

T = TypeVar("T")

MAX_SKIPPED = 50
"""After so many broken pairs in a row, the dataset as a whole counts as broken."""
CHECKED = 256
"""Pairs whose images are read before training starts: seconds, also on a slow disk."""
_ASPECT_TOLERANCE = 0.02


def fit_square(image: NDArray[np.uint8], size: int, geometry: Geometry) -> NDArray[np.uint8]:
    """The largest centered square of (h, w, 3), resized to size × size according to `geometry`."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.asarray(images.resize(image[top : top + side, left : left + side], (size, size), geometry))


def load_pair(pair: Pair, size: int, kind: str) -> Example:
    """Read both images of a pair, whose map is of this kind. They may differ in size but must show the same frame.

    Raises InputError for an image that is missing or broken, and for shapes that differ by more than 2 %.
    """
    condition, target = read_pair(pair, kind)
    geometry = conditions.get(kind).geometry
    return Example(fit_square(target, size, "smooth"), fit_square(condition, size, geometry), pair.prompt)


def read_pair(pair: Pair, kind: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Condition and target of a pair at their own sizes, (h, w, 3) each; errors are those of `load_pair`."""
    pair.check()
    with named(pair.where):
        condition, target = images.read_map(pair.source, kind), images.read(pair.target)
    check_frame(pair, condition.shape[:2], target.shape[:2])
    return condition, target


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


def next_intact(count: int, index: int, load: Callable[[int], T]) -> tuple[T, tuple[str, ...]]:
    """`load` of number `index` of `count`, or of the next that can be loaded, and a message for each one before it.

    Raises InputError after `MAX_SKIPPED` broken ones in a row.
    """
    skipped: list[str] = []
    for step in range(min(count, MAX_SKIPPED)):
        try:
            return load((index + step) % count), tuple(skipped)
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
    """The pairs of one dataset, at size × size pixels; maps are of one kind, which decides how they are resized."""

    pairs: Pairs
    size: int
    kind: str

    @classmethod
    def open(cls, path: StrPath, size: int, kind: str) -> "FolderDataset":
        """Read what is in a dataset. Raises what `open_pairs` raises."""
        return cls(open_pairs(path, kind), size, kind)

    @property
    def count(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Example:
        return load_pair(self.pairs[index], self.size, self.kind)

    def fetch(self, index: int) -> Fetched:
        """Pair `index`, or the next intact one: a broken file does not end a long run."""
        return Fetched(*next_intact(self.count, index, self.__getitem__))

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
