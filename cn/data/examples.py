"""What every source of training data provides: examples by number, skipping broken ones."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

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
    """An example, and one message for each broken pair that was skipped to get it."""

    example: Example
    skipped: tuple[str, ...] = ()


class Draw(NamedTuple):
    """An example that is wanted, as it is or in the mirror."""

    example: int
    mirrored: bool = False


class Source(Protocol):
    """Examples by number; `count` is None for an endless source. Picklable, without torch, and deterministic."""

    @property
    def count(self) -> int | None: ...

    def fetch(self, index: int, mirrored: bool = False) -> Fetched:
        """Example `index`, or the next intact one of the dataset, or its mirror image (`cn.data.flip`).

        Raises InputError when there is none.
        """
        ...
