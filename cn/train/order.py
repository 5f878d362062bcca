"""In which order a run sees its images: pure functions of the seed and of a place, so that no position is ever saved.

The micro-batches of a run are one endless sequence, whatever the number of steps, processes or restarts: micro-batch m
of step s is number s · U + m, with U micro-batches in a step. Any of them is found without going through those before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from cn.data.examples import Draw, Source
from cn.data.mixture import datasets, epoch
from cn.train.config import TrainConfig
from cn.train.random_draws import Stream, generator

Numbers = NDArray[np.int64]


@lru_cache(maxsize=512)
def _permutation(seed: int, epoch: int, part: int, stream: Stream, count: int) -> Numbers:
    """A random order of `count` things; the 512 last ones hold two epochs of each bucket."""
    return np.asarray(torch.randperm(count, generator=generator(seed, epoch, part, stream)).numpy())


def image_indices(seed: int, number: int, batch_size: int, count: int | None) -> list[int]:
    """The places in an epoch of the images of micro-batch `number`, without buckets.

    Of the `count` images of an epoch each is seen once, in a new random order each time; of the endless built-in scenes
    (`count` None) each is seen once.
    """
    places = range(number * batch_size, (number + 1) * batch_size)
    if count is None:
        return list(places)
    return [int(_permutation(seed, p // count, 0, Stream.ORDER, count)[p % count]) for p in places]


def batches_before(epoch: int, counts: Sequence[int], batch_size: int) -> list[int]:
    """For each bucket, the micro-batches of all epochs before this one; `counts` are the images in the buckets.

    The images that are left over at the end of an epoch are the first ones of the next. So each has been seen `epoch`
    times, or once less, in a bucket of a batch or more.
    """
    return [epoch * count // batch_size for count in counts]


def bucket_batch(seed: int, number: int, counts: tuple[int, ...], batch_size: int) -> tuple[int, list[int]]:
    """(bucket, places in it) of micro-batch `number`, whose images are all of this bucket.

    An epoch's micro-batches, of all buckets, come in a random order. Those of a bucket follow an endless sequence of
    random orders of its images, so that a micro-batch may hold the end of one and the beginning of the next.
    """
    epoch = _epoch_of(number, counts, batch_size)
    before, after = (batches_before(each, counts, batch_size) for each in (epoch, epoch + 1))
    amounts = [last - first for first, last in zip(before, after, strict=True)]
    turn = int(_permutation(seed, epoch, 0, Stream.BATCHES, sum(amounts))[number - sum(before)])
    bucket = 0
    while turn >= amounts[bucket]:
        turn -= amounts[bucket]
        bucket += 1
    first, count = (before[bucket] + turn) * batch_size, counts[bucket]
    places = range(first, first + batch_size)
    return bucket, [int(_permutation(seed, p // count, bucket, Stream.BUCKET, count)[p % count]) for p in places]


def _epoch_of(number: int, counts: Sequence[int], batch_size: int) -> int:
    """The epoch that micro-batch `number` belongs to."""
    low, high = 0, 1
    while sum(batches_before(high, counts, batch_size)) <= number:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        if sum(batches_before(middle, counts, batch_size)) <= number:
            low = middle
        else:
            high = middle
    return low


@dataclass(frozen=True, eq=False)
class Order:
    """The order of a run's examples."""

    seed: int
    batch_size: int
    count: int | None
    """Images of an epoch, those that are repeated counted as often; None: endless."""
    examples: Numbers | None = None
    """The number of the example at each place of an epoch; None: place i is example i."""
    buckets: tuple[Numbers, ...] = ()
    """The numbers of the examples at the places of each bucket that has some; () without buckets."""
    flip: bool = False

    @classmethod
    def of(cls, source: Source, config: TrainConfig) -> "Order":
        """The order of a run."""
        examples = epoch(source)
        count = source.count if examples is None else len(examples)
        buckets = ()
        if config.buckets:
            every = np.arange(source.count or 0) if examples is None else examples
            shapes = np.concatenate([np.asarray(part.buckets.of) for part in datasets(source) if part.buckets])
            number = len(next(part.buckets.shapes for part in datasets(source) if part.buckets))
            found = (every[shapes[every] == shape] for shape in range(number))
            buckets = tuple(each for each in found if len(each))
        return cls(config.seed, config.batch_size, count, examples, buckets, config.flip)

    def micro_batch(self, number: int) -> list[Draw]:
        """The examples of micro-batch `number` of the endless sequence, all of one shape."""
        indices = self._indices(number)
        if not self.flip:
            return list(map(Draw, indices))
        mirrored = torch.rand(self.batch_size, generator=generator(self.seed, number, 0, Stream.FLIP)) < 0.5
        return list(map(Draw, indices, mirrored.tolist()))

    def _indices(self, number: int) -> list[int]:
        if self.buckets:
            counts = tuple(map(len, self.buckets))
            bucket, places = bucket_batch(self.seed, number, counts, self.batch_size)
            return self.buckets[bucket][places].tolist()
        places = image_indices(self.seed, number, self.batch_size, self.count)
        return places if self.examples is None else self.examples[places].tolist()
