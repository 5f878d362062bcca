"""What computes the gradients and the latents of a run."""

from collections.abc import Callable

from cn.model.graphs import Graphs
from cn.train.config import TrainConfig
from cn.train.fast.choice import Way, choose_encoding
from cn.train.fast.encoding import make_encode
from cn.train.fast.engines import Backward, Compiled, Engine, LossOf, Plain
from cn.train.fast.graphs import Captured
from cn.train.feed import Encode
from cn.train.networks import TrainingNetworks

Warn = Callable[[str], None]


def choose_engine(
    networks: TrainingNetworks,
    config: TrainConfig,
    way: Way,
    loss_of: LossOf,
    backward: Backward,
    graphs: Graphs,
    warn: Warn,
) -> Engine:
    """What computes the gradients of a run in this way."""
    plain = Plain(loss_of, backward)
    engine = Compiled(plain, warn) if way.compiled else plain
    if not way.captured:
        return engine
    return Captured(engine, networks.trainable.values(), graphs, accumulates=config.accumulate > 1)


def choose_encode(
    networks: TrainingNetworks,
    config: TrainConfig,
    steps: int,
    kept: int | None,
    graphs: Graphs,
    warn: Warn,
    *,
    local: bool,
) -> Encode:
    """What encodes the images of a run that has `steps` steps to go; `kept` of them once, or each batch anew.

    `local` is that of `choose_encoding`.
    """
    way = choose_encoding(networks, config, steps, networks.device, local=local, kept=kept)
    return make_encode(networks.base.vae.encode, way, graphs, warn)
