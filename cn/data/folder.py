"""Training pairs from a folder with `prompt.json`, resized to the training size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.conditions import ConditionInfo, Geometry
from cn.data.examples import Example, Fetched
from cn.data.records import Pair, read_records
from cn.errors import InputError

MAX_SKIPPED = 50
"""After so many broken pairs in a row, the dataset as a whole counts as broken."""
_ASPECT_TOLERANCE = 0.02


def fit_square(image: NDArray[np.uint8], size: int, geometry: Geometry) -> NDArray[np.uint8]:
    """The largest centered square of (h, w, 3), resized to size × size according to `geometry`."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.asarray(images.resize(image[top : top + side, left : left + side], (size, size), geometry))


def load_pair(pair: Pair, size: int, geometry: Geometry) -> Example:
    """Read both images of a pair. They may differ in size but must show the same frame.

    Raises InputError for an image that is missing or broken, and for shapes that differ by more than 2 %.
    """
    condition, target = images.read(pair.source), images.read(pair.target)
    (ch, cw), (th, tw) = condition.shape[:2], target.shape[:2]
    if abs((cw * th) / (ch * tw) - 1) > _ASPECT_TOLERANCE:
        raise InputError(f"source is {cw}×{ch} and target {tw}×{th}: not the same frame", path=pair.where)
    return Example(fit_square(target, size, "smooth"), fit_square(condition, size, geometry), pair.prompt)


def stated_kind(pairs: Sequence[Pair]) -> str | None:
    """The condition kind in the metadata of the first pair's map, if there is one."""
    info = ConditionInfo.from_text(images.read_info(pairs[0].source))
    return info.kind if info is not None else None


@dataclass(frozen=True)
class FolderDataset:
    """The pairs of one dataset, at size × size pixels; maps are resized according to their `geometry`."""

    pairs: tuple[Pair, ...]
    size: int
    geometry: Geometry

    @classmethod
    def open(cls, path: Path, size: int, geometry: Geometry) -> "FolderDataset":
        """Read the records of a dataset. Raises InputError, with file and line, for invalid lines or missing images."""
        return cls(tuple(read_records(path)), size, geometry)

    @property
    def count(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Example:
        return load_pair(self.pairs[index], self.size, self.geometry)

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
