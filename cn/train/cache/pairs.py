"""What worker processes read of pairs of which some have latents in a cache. No torch, which takes each of them seconds
and hundreds of megabytes.
"""

from array import array
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cn import conditions, images
from cn.data.buckets import Shape
from cn.data.examples import Draw, Example, Fetched, Source
from cn.data.folder import FolderDataset, check_frame, load_pair, named, next_intact
from cn.data.frame import centered
from cn.data.mixture import Mixture
from cn.errors import InputError


@dataclass(frozen=True)
class Hint:
    """The condition map (h, w, 3) uint8 and the prompt of pair `index` of the dataset, whose latents are cached."""

    index: int
    condition: NDArray[np.uint8]
    prompt: str
    dataset: int = 0
    """The number of the dataset among those of the run."""


@dataclass(frozen=True)
class FetchedHint:
    """A hint, and one message for each broken pair that was skipped to get it."""

    hint: Hint
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class CachedPairs:
    """The pairs of a dataset, without the images whose latents are cached; picklable. The order is the dataset's."""

    dataset: FolderDataset
    heights: "array[int]"
    widths: "array[int]"
    """Of the images themselves."""
    problems: dict[int, str]
    """What is wrong with images, by pair."""
    other_shape: frozenset[int] = frozenset()
    """Pairs whose latents have another shape than the run wants (`cn.data.buckets.merged`): their images are read."""

    def fetch(self, index: int, mirrored: bool = False) -> Fetched | FetchedHint:
        """Pair `index`, or in its shape the next intact one; a mirrored one is read whole: latents cannot be."""
        if mirrored:
            return self.dataset.fetch(index, mirrored)
        shape = self.dataset.shape(index)
        found, skipped = next_intact(self.dataset.turns(index), lambda number: self._load(number, shape))
        return FetchedHint(found, skipped) if isinstance(found, Hint) else Fetched(found, skipped)

    def _load(self, index: int, shape: Shape) -> Hint | Example:
        """Raises InputError where the dataset itself raises it."""
        data = self.dataset
        pair = data.pairs[index]
        if index not in self.problems and (index in self.other_shape or data.shape(index) != shape):
            return load_pair(pair, shape, data.kind)
        pair.check()
        with named(pair.where):
            condition = images.read_map(pair.source, data.kind)
            if index in self.problems:
                raise InputError(self.problems[index])
        size = self.heights[index], self.widths[index]
        check_frame(pair, condition.shape[:2], size)
        frame = centered(*size, shape)
        return Hint(index, frame.apply(condition, conditions.get(data.kind).geometry), pair.prompt)


@dataclass(frozen=True)
class Fetcher:
    """Reads pairs in worker processes, of those that are cached only what the cache does not hold; picklable."""

    source: Source
    cached: tuple[CachedPairs | None, ...] = ()
    """Of each dataset; () where nothing is cached."""

    def __call__(self, draw: Draw) -> Fetched | FetchedHint:
        """An example, or the next intact one of its dataset; of one in a cache, what that does not hold."""
        part, number = place(self.source, draw.example)
        cached = self.cached[part] if self.cached else None
        if cached is None:
            return self.source.fetch(*draw)
        fetched = cached.fetch(number, draw.mirrored)
        if isinstance(fetched, Fetched):
            return fetched
        return replace(fetched, hint=replace(fetched.hint, dataset=part))


def place(source: Source, index: int) -> tuple[int, int]:
    """The number of the dataset that example `index` is in, and its number there."""
    return source.place(index) if isinstance(source, Mixture) else (0, index)
