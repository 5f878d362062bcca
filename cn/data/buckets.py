"""Aspect-ratio buckets: the shape that each image of a run is trained at, near its own aspect ratio."""

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int]
"""(height, width)."""


def bucket_shapes(size: int, multiple: int, max_ratio: float) -> tuple[Shape, ...]:
    """The shapes around a square of `size`, by rising width.

    Sides are multiples of `multiple`, no side is more than `max_ratio` times the other, and no area is larger than the
    square's, so that none takes more memory. For 512, 64 and 2 these are 640×384, 576×448, 512×512, 448×576 and
    384×640. The square is always among them.
    """
    wide = dict[int, int]()
    for width in range(size, int(size * max_ratio) + 1, multiple):
        height = size * size // width // multiple * multiple
        if height and width <= max_ratio * height:
            # Of shapes of one height the last is the widest.
            wide[height] = width
    found = {(size, size), *wide.items(), *((width, height) for height, width in wide.items())}
    return tuple(sorted(found, key=lambda shape: shape[1] / shape[0]))


def nearest(sizes: NDArray[np.integer], shapes: Sequence[Shape]) -> NDArray[np.int64]:
    """(n,) the number of the shape whose aspect ratio is nearest to that of each image (n, 2): height, width.

    `len(shapes)` for images without a size (0). Distances are of logarithms, so that 2:1 is as far from 1:1 as 1:2.
    """
    known = np.asarray((sizes > 0).all(axis=1))
    ratios = np.log(np.where(known[:, None], sizes, 1).astype(np.float64))
    own = ratios[:, 1] - ratios[:, 0]
    of_shapes = np.array([math.log(width / height) for height, width in shapes])
    # Shapes are in the order of their ratios.
    middles = (of_shapes[1:] + of_shapes[:-1]) / 2
    return np.where(known, np.searchsorted(middles, own), len(shapes))


def merged(numbers: NDArray[np.int64], weights: NDArray[np.integer], shapes: Sequence[Shape], least: int) -> list[int]:
    """For each shape the number of the one that its images get, so that each in use has at least `least` images.

    A shape with fewer joins the nearest one in use, the smallest first; `weights` are how often each image is seen in
    an epoch. Without this, the few images of a rare shape would fill a batch of their own only every so many epochs.
    """
    counts = np.bincount(numbers, weights, len(shapes) + 1)[: len(shapes)]
    target = list(range(len(shapes)))
    logs = [math.log(width / height) for height, width in shapes]
    used = [number for number in target if counts[number]]
    while len(used) > 1:
        smallest = min(used, key=lambda number: (counts[number], number))
        if counts[smallest] >= least:
            break
        used.remove(smallest)
        into = min(used, key=lambda number: (abs(logs[number] - logs[smallest]), number))
        counts[into] += counts[smallest]
        target = [into if number == smallest else number for number in target]
    return target


@dataclass(frozen=True, eq=False)
class Buckets:
    """The shape of each pair of a dataset. Picklable."""

    shapes: tuple[Shape, ...]
    of: "array[int]"
    """The number of each pair's shape; `len(shapes)` for one whose image cannot be read, which is never drawn."""
    sizes: NDArray[np.int32]
    """(n, 2) height and width of the images themselves."""

    def shape(self, index: int) -> Shape:
        """The (height, width) that a pair is trained at."""
        return self.shapes[self.of[index]]

    def turns(self, index: int) -> Iterator[int]:
        """A pair, those that take its place where it is broken: the next ones of its shape, then all others."""
        count, own = len(self.of), self.of[index]
        after = [(index + step) % count for step in range(count)]
        same = (number for number in after if self.of[number] == own)
        return chain(same, (number for number in after if self.of[number] != own))
