"""Several processes that train together, as a launcher starts them; they begin in moments, from a server that has
imported torch already."""

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cn.train.world import World
from tests.helpers.warm import CONTEXT

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a process returned, or the exit code and the message that it would end with."""

    value: Any = None
    code: int = 0
    message: str = ""


def start(count: int, function: Callable[..., Any], *args: Any) -> list[tuple[Any, Connection]]:
    """Start function(world, *args) in `count` processes; `collect` waits for them."""
    from torch.distributed import TCPStore

    global _store
    _store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # It lives until the next group starts.
    started = []
    for rank in range(count):
        mine, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=_run, args=(rank, count, _store.port, theirs, function, args), daemon=True)
        process.start()
        theirs.close()
        started.append((process, mine))
    return started


def collect(started: list[tuple[Any, Connection]]) -> list[Outcome]:
    """What each process came to; a negative code is the signal that killed it."""
    outcomes = []
    for process, connection in started:
        outcome = None
        with contextlib.suppress(EOFError):
            outcome = connection.recv()
        process.join()
        outcomes.append(outcome or Outcome(code=process.exitcode))
    return outcomes


def together(count: int, function: Callable[..., Any], *args: Any) -> list[Outcome]:
    """Run function(world, *args) in `count` processes, to the end."""
    return collect(start(count, function, *args))


def _run(rank: int, count: int, port: int, connection: Connection, function: Callable[..., Any], args: Any) -> None:
    import torch

    from cn.errors import CnError
    from cn.train.distributed.group import joined

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    try:
        with joined("cpu") as world:
            value = function(world, *args)
        outcome = Outcome(value)
    except CnError as error:
        outcome = Outcome(code=int(error.exit_code), message=str(error))
    connection.send(outcome)


def train(
    world: World, folder: Path, given: Options, resuming: bool = False, hook: Any = None
) -> list[tuple[float, float]]:
    """A run of `world`, new or resumed: loss and gradient norm of each step, in rank 0.

    `hook(world, task)` may change something first, and returns what a listener does at each step.
    """
    from cn.train import run
    from cn.train import task as tasks
    from tests.helpers.training import CPU, Listener

    task = (tasks.reopen if resuming else tasks.begin)(folder, given, CPU, world=world)
    listener = Listener(hook(world, task) if hook is not None else None)
    run.train(task, workers=0, listener=listener)
    return [(r.loss, r.grad_norm) for r in listener.results]
