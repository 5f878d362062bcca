"""The images of an optimizer step, over all processes: they stay the same when the number of those changes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cn.errors import UsageError
from cn.train.config import TrainConfig
from cn.train.distributed.sharded import is_sharded
from cn.train.world import World


def with_global_batch(config: TrainConfig, given: Mapping[str, Any], size: int) -> TrainConfig:
    """A new run's configuration for `size` processes: `accumulate` follows from `global_batch`, or the other way round.

    Raises UsageError where the global batch is not a whole number of batches for each process.
    """
    if not config.global_batch:
        return replace(config, global_batch=config.batch_size * config.accumulate * size)
    shared = shared_out(config, size)
    if "accumulate" in given and given["accumulate"] != shared.accumulate:
        raise UsageError(
            f"--global-batch {config.global_batch} with {_processes(size)} of batch size {config.batch_size} is "
            f"--accumulate {shared.accumulate}, not {given['accumulate']}; give one of the two"
        )
    return shared


def shared_out(config: TrainConfig, size: int) -> TrainConfig:
    """The same recipe for `size` processes: each takes an equal number of the batches of a step.

    Runs of earlier versions, which state no global batch, were of one process. Raises UsageError where the batches
    cannot be shared out equally.
    """
    total = config.global_batch or config.batch_size * config.accumulate
    batches, rest = divmod(total, config.batch_size)
    if rest or batches % size:
        raise UsageError(
            f"a global batch of {total} images cannot be shared out to {_processes(size)} in batches of "
            f"{config.batch_size}; what works: {_what_works(total, config.batch_size, size)}"
        )
    return replace(config, global_batch=total, accumulate=batches // size)


def plan_row(config: TrainConfig, world: World, step: int) -> str | None:
    """What the plan says of the processes; None for one."""
    if world.size == 1:
        return None
    how = "each with a part of the weights (FSDP)" if is_sharded(config, world, step) else "each with all weights (DDP)"
    return f"{world.size}, {how}; {config.global_batch} images a step in all"


def _what_works(total: int, batch: int, size: int) -> str:
    ways = []
    if total % batch == 0:
        counts = [n for n in range(1, total // batch + 1) if total // batch % n == 0]
        ways.append(f"{_list(counts)} processes")
    if total % size == 0:
        sizes = [n for n in range(1, total // size + 1) if total // size % n == 0]
        ways.append(f"--batch-size {_list(sizes)} in a new run")
    return "; ".join(ways) or f"a --global-batch that is a multiple of {batch * size}"


def _list(numbers: list[int]) -> str:
    words = list(map(str, numbers if len(numbers) <= 8 else numbers[-8:]))
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _processes(size: int) -> str:
    return "one process" if size == 1 else f"{size} processes"
