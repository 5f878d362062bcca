"""The networks that detectors use: looked into once, loaded in the process that computes, run in one thread."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cn import files
from cn.detect import depth, lineart, lines, soft_edge

if TYPE_CHECKING:
    from torch import nn

_OPEN: dict[str, Callable[[str], "nn.Module"]] = {
    "hough": lines.open_mlsd,
    "hed": soft_edge.open_soft_edge,
    "depth": depth.open_depth,
    "lineart": lineart.open_anime2sketch,
}


@dataclass(frozen=True)
class Weights:
    """A file of weights that has been looked into."""

    family: str
    """The kind of `cn.detect.methods` whose networks it may hold."""
    path: str
    sha256: str
    network: str
    """The class of `cn.detect.nets` that it holds."""

    def load(self) -> "nn.Module":
        """The network; kept for the next call in this process."""
        return _load(self.family, self.path)


def open_weights(family: str, path: str) -> Weights:
    """Load the weights once, so that a file that does not serve fails before any picture is read.

    Raises WeightsError when it is missing or holds another network, InputError when it is damaged.
    """
    network = _load(family, path)
    return Weights(family, path, files.sha256(path), type(network).__name__)


@functools.lru_cache(maxsize=1)
def _load(family: str, path: str) -> "nn.Module":
    return _OPEN[family](path)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """While it lasts torch computes in one thread: the number of threads changes the last bits of what it gives."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def by_size(
    images: Sequence[NDArray[np.uint8]],
    batch: int,
    function: Callable[[NDArray[np.uint8]], Sequence[Any] | NDArray[Any]],
) -> list[Any]:
    """What `function` makes of stacks (n ≤ batch, h, w, 3) of the pictures that have one size, in their first order."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault(image.shape, []).append(number)
    made: dict[int, Any] = {}
    with one_thread():
        for numbers in groups.values():
            for start in range(0, len(numbers), batch):
                together = numbers[start : start + batch]
                made |= zip(together, function(np.stack([images[n] for n in together])), strict=True)
    return [made[number] for number in range(len(images))]
