"""Micro-batches ready for the loss: images fetched ahead and encoded to latents by the locked autoencoder.

Encoding costs more than the training step itself on a CPU, so the latents of a small enough dataset are cached.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from cn.data.batch import collate
from cn.data.examples import Fetched, Source
from cn.data.prefetch import fetch_ahead, map_ordered
from cn.model.base import Base
from cn.model.vae import Posterior
from cn.train.config import TrainConfig
from cn.train.random_draws import image_indices

CACHE_BYTES = 1 << 30
"""Limit for the cached latents and their conditions."""


@dataclass(frozen=True)
class LatentBatch:
    """Means and standard deviations of latents (B, 4, h, w), hints (B, 3, 8h, 8w) uint8 in 0 … 255, and B prompts."""

    mean: Tensor
    std: Tensor
    hint: Tensor
    prompts: list[str]

    def sample(self, generator: torch.Generator) -> Tensor:
        """z_0: one sample of the autoencoder's posterior."""
        return Posterior(self.mean, self.std).sample(generator)

    def hints(self) -> Tensor:
        """(B, 3, 8h, 8w) float32 in [0, 1]."""
        return self.hint.float() / 255


def cache_bytes(source: Source, base: Base, config: TrainConfig) -> int:
    """The size of the cached latents and conditions of the whole dataset; 0 where they are too large to be cached."""
    if source.count is None:
        return 0
    cells = (config.size // base.config.vae.factor) ** 2
    latents = 2 * 4 * base.config.vae.latent_channels * cells
    total = source.count * (3 * config.size**2 + latents)
    return total if total <= CACHE_BYTES else 0


def micro_batches(
    source: Source, base: Base, config: TrainConfig, start: int, *, workers: int, skip: Callable[[str], None]
) -> Generator[LatentBatch, None, None]:
    """All micro-batches from step `start` on, fetched ahead by `workers` processes; `skip` is told of broken pairs.

    Images of a cached dataset are encoded one at a time, so that a latent does not depend on the batch composition: a
    resumed run, which encodes them again, gets the same ones.
    """
    cached = cache_bytes(source, base, config) > 0
    cache: dict[int, LatentBatch] = {}
    wanted = _unseen(_orders(source, config, start)) if cached else _flat(_orders(source, config, start))
    with closing(fetch_ahead(map_ordered(source.fetch, wanted, workers), 2 * config.batch_size)) as fetched:
        items = _reported(fetched, skip)
        for order in _orders(source, config, start):
            if not cached:
                yield _encode(base, [next(items) for _ in order])
                continue
            for index in order:
                if index not in cache:
                    cache[index] = _encode(base, [next(items)])
            yield _join([cache[index] for index in order])


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


def _reported(fetched: Iterator[Fetched], skip: Callable[[str], None]) -> Iterator[Fetched]:
    for item in fetched:
        for message in item.skipped:
            skip(message)
        yield item


@torch.no_grad()
def _encode(base: Base, items: Sequence[Fetched]) -> LatentBatch:
    batch = collate([item.example for item in items]).to(base.device)
    posterior = base.vae.encode(batch.target)
    return LatentBatch(posterior.mean, posterior.std, (batch.hint * 255).round().to(torch.uint8), batch.prompts)


def _join(parts: Sequence[LatentBatch]) -> LatentBatch:
    return LatentBatch(
        torch.cat([p.mean for p in parts]),
        torch.cat([p.std for p in parts]),
        torch.cat([p.hint for p in parts]),
        [prompt for p in parts for prompt in p.prompts],
    )
