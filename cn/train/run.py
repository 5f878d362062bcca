"""A whole training run: planned, trained, kept in its folder.

task = prepare(given, out=folder)           # cn.train.task: a new run, or resume=folder
rows = plan(task)                           # what will happen; nothing is written yet
result = train(task)
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cn.errors import InputError
from cn.files import make_folder, reason
from cn.parallel import available_cpus
from cn.train.config import TrainConfig
from cn.train.latent_batches import micro_batches
from cn.train.listener import Listener, SilentListener
from cn.train.lock import run_lock
from cn.train.loop import steps
from cn.train.plan import check_space, plan_rows
from cn.train.recorder import Recorder
from cn.train.request import check_folder
from cn.train.run_folder import CONTROL, find_state, kept
from cn.train.stop import StopRequest, stop_requests
from cn.train.task import Task
from cn.train.warning_log import shortened


@dataclass(frozen=True)
class Result:
    """What a run wrote: the control's file, the number of its steps, and what was left out."""

    control: Path
    step: int
    skipped: int = 0
    """Broken pairs that were left out."""


def plan(task: Task) -> dict[str, str | None]:
    """What the run will do, as name → value rows."""
    broken = len(task.findings.broken)
    return plan_rows(task.run, task.networks, task.config, task.source, step=task.step, broken=broken, cache=task.cache)


def warnings(task: Task) -> list[str]:
    """What is wrong with the data, for a dry run; `train` shows it itself."""
    return [*shortened(task.findings.broken), *task.findings.warnings]


def train(task: Task, *, workers: int | None = None, listener: Listener | None = None) -> Result:
    """Train to the configured number of steps, with saves and previews at their intervals.

    `workers` processes render or read images ahead (default: up to 2; the result does not depend on it). After a stop
    request (Ctrl-C, SIGTERM) the current step is finished and saved, then StoppedError says how to resume. Raises
    InputError when loss or weights leave all bounds, when the folder cannot be written (a full disk), and while another
    process trains there; the last good state is kept.
    """
    run, config = task.run, task.config
    workers = min(2, available_cpus()) if workers is None else workers
    listener = listener or SilentListener()
    check_space(run, task.networks, config)
    with stop_requests() as stop, _writing(run), run_lock(make_folder(run), listener.warn):
        _check_unchanged(task)
        recorder = Recorder(task, listener, stop)
        recorder.open()
        if recorder.step < config.steps and not stop:
            _train(task, recorder, workers, stop)
        if stop and recorder.step < config.steps:
            raise stop.error(f"stopped after step {recorder.step}; continue with: cn train --resume {run}")
    return Result(run / CONTROL, recorder.step, len(recorder.log.skipped))


@contextlib.contextmanager
def _writing(run: Path) -> Iterator[None]:
    """InputError where the run's folder can no longer be written, whichever of its files it was."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"cannot be written: {reason(error)}; {kept(run)}", path=run) from error


def _check_unchanged(task: Task) -> None:
    """InputError if another process trained in the folder while this one loaded its networks."""
    if task.state is None:
        check_folder(task.run, task.overwrite)
    elif find_state(task.run) != task.state:
        raise InputError("another process has trained here in the meantime; resume again", path=task.run)


def _train(task: Task, recorder: Recorder, workers: int, stop: StopRequest) -> None:
    config, trainer = task.config, recorder.trainer
    stream = micro_batches(
        task.source,
        task.networks.base,
        config,
        trainer.step,
        workers=workers,
        skip=recorder.log.skip,
        cache=task.cache,
    )

    def is_pause(step: int) -> bool:
        """Whether something is done with the weights after this step."""
        saves = any(due(every, step) for every in (config.save_every, config.preview_every))
        return bool(stop) or saves or unlocks_after(config, step)

    with contextlib.closing(stream):
        for result in recorder.checked(steps(trainer, stream, recorder.smoothed, is_pause)):
            recorder.add(result)
            if trainer.step > result.step:
                continue
            if unlocks_after(config, result.step):
                recorder.unlock()
            last = result.step == config.steps or bool(stop)
            if last or due(config.save_every, result.step):
                recorder.save()
            if not stop and config.preview_every and (last or due(config.preview_every, result.step)):
                recorder.preview()
            if stop:
                return


def unlocks_after(config: TrainConfig, step: int) -> bool:
    """Whether this is the last step before the base is trained too."""
    return config.unlocked_at(step) != config.unlocked_at(step - 1)


def due(every: int, step: int) -> bool:
    """Whether something that is done every so many steps is done after this one; 0: never."""
    return every > 0 and step % every == 0
