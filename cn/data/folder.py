"""Training pairs from a folder with `prompt.json`, brought to the training size."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.conditions import ConditionInfo, Geometry
from cn.data.examples import Example, Fetched
from cn.data.records import Pair, read_records
from cn.errors import InputError

MOST_SKIPPED = 50
"""So many broken pairs in a row mean that the set as a whole is broken."""
_ASPECT_TOLERANCE = 0.02


def fit_square(image: NDArray[np.uint8], size: int, geometry: Geometry) -> NDArray[np.uint8]:
    """The largest centered square of (h, w, 3), at size × size: nearest for discrete maps, by area for smooth ones."""
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
        raise InputError(f"{pair.where}: source is {cw}×{ch} and target {tw}×{th}: not the same frame")
    return Example(fit_square(target, size, "smooth"), fit_square(condition, size, geometry), pair.prompt)


@dataclass(frozen=True)
class FolderPairs:
    """The pairs of one set, at size × size pixels; maps are resized as their `geometry` demands."""

    pairs: tuple[Pair, ...]
    size: int
    geometry: Geometry

    @classmethod
    def open(cls, path: Path, size: int, geometry: Geometry) -> "FolderPairs":
        """Read the records of a set. Raises InputError for a bad line or a missing image, naming file and line."""
        return cls(tuple(read_records(path)), size, geometry)

    @property
    def count(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Example:
        return load_pair(self.pairs[index], self.size, self.geometry)

    def fetch(self, index: int) -> Fetched:
        """Pair `index`, or the next one that is whole: one bad file does not end a long run."""
        skipped: list[str] = []
        for step in range(min(self.count, MOST_SKIPPED)):
            try:
                return Fetched(self[(index + step) % self.count], tuple(skipped))
            except InputError as error:
                skipped.append(str(error))
        raise InputError(f"{len(skipped)} pairs in a row cannot be used; the last: {skipped[-1]}")

    def stated_kind(self) -> str | None:
        """The condition's kind that the first map says of itself, if it says any."""
        info = ConditionInfo.from_text(images.read_info(self.pairs[0].source))
        return info.kind if info is not None else None
