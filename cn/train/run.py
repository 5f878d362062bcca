"""A whole training run: planned, trained, kept in its folder.

task = prepare(given, out=folder)           # cn.train.task: a new run, or resume=folder
rows = plan(task)                           # what will happen; nothing is written yet
result = train(task)
"""

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cn.errors import CnError, ExitCode, InputError, StoppedError
from cn.files import make_folder, reason
from cn.train.config import TrainConfig
from cn.train.determinism import deterministic
from cn.train.distributed.agreement import BrokenPairs, agreed_batches
from cn.train.distributed.compare import check_same
from cn.train.distributed.global_batch import plan_row
from cn.train.distributed.rescue import rescued
from cn.train.distributed.sharded import is_sharded
from cn.train.divergence import DivergedError
from cn.train.latent_batches import LatentBatch, cache_bytes, default_workers, micro_batches
from cn.train.listener import Listener, SilentListener
from cn.train.lock import run_lock
from cn.train.loop import steps
from cn.train.plan import check_space, plan_rows
from cn.train.recorder import Recorder
from cn.train.request import check_folder
from cn.train.run_folder import CONTROL, find_state, kept
from cn.train.stop import StopRequest, TimeLimit, stop_requests
from cn.train.task import Task, reopen
from cn.train.warning_log import shortened


@dataclass(frozen=True)
class Result:
    """What a run wrote: the control's file, the number of its steps, and what was left out.

    `stopped` says how to go on, where the run saved and stopped before its last step without an error.
    """

    control: Path
    step: int
    skipped: int = 0
    """Broken pairs that were left out."""
    scores: Mapping[str, Any] = field(default_factory=dict)
    """What the evaluations say, as `summary.json` does; empty without any."""
    stopped: str = ""


def plan(task: Task) -> dict[str, str | None]:
    """What the run will do, as name → value rows."""
    broken = len(task.findings.broken)
    local = task.world.is_local and not is_sharded(task.config, task.world, task.step)
    rows = plan_rows(
        task.run,
        task.networks,
        task.config,
        task.source,
        step=task.step,
        broken=broken,
        cache=task.cache,
        local=local,
    )
    processes = plan_row(task.config, task.world, task.step)
    return rows | {"fits": task.fits, "processes": processes, "evaluation": task.evaluations.text()}


def warnings(task: Task) -> list[str]:
    """What is wrong with the data, for a dry run; `train` shows it itself."""
    return [*shortened(task.findings.broken), *task.findings.warnings]


def train(
    task: Task,
    *,
    workers: int | None = None,
    listener: Listener | None = None,
    started: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Train to the configured number of steps, with saves and previews at their intervals.

    `workers` processes render or read images ahead (default: 2 for a CPU, up to 12 for a GPU; the result does not
    depend on it). After a signal (`cn.train.stop`), or `config.max_hours` after the time `started` of the `clock`
    (default: now), the current step is finished and saved; StoppedError says how to resume, or the result does where
    that is no failure.

    A run that diverges is rolled back once, and goes on at a lower learning rate. Raises InputError when it diverges
    again, when the folder cannot be written (a full disk), when the data has vanished, and while another process trains
    there; the last good state is kept.
    """
    run, config, world = task.run, task.config, task.world
    workers = default_workers(task.networks.device, world.local_size) if workers is None else workers
    if listener is None or not world.is_main:
        listener = SilentListener()
    limit = TimeLimit(config.max_hours, clock() if started is None else started, clock)
    if world.is_main:
        check_space(run, task.networks, config)
    with (
        stop_requests(limit) as stop,
        world.together(),
        _writing(run),
        run_lock(make_folder(run), listener.warn) if world.is_main else contextlib.nullcontext(),
        deterministic(config.deterministic),
    ):
        if world.is_main:
            _check_unchanged(task)
        check_same(task, world)
        while True:
            recorder = Recorder(task, listener, stop, world)
            with contextlib.closing(recorder.progress), rescued(run, recorder, world):
                if _trained(task, recorder, workers, stop):
                    break
            task = _opened_anew(task)
        result = Result(run / CONTROL, recorder.step, len(recorder.log.skipped), recorder.progress.summary())
        if recorder.step >= config.steps:
            return result
        how = f"stopped after step {recorder.step}; continue with: cn train --resume {run}"
        return _stopped(replace(result, stopped=how), stop.exit_code(world))


def _trained(task: Task, recorder: Recorder, workers: int, stop: StopRequest) -> bool:
    """Train to the last step, or to a stop; False where the run went back to when less was trained."""
    recorder.open()
    while recorder.step < task.config.steps and not stop.agree(task.world):
        try:
            _train(task, recorder, workers, stop)
        except DivergedError as error:
            if not recorder.roll_back(error):
                return False
        except _NoDataError as failure:
            raise _without_data(recorder, failure.reason) from failure
    if task.world.is_main:
        recorder.progress.finish()
    return True


def _opened_anew(task: Task) -> Task:
    """The run as its folder has it; the networks give back their memory first, because callers hold the task."""
    device = task.networks.device
    for network in (task.networks.control, *task.networks.base.networks.values()):
        network.to("meta")
    return reopen(task.run, {}, device, world=task.world, ours=True)


class _NoDataError(Exception):
    """The data of a run cannot be read any more."""

    def __init__(self, reason: CnError):
        super().__init__(reason)
        self.reason = reason


def _read(batches: Iterator[LatentBatch]) -> Generator[LatentBatch, None, None]:
    """The same batches; what they raise becomes a _NoDataError."""
    try:
        yield from batches
    except CnError as error:
        raise _NoDataError(error) from error


def _without_data(recorder: Recorder, reason: CnError) -> CnError:
    """The error to end with when a folder has vanished, or a worker has died; what was computed so far is saved."""
    if recorder.trainer.step == recorder.step and recorder.world.size == 1:
        with contextlib.suppress(DivergedError):
            recorder.save()
    reason.what += f"; {kept(recorder.run)}: continue with cn train --resume {recorder.run}"
    return reason


def _stopped(result: Result, code: ExitCode) -> Result:
    """The result of a run that stopped early; raises StoppedError where that is its exit code."""
    if code is ExitCode.OK:
        return result
    error = StoppedError(result.stopped)
    error.exit_code = code
    raise error


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
    config, trainer, world = task.config, recorder.trainer, task.world
    pairs = BrokenPairs(world, recorder.log.skip)
    kept = task.source.count if cache_bytes(task.source, task.networks.base, config) else None
    batches = micro_batches(
        task.source,
        task.networks.base,
        config,
        trainer.step,
        workers=workers,
        skip=pairs.skip,
        cache=task.cache,
        per_step=config.accumulate * world.size,
        world=world,
        encode=trainer.encode(kept),
    )

    def is_pause(step: int) -> bool:
        """Whether something is done with the weights after this step."""
        intervals = (config.save_every, config.preview_every, config.eval_every)
        return stop.agree(world) or any(due(every, step) for every in intervals) or unlocks_after(config, step)

    with contextlib.closing(_read(batches)) as stream:
        shared = agreed_batches(stream, config.accumulate, world, pairs)
        for result in recorder.checked(steps(trainer, shared, recorder.position.smoothed, is_pause)):
            recorder.add(result)
            if trainer.step > result.step:
                continue
            if unlocks_after(config, result.step):
                recorder.unlock()
            last = result.step == config.steps
            stopping = stop.agree(world) and not last
            if last or stopping or due(config.save_every, result.step):
                recorder.save()
            if not stopping:
                recorder.evaluate()
                stopping = stop.agree(recorder.world) and not last
            if not stopping and recorder.preview_is_due(result.step):
                recorder.preview()
                stopping = stop.agree(world)
            if stopping:
                recorder.save()
                return


def unlocks_after(config: TrainConfig, step: int) -> bool:
    """Whether this is the last step before the base is trained too."""
    return config.unlocked_at(step) != config.unlocked_at(step - 1)


def due(every: int, step: int) -> bool:
    """Whether something that is done every so many steps is done after this one; 0: never."""
    return every > 0 and step % every == 0
