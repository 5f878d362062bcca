"""How several processes compute one gradient: each has all weights (DDP), or a part of them (FSDP2)."""

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch.nn.parallel import DistributedDataParallel

from cn.train.config import TrainConfig
from cn.train.distributed.sharded import Templates, gathered, is_sharded, shard
from cn.train.networks import TrainingNetworks
from cn.train.world import World


@dataclass(frozen=True)
class Parallel:
    """After a backward pass each process has the mean of all gradients (`replica`), or its part of it (`templates`)."""

    replica: DistributedDataParallel | None = None
    templates: Templates | None = None

    @property
    def sharded(self) -> bool:
        """Whether each process has a part of the weights."""
        return self.templates is not None

    def accumulating(self, last: bool) -> AbstractContextManager:
        """The context of a micro-batch: the gradients of all but the last one of a step stay in their process.

        Where the weights are sharded, each is reduced at once, because whole gradients would need their memory.
        """
        return contextlib.nullcontext() if self.replica is None or last else self.replica.no_sync()

    def whole(
        self, networks: TrainingNetworks, world: World, device: torch.device | None = None, *, base: bool = True
    ) -> TrainingNetworks | None:
        """The networks with all their weights: themselves, or a copy of sharded ones in rank 0, on their device.

        All processes call this; None in those that have none.
        """
        if self.templates is None:
            return networks
        return gathered(networks, self.templates, world, device or networks.device, base=base)


def make_parallel(networks: TrainingNetworks, config: TrainConfig, world: World, step: int) -> Parallel:
    """Prepare the networks, in place, for the processes of `world` and step `step`; before the optimizer is made."""
    networks.replicas.clear()
    if is_sharded(config, world, step):
        return Parallel(templates=shard(networks, world))
    if world.size == 1:
        return Parallel()
    # Weights are compared at the start (`compare`), so that they need not be sent.
    replica = DistributedDataParallel(networks.control, init_sync=False, gradient_as_bucket_view=True)
    networks.replicas["control"] = replica
    return Parallel(replica)
