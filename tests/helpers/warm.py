"""Processes that begin in moments: forks of a server that has imported what tests run, and started no thread."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *("tests.helpers.kills", "tests.helpers.training", "tests.helpers.training_kills", "typer._adapters"),
        *("cn.checkpoints.write.writer", "cn.data.synth", "cn.detect.run.batch", "cn.eval.run", "cn.sample.run"),
        *("cn.train.cache.job", "cn.train.run", "cn.train.distributed.group", "torch.utils.tensorboard"),
        *("torch._dynamo", "torch.distributed.checkpoint", "torch.distributed.fsdp"),
    ]
)


def in_fork(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a process of its own, which may fork in turn; what it returns or raises."""
    with ProcessPoolExecutor(1, mp_context=CONTEXT) as pool:
        return pool.submit(function, *arguments).result()
