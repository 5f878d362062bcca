"""The engine of a run."""

from collections.abc import Callable

from cn.train.config import TrainConfig
from cn.train.fast.choice import choose_way
from cn.train.fast.engines import Backward, Compiled, Engine, LossOf, Plain
from cn.train.fast.graphs import Captured
from cn.train.networks import TrainingNetworks
from cn.train.world import World


def choose_engine(
    networks: TrainingNetworks,
    config: TrainConfig,
    steps: int,
    world: World,
    loss_of: LossOf,
    backward: Backward,
    warn: Callable[[str], None],
) -> Engine:
    """What computes the gradients of a run that has `steps` steps to go."""
    plain = Plain(loss_of, backward)
    way = choose_way(networks, config, steps, networks.device, alone=world.size == 1)
    if way == "compiled":
        return Compiled(plain, warn)
    return Captured(plain, networks.trainable.values(), warn) if way == "captured" else plain
