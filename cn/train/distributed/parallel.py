"""How several processes compute one gradient: each has all weights (DDP, or `average`), or a part of them (FSDP2)."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cn.train.config import TrainConfig
from cn.train.distributed.sharded import Templates, gathered, is_sharded, shard
from cn.train.networks import TrainingNetworks
from cn.train.world import World

BUCKET_BYTES = 64 * 2**20
"""Gradients that are sent at once by `average`: enough to use the whole width of a link between GPUs."""


@dataclass(frozen=True)
class Parallel:
    """After a backward pass each process has the mean of all gradients (`replica`), or its part of it (`templates`).

    With `averages` each has its own gradient until `average` is called.
    """

    replica: DistributedDataParallel | None = None
    templates: Templates | None = None
    averages: bool = False

    @property
    def sharded(self) -> bool:
        """Whether each process has a part of the weights."""
        return self.templates is not None

    def accumulating(self, last: bool) -> AbstractContextManager:
        """The context of a micro-batch: the gradients of all but the last one of a step stay in their process.

        Where the weights are sharded, each is reduced at once, because whole gradients would need their memory.
        """
        return contextlib.nullcontext() if self.replica is None or last else self.replica.no_sync()

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Called in every process after the last micro-batch of a step, where the backward pass has not done it."""
        if self.averages:
            average([p.grad for p in parameters if p.grad is not None])

    def whole(
        self, networks: TrainingNetworks, world: World, device: torch.device | None = None, *, base: bool = True
    ) -> TrainingNetworks | None:
        """The networks with all their weights: themselves, or a copy of sharded ones in rank 0, on their device.

        All processes call this; None in those that have none.
        """
        if self.templates is None:
            return networks
        return gathered(networks, self.templates, world, device or networks.device, base=base)


def make_parallel(
    networks: TrainingNetworks, config: TrainConfig, world: World, step: int, *, local: bool = False
) -> Parallel:
    """Prepare the networks, in place, for the processes of `world` and step `step`; before the optimizer is made.

    Gradients are `local` where they come from a CUDA graph or compiled code, in which no process waits for another.
    """
    networks.replicas.clear()
    if is_sharded(config, world, step):
        return Parallel(templates=shard(networks, world))
    if world.size == 1:
        return Parallel()
    if local:
        return Parallel(averages=True)
    # It speaks of gradients of 1×1 convolutions, whose two layouts are the same bytes.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    # Weights are compared at the start (`compare`), so that they need not be sent.
    replica = DistributedDataParallel(networks.control, init_sync=False, gradient_as_bucket_view=True)
    networks.replicas["control"] = replica
    return Parallel(replica)


def average(gradients: list[Tensor]) -> None:
    """Replace gradients by their means over all processes; each of them gives the same ones, in the same order.

    DDP sends gradients while others are still computed, which code that no process may interrupt cannot do. On GPUs of
    one host this takes a few milliseconds for a gigabyte.
    """
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        parts = flat.split([gradient.numel() for gradient in bucket])
        torch._foreach_copy_(bucket, [part.view_as(g) for part, g in zip(parts, bucket, strict=True)])


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket, filled = list[Tensor](), 0
    for gradient in gradients:
        size = gradient.numel() * gradient.element_size()
        if bucket and filled + size > BUCKET_BYTES:
            yield bucket
            bucket, filled = [], 0
        bucket.append(gradient)
        filled += size
    if bucket:
        yield bucket
