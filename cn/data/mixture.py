"""Several datasets as one source of training data: the pairs of the first, then those of the second, and so on."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from cn.data.examples import Fetched, Source
from cn.data.folder import CHECKED, Findings, FolderDataset
from cn.storage import StrPath


@dataclass(frozen=True)
class Mixture:
    """The pairs of datasets of one kind, numbered through. A broken pair is replaced by one of its own dataset."""

    parts: tuple[FolderDataset, ...]

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The number of each dataset's first pair, and the number of all pairs."""
        return (0, *accumulate(part.count for part in self.parts))

    @property
    def count(self) -> int:
        return self.starts[-1]

    def place(self, index: int) -> tuple[int, int]:
        """The number of the dataset that pair `index` is in, and the pair's number there."""
        part = bisect.bisect_right(self.starts, index) - 1
        return part, index - self.starts[part]

    def fetch(self, index: int, mirrored: bool = False) -> Fetched:
        """Pair `index`, or the next intact one of its dataset, or its mirror image."""
        part, number = self.place(index)
        return self.parts[part].fetch(number, mirrored)


def mixed(parts: Sequence[FolderDataset]) -> FolderDataset | Mixture:
    """Datasets as one source."""
    return parts[0] if len(parts) == 1 else Mixture(tuple(parts))


def datasets(source: Source) -> tuple[FolderDataset, ...]:
    """The datasets of a source; none for the built-in scenes."""
    if isinstance(source, Mixture):
        return source.parts
    return (source,) if isinstance(source, FolderDataset) else ()


def pair_counts(source: Source) -> list[int]:
    """The number of pairs of each dataset; none for the built-in scenes."""
    return [part.count for part in datasets(source)]


def epoch(source: Source) -> NDArray[np.int64] | None:
    """The numbers of the examples of one epoch, in order, each as often as it is seen; None: each once, or no end."""
    parts = datasets(source)
    times = [np.asarray(part.times()) for part in parts]
    if all(bool((each == 1).all()) for each in times):
        return None
    return np.repeat(np.arange(source.count or 0), np.concatenate(times))


def check(parts: Sequence[FolderDataset], paths: Sequence[StrPath]) -> Findings:
    """Look at each dataset, as `FolderDataset.check` does, at fewer pairs of each where there are several.

    Raises InputError where most of these pairs of one of them are broken.
    """
    found = [part.check(path, CHECKED // len(parts)) for part, path in zip(parts, paths, strict=True)]
    if len(parts) == 1:
        return found[0]
    return Findings(
        checked=sum(each.checked for each in found),
        broken=tuple(message for each in found for message in each.broken),
        warnings=tuple(
            text if str(path) in text else f"{path}: {text}"
            for each, path in zip(found, paths, strict=True)
            for text in each.warnings
        ),
        prompts=tuple(prompt for each in found for prompt in each.prompts),
    )
