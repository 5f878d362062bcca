"""Micro-batches ready for the loss: images fetched ahead and encoded to latents by the locked autoencoder.

The latents come from the datasets' caches where they fit (`cn dataset cache`), and are encoded otherwise, which costs
more than the training step itself on a CPU. Wherever they come from, those of a small enough dataset stay in memory.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from cn.data.examples import Draw, Fetched, Source
from cn.data.prefetch import fetch_ahead, map_ordered
from cn.model.base import Base
from cn.parallel import available_cpus
from cn.train.cache.pairs import FetchedHint
from cn.train.cache.several import Caches
from cn.train.config import TrainConfig
from cn.train.feed import Encode, Feed, Stacked
from cn.train.order import Order
from cn.train.random_draws import noise_like
from cn.train.world import ALONE, World

CACHE_BYTES = 1 << 30
"""Limit for the latents and conditions that are kept in memory."""
_AHEAD = 2
"""Micro-batches that are fetched ahead."""
_CPU_WORKERS, _GPU_WORKERS = 2, 12


@dataclass(frozen=True)
class LatentBatch:
    """Means and standard deviations of latents (B, 4, h, w), hints (B, 3, 8h, 8w) uint8 in 0 … 255, and B prompts.

    With `--buckets`, h and w differ from one micro-batch to the next: there are as many shapes as buckets in use
    (`cn.data.buckets`), none with more area than the square. They never differ within a micro-batch.
    """

    mean: Tensor
    std: Tensor
    hint: Tensor
    prompts: list[str]
    cache: Caches | None = None
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
    total = source.count * (2 if config.flip else 1) * (3 * config.size**2 + latents)
    return total if total <= CACHE_BYTES else 0


def default_workers(device: torch.device, processes: int = 1) -> int:
    """Worker processes for each of the `processes` that train on this machine.

    A GPU takes more images a second than two processes decode; a CPU is busy with the networks itself.
    """
    cpus = available_cpus() // processes
    return max(1, min(_CPU_WORKERS, cpus) if device.type == "cpu" else min(_GPU_WORKERS, cpus - 1))


def micro_batches(
    source: Source,
    base: Base,
    config: TrainConfig,
    start: int,
    *,
    workers: int,
    skip: Callable[[str], None],
    cache: Caches | None = None,
    per_step: int | None = None,
    world: World = ALONE,
    encode: Encode | None = None,
) -> Generator[LatentBatch, None, None]:
    """All micro-batches from step `start` on, fetched ahead by `workers` processes; `skip` is told of broken pairs.

    A step has `per_step` of them over all processes of a `world` (default: `accumulate`), of which process r of W gets
    those with the numbers r, r + W, … Images whose latents stay in memory are encoded one at a time, so that a latent
    does not depend on the batch composition: a resumed run, which encodes them again, gets the same ones. `encode` is
    what encodes images (default: the autoencoder as it is written).
    """
    feed = Feed(source, base, config.precision == "fp32", cache, encode)
    kept = cache_bytes(source, base, config) > 0
    order = Order.of(source, config)
    numbers = _Numbers(start, config.steps, per_step or config.accumulate, world)
    memory: dict[Draw, LatentBatch] = {}

    def batch(stacked: Stacked) -> LatentBatch:
        for message in stacked.skipped:
            skip(message)
        return LatentBatch(*feed.encode(stacked), stacked.prompts, cache)

    wanted = (order.micro_batch(number) for number in numbers)
    groups = ([draw] for draw in _unseen(wanted)) if kept else wanted
    with closing(_fetched(feed, groups, workers, config.batch_size if kept else 1)) as fetched:
        for number in numbers:
            if not kept:
                yield batch(next(fetched))
                continue
            draws = order.micro_batch(number)
            for draw in draws:
                if draw not in memory:
                    memory[draw] = batch(next(fetched))
            yield _join([memory[draw] for draw in draws])


@dataclass(frozen=True)
class _Numbers:
    """The numbers of the micro-batches of one process, from step `start` up to, without, step `stop`."""

    start: int
    stop: int
    per_step: int
    world: World

    def __iter__(self) -> Iterator[int]:
        for step in range(self.start, self.stop):
            for micro in range(self.world.rank, self.per_step, self.world.size):
                yield step * self.per_step + micro


def _fetched(feed: Feed, groups: Iterable[list[Draw]], workers: int, single: int) -> Generator[Stacked, None, None]:
    """The images of groups that are encoded together, stacked in a background thread."""
    sizes = list[int]()

    def flat() -> Iterator[Draw]:
        for group in groups:
            sizes.append(len(group))
            yield from group

    return fetch_ahead(_stacked(feed, map_ordered(feed.fetch, flat(), workers), sizes), _AHEAD * single)


def _stacked(
    feed: Feed, fetched: Generator[Fetched | FetchedHint, None, None], sizes: list[int]
) -> Generator[Stacked, None, None]:
    with closing(fetched):
        while first := list(islice(fetched, 1)):
            yield feed.stack([*first, *islice(fetched, sizes.pop(0) - 1)])


def _unseen(groups: Iterable[list[Draw]]) -> Iterator[Draw]:
    seen: set[Draw] = set()
    for group in groups:
        for draw in group:
            if draw not in seen:
                seen.add(draw)
                yield draw


def _join(parts: Sequence[LatentBatch]) -> LatentBatch:
    return LatentBatch(
        torch.cat([p.mean for p in parts]),
        torch.cat([p.std for p in parts]),
        torch.cat([p.hint for p in parts]),
        [prompt for p in parts for prompt in p.prompts],
        parts[0].cache,
    )
