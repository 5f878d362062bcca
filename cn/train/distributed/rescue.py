"""What is kept of a run when one of its processes is lost."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from cn.errors import CnError
from cn.train.distributed.heartbeat import LostProcessError
from cn.train.listener import Listener
from cn.train.run_folder import kept
from cn.train.trainer import Trainer
from cn.train.world import World


class Saver(Protocol):
    """What saves a run after its last finished step: the recorder."""

    trainer: Trainer
    listener: Listener

    @property
    def step(self) -> int: ...

    def save(self) -> None: ...


@contextlib.contextmanager
def rescued(run: Path, saver: Saver, world: World) -> Iterator[None]:
    """Where a process is lost in the block, rank 0 saves the last finished step if it can.

    It can on a CPU and with whole weights (DDP). On a GPU the step that was under way may be half applied, and of
    sharded weights a part is gone: then the last saved state is what is kept. The error says so.
    """

    def advice() -> str:
        return f"{kept(run)}: continue with: cn train --resume {run}"

    world.when_lost(lambda message: saver.listener.warn(f"{message}; {advice()}"))
    try:
        with world.together():
            yield
    except LostProcessError as error:
        trainer = saver.trainer
        whole = trainer.networks.device.type == "cpu" and not trainer.parallel.sharded and trainer.step == saver.step
        if world.is_main and whole:
            with contextlib.suppress(CnError, OSError):
                saver.save()
        error.advise(advice())
        raise
