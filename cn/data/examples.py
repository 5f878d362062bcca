"""What every source of training data gives: an example, and how one is fetched when some of a set are broken."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo


@dataclass(frozen=True)
class Example:
    """An image (h, w, 3) uint8 RGB with its condition map of the same size and its prompt."""

    target: NDArray[np.uint8]
    condition: NDArray[np.uint8]
    prompt: str
    info: ConditionInfo | None = None


@dataclass(frozen=True)
class Fetched:
    """An example, and what had to be passed over to get it: one message a broken pair."""

    example: Example
    skipped: tuple[str, ...] = ()


class Source(Protocol):
    """Examples by number; `count` is None for an endless source. Picklable, free of torch, the same everywhere."""

    @property
    def count(self) -> int | None: ...

    def fetch(self, index: int) -> Fetched:
        """The example of this number, or the next whole one of the set. Raises InputError when there is none."""
        ...
