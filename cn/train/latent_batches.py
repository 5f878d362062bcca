"""Micro-batches ready for the loss: images fetched ahead and encoded to latents by the locked autoencoder.

The latents come from the dataset's cache where one fits (`cn dataset cache`), and are encoded otherwise, which costs
more than the training step itself on a CPU. Wherever they come from, those of a small enough dataset stay in memory.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from cn.data.batch import scaled, to_bytes
from cn.data.examples import Fetched, Source
from cn.data.prefetch import fetch_ahead, map_ordered
from cn.devices import upload, without_tf32
from cn.model.base import Base
from cn.train.cache.reader import FetchedHint, LatentCache
from cn.train.config import TrainConfig
from cn.train.random_draws import image_indices, noise_like

CACHE_BYTES = 1 << 30
"""Limit for the latents and conditions that are kept in memory."""


@dataclass(frozen=True)
class LatentBatch:
    """Means and standard deviations of latents (B, 4, h, w), hints (B, 3, 8h, 8w) uint8 in 0 … 255, and B prompts."""

    mean: Tensor
    std: Tensor
    hint: Tensor
    prompts: list[str]
    cache: LatentCache | None = None
    """Where the embeddings of the prompts are."""

    def encode_text(self, prompts: Sequence[str], base: Base) -> Tensor:
        """(B, 77, C): the prompts of this batch, or what takes their place."""
        return base.text.encode(prompts) if self.cache is None else self.cache.encode(prompts, base)

    def sample(self, generator: torch.Generator) -> Tensor:
        """z_0: one sample of the autoencoder's posterior."""
        return self.mean + self.std * noise_like(self.mean, generator)

    def hints(self) -> Tensor:
        """(B, 3, 8h, 8w) float32 in [0, 1]."""
        return self.hint.float() / 255


def cache_bytes(source: Source, base: Base, config: TrainConfig) -> int:
    """The size of the latents and conditions of the whole dataset in memory; 0 where they are too large to be kept."""
    if source.count is None:
        return 0
    cells = (config.size // base.config.vae.factor) ** 2
    latents = 2 * 4 * base.config.vae.latent_channels * cells
    total = source.count * (3 * config.size**2 + latents)
    return total if total <= CACHE_BYTES else 0


class _Feed(Protocol):
    """How the images of a run become latents."""

    @property
    def fetch(self) -> Callable[[int], Any]:
        """What a worker process does for image number i."""
        ...

    def ready(self, fetched: Any) -> Any:
        """What the thread that fetches ahead adds to it."""
        ...

    def batch(self, items: Sequence[Any]) -> LatentBatch:
        """On the base's device."""
        ...


class _Encoding:
    """Images are encoded by the autoencoder; exactly where the run is exact, as the cache is."""

    def __init__(self, source: Source, base: Base, exact: bool):
        self.fetch: Callable[[int], Any] = source.fetch
        self.base, self.exact = base, exact

    def ready(self, fetched: Fetched) -> Fetched:
        return fetched

    @torch.no_grad()
    def batch(self, items: Sequence[Fetched]) -> LatentBatch:
        examples, device = [item.example for item in items], self.base.device
        images = upload(to_bytes([example.target for example in examples]), device)
        hint = upload(to_bytes([example.condition for example in examples]), device)
        with without_tf32(self.exact):
            posterior = self.base.vae.encode(scaled(images))
        return LatentBatch(posterior.mean, posterior.std, hint, [example.prompt for example in examples])


@dataclass(frozen=True)
class _Read:
    """A hint with the mean and the standard deviation of its image's latents."""

    fetched: FetchedHint
    mean: Tensor
    std: Tensor

    @property
    def skipped(self) -> tuple[str, ...]:
        return self.fetched.skipped


class _Cached:
    """Latents are read from the dataset's cache, and images not at all."""

    def __init__(self, cache: LatentCache, device: torch.device):
        self.fetch: Callable[[int], Any] = cache.hints.fetch
        self.cache, self.device = cache, device

    def ready(self, fetched: FetchedHint) -> _Read:
        return _Read(fetched, *self.cache.latents(fetched.hint.index))

    def batch(self, items: Sequence[_Read]) -> LatentBatch:
        mean = upload(torch.stack([item.mean for item in items]), self.device)
        std = upload(torch.stack([item.std for item in items]), self.device)
        hint = upload(to_bytes([item.fetched.hint.condition for item in items]), self.device)
        return LatentBatch(mean, std, hint, [item.fetched.hint.prompt for item in items], self.cache)


def micro_batches(
    source: Source,
    base: Base,
    config: TrainConfig,
    start: int,
    *,
    workers: int,
    skip: Callable[[str], None],
    cache: LatentCache | None = None,
) -> Generator[LatentBatch, None, None]:
    """All micro-batches from step `start` on, fetched ahead by `workers` processes; `skip` is told of broken pairs.

    Images whose latents stay in memory are encoded one at a time, so that a latent does not depend on the batch
    composition: a resumed run, which encodes them again, gets the same ones.
    """
    feed: _Feed = _Encoding(source, base, config.precision == "fp32") if cache is None else _Cached(cache, base.device)
    kept = cache_bytes(source, base, config) > 0
    memory: dict[int, LatentBatch] = {}
    wanted = _unseen(_orders(source, config, start)) if kept else _flat(_orders(source, config, start))
    ready = _ready(feed, map_ordered(feed.fetch, wanted, workers))
    with closing(fetch_ahead(ready, 2 * config.batch_size)) as fetched:
        items = _reported(fetched, skip)
        for order in _orders(source, config, start):
            if not kept:
                yield feed.batch([next(items) for _ in order])
                continue
            for index in order:
                if index not in memory:
                    memory[index] = feed.batch([next(items)])
            yield _join([memory[index] for index in order])


def _ready(feed: _Feed, fetched: Generator[Any, None, None]) -> Generator[Any, None, None]:
    with closing(fetched):
        for item in fetched:
            yield feed.ready(item)


def _orders(source: Source, config: TrainConfig, start: int) -> Iterator[list[int]]:
    """The image indices of every micro-batch."""
    for step in range(start, config.steps):
        for micro in range(config.accumulate):
            yield image_indices(config.seed, step, micro, config.accumulate, config.batch_size, source.count)


def _flat(orders: Iterator[list[int]]) -> Iterator[int]:
    for order in orders:
        yield from order


def _unseen(orders: Iterator[list[int]]) -> Iterator[int]:
    seen: set[int] = set()
    for index in _flat(orders):
        if index not in seen:
            seen.add(index)
            yield index


def _reported(fetched: Iterator[Any], skip: Callable[[str], None]) -> Iterator[Any]:
    for item in fetched:
        for message in item.skipped:
            skip(message)
        yield item


def _join(parts: Sequence[LatentBatch]) -> LatentBatch:
    return LatentBatch(
        torch.cat([p.mean for p in parts]),
        torch.cat([p.std for p in parts]),
        torch.cat([p.hint for p in parts]),
        [prompt for p in parts for prompt in p.prompts],
        parts[0].cache,
    )
