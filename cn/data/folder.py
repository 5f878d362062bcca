"""Training pairs from a folder with `prompt.json`, resized to the training size."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn import conditions, images
from cn.conditions import Geometry
from cn.data.examples import Example, Fetched
from cn.data.map_warnings import MapTally, map_info
from cn.data.records import Pair, notes, read_records, refuse_if_most
from cn.errors import InputError

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
    (ch, cw), (th, tw) = condition.shape[:2], target.shape[:2]
    if abs((cw * th) / (ch * tw) - 1) > _ASPECT_TOLERANCE:
        raise InputError(f"source is {cw}×{ch} and target {tw}×{th}: not the same frame", path=pair.where)
    return condition, target


@contextmanager
def named(where: str) -> Iterator[None]:
    """Errors of the block name the line of the dataset, before the image that they are about."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error), path=where) from error


def stated_kind(pairs: Iterable[Pair]) -> str | None:
    """The condition kind in the metadata of the first readable pair's map, if there is one."""
    first = next((pair for pair in pairs if pair.problem is None), None)
    info = map_info(first.source) if first is not None else None
    return info.kind if info is not None else None


@dataclass(frozen=True)
class Findings:
    """What a check of a dataset found: messages about broken pairs, with file and line, and other warnings."""

    checked: int = 0
    broken: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class FolderDataset:
    """The pairs of one dataset, at size × size pixels; maps are of one kind, which decides how they are resized."""

    pairs: tuple[Pair, ...]
    size: int
    kind: str

    @classmethod
    def open(cls, path: Path, size: int, kind: str) -> "FolderDataset":
        """Read the records of a dataset. Raises InputError where most are invalid or their images are missing."""
        return cls(read_records(path), size, kind)

    @property
    def count(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Example:
        return load_pair(self.pairs[index], self.size, self.kind)

    def fetch(self, index: int) -> Fetched:
        """Pair `index`, or the next intact one: a broken file does not end a long run."""
        skipped: list[str] = []
        for step in range(min(self.count, MAX_SKIPPED)):
            try:
                return Fetched(self[(index + step) % self.count], tuple(skipped))
            except InputError as error:
                skipped.append(str(error))
        raise InputError(f"{len(skipped)} pairs in a row are broken; the last: {skipped[-1]}")

    def stated_kind(self) -> str | None:
        """The condition kind in the first map's metadata, if there is one."""
        return stated_kind(self.pairs)

    def check(self, path: Path, images: int = CHECKED) -> Findings:
        """Look at every line, and at the images of up to `images` pairs, evenly spread.

        Raises InputError where most of these pairs are broken.
        """
        broken = [f"{pair.where}: {pair.problem}" for pair in self.pairs if pair.problem is not None]
        usable = [pair for pair in self.pairs if pair.problem is None]
        count = min(len(usable), images)
        failures, suspicious = [], MapTally()
        for place in range(count):
            pair = usable[place * len(usable) // count]
            try:
                condition, _ = read_pair(pair, self.kind)
            except InputError as error:
                failures.append(str(error))
                continue
            suspicious.add(pair.source, condition, self.kind)
        refuse_if_most(failures, count, path)
        return Findings(count, tuple(broken + failures), (*notes(self.pairs), *suspicious.messages(count)))
