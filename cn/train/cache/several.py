"""The caches of a run's datasets, of which some may have none."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cn.data.examples import Source
from cn.data.mixture import datasets
from cn.model.base import Base
from cn.model.transfers import upload
from cn.train.cache.pairs import Fetcher, Hint
from cn.train.cache.reader import LatentCache


@dataclass(frozen=True)
class Caches:
    """The cache of each dataset of a source; None for those without."""

    source: Source
    caches: tuple[LatentCache | None, ...]

    @property
    def complete(self) -> bool:
        """Whether all images have latents here."""
        return all(cache is not None and cache.complete for cache in self.caches)

    @property
    def used(self) -> list[LatentCache]:
        return [cache for cache in self.caches if cache is not None]

    @property
    def fetcher(self) -> Fetcher:
        return Fetcher(self.source, tuple(None if cache is None else cache.pairs for cache in self.caches))

    def latents(self, hint: Hint) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (4, h, w) of the image that belongs to a hint, float32 on the CPU."""
        cache = self.caches[hint.dataset]
        assert cache is not None
        return cache.latents(hint.index)

    def encode(self, prompts: Sequence[str], base: Base) -> Tensor:
        """(B, 77, C) on the device of the base; a prompt that is in none of the caches is encoded."""
        found = {prompt: self._find(prompt) for prompt in dict.fromkeys(prompts)}
        if new := [prompt for prompt, embedding in found.items() if embedding is None]:
            found |= zip(new, base.text.encode(new), strict=True)
        return torch.stack([_on(found[prompt], base.device) for prompt in prompts])

    def _find(self, prompt: str) -> Tensor | None:
        return next((e for cache in self.used if (e := cache.embeddings.find(prompt)) is not None), None)


def caches(source: Source, found: Sequence[LatentCache | None]) -> Caches | None:
    """The caches of a source; None where no dataset has one."""
    assert len(found) == len(datasets(source))
    return Caches(source, tuple(found)) if any(found) else None


def _on(embedding: Tensor | None, device: torch.device) -> Tensor:
    assert embedding is not None
    return embedding if embedding.device == device else upload(embedding, device)
