"""A dataset whose images are encoded already: condition maps from files, latents and embeddings from the cache."""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cn import conditions, images
from cn.data.folder import check_frame, fit_square, named, next_intact
from cn.data.pairs import Pairs
from cn.devices import upload
from cn.errors import InputError
from cn.model.base import Base
from cn.train.cache import shards
from cn.train.cache.key import CacheKey

BROKEN = (1 << 32) - 1
"""The row of an image that could not be read."""


@dataclass(frozen=True)
class Hint:
    """The condition map (size, size, 3) uint8 and the prompt of pair `index`."""

    index: int
    condition: NDArray[np.uint8]
    prompt: str


@dataclass(frozen=True)
class FetchedHint:
    """A hint, and one message for each broken pair that was skipped to get it."""

    hint: Hint
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class HintDataset:
    """Pairs without their images, of which only the shapes are known; picklable. The order is `FolderDataset`'s."""

    pairs: Pairs
    size: int
    kind: str
    heights: "array[int]"
    widths: "array[int]"
    problems: dict[int, str]
    """What is wrong with images, by pair."""

    @property
    def count(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Hint:
        """Raises InputError where `FolderDataset` raises it."""
        pair = self.pairs[index]
        pair.check()
        with named(pair.where):
            condition = images.read_map(pair.source, self.kind)
            if index in self.problems:
                raise InputError(self.problems[index])
        check_frame(pair, condition.shape[:2], (self.heights[index], self.widths[index]))
        return Hint(index, fit_square(condition, self.size, conditions.get(self.kind).geometry), pair.prompt)

    def fetch(self, index: int) -> FetchedHint:
        """Pair `index`, or the next intact one."""
        return FetchedHint(*next_intact(self.count, index, self.__getitem__))


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
    hints: HintDataset
    files: list[Path]
    file_of: "array[int]"
    row_of: "array[int]"
    """Where the latents of each pair are; `BROKEN` for an image that could not be read."""
    embeddings: Embeddings

    def latents(self, index: int) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a pair's image, (4, h, w) float32 each, on the CPU."""
        row = shards.read_row(self.files[self.file_of[index]], self.row_of[index])
        return row["mean"].float(), row["std"].float()

    def encode(self, prompts: Sequence[str], base: Base) -> Tensor:
        """(B, 77, C) on the device of the base; a prompt that is not in the cache is encoded."""
        found = {prompt: self.embeddings.find(prompt) for prompt in dict.fromkeys(prompts)}
        if new := [prompt for prompt, embedding in found.items() if embedding is None]:
            found |= zip(new, base.text.encode(new), strict=True)
        return torch.stack([_on(found[prompt], base.device) for prompt in prompts])


def _on(embedding: Tensor | None, device: torch.device) -> Tensor:
    assert embedding is not None
    return embedding if embedding.device == device else upload(embedding, device)
