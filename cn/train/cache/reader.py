"""A dataset whose images are encoded already: condition maps from files, latents and embeddings from the cache."""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cn.train.cache import shards
from cn.train.cache.key import CacheKey
from cn.train.cache.pairs import CachedPairs

BROKEN = (1 << 32) - 1
"""The row of an image that could not be read."""


@dataclass
class Embeddings:
    """The embeddings of prompts, by the prompts' hashes."""

    files: list[Path] = field(default_factory=list)
    hashes: NDArray[np.bytes_] = field(default_factory=lambda: np.empty(0, "S16"))
    places: NDArray[np.uint32] = field(default_factory=lambda: np.empty((0, 2), np.uint32))

    @classmethod
    def open(cls, files: Sequence[Path]) -> "Embeddings":
        """Read which prompts there are. A damaged file is as if it were not there."""
        found, hashes, places = list[Path](), list[bytes](), list[tuple[int, int]]()
        for path, prompts in shards.intact(files, shards.text_entry):
            hashes += map(_hash, prompts)
            places += ((len(found), row) for row in range(len(prompts)))
            found.append(path)
        order = np.argsort(np.array(hashes, "S16"), kind="stable")
        values = np.array(places, np.uint32).reshape(-1, 2)
        return cls(found, np.array(hashes, "S16")[order], values[order])

    def find(self, prompt: str) -> Tensor | None:
        """(77, C) float32; None for a prompt that is not there, such as a caption that was changed."""
        digest = _hash(prompt)
        place = int(np.searchsorted(self.hashes, np.array(digest, "S16")))
        if place == len(self.hashes) or self.hashes[place] != np.array(digest, "S16"):
            return None
        file, row = self.places[place]
        return shards.read_row(self.files[file], int(row))["text"].float()


def _hash(prompt: str) -> bytes:
    """Sixteen hexadecimal digits: no zero bytes, which NumPy would cut off."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:16].encode()


@dataclass
class LatentCache:
    """The cache of a dataset, which fits a run: see `cn.train.cache.find`."""

    folder: Path
    key: CacheKey
    pairs: CachedPairs
    files: list[Path]
    file_of: "array[int]"
    row_of: "array[int]"
    """Where the latents of each pair are; `BROKEN` for an image that could not be read."""
    embeddings: Embeddings

    def latents(self, index: int) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a pair's image, (4, h, w) float32 each, on the CPU."""
        row = shards.read_row(self.files[self.file_of[index]], self.row_of[index])
        return row["mean"].float(), row["std"].float()

    @property
    def complete(self) -> bool:
        """Whether it has the latents of all images in the shapes of the run."""
        return not self.pairs.other_shape
