"""What computes the gradients and the latents of a run."""

from collections.abc import Callable

from cn.model.graphs import Graphs
from cn.train.config import TrainConfig
from cn.train.fast.choice import choose_encoding, choose_way
from cn.train.fast.encoding import make_encode
from cn.train.fast.engines import Backward, Compiled, Engine, LossOf, Plain
from cn.train.fast.graphs import Captured
from cn.train.feed import Encode
from cn.train.networks import TrainingNetworks
from cn.train.world import World

Warn = Callable[[str], None]


def choose_engine(
    networks: TrainingNetworks,
    config: TrainConfig,
    steps: int,
    world: World,
    loss_of: LossOf,
    backward: Backward,
    graphs: Graphs,
    warn: Warn,
) -> Engine:
    """What computes the gradients of a run that has `steps` steps to go."""
    plain = Plain(loss_of, backward)
    way = choose_way(networks, config, steps, networks.device, alone=world.size == 1)
    engine = Compiled(plain, warn) if way.compiled else plain
    if not way.captured:
        return engine
    return Captured(engine, networks.trainable.values(), graphs, accumulates=config.accumulate > 1)


def choose_encode(
    networks: TrainingNetworks,
    config: TrainConfig,
    steps: int,
    world: World,
    kept: int | None,
    graphs: Graphs,
    warn: Warn,
) -> Encode:
    """What encodes the images of a run that has `steps` steps to go; `kept` of them once, or each batch anew."""
    alone = world.size == 1
    way = choose_encoding(networks, config, steps, networks.device, alone=alone, kept=kept)
    return make_encode(networks.base.vae.encode, way, graphs, warn)
