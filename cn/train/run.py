"""A whole training run: planned, trained, kept in its folder.

task = prepare(given, out=folder)           # cn.train.task: a new run, or resume=folder
rows = plan(task)                           # what will happen; nothing is written yet
result = train(task)
"""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cn.errors import InputError
from cn.files import make_folder, reason
from cn.parallel import available_cpus
from cn.train.config import CONFIG_FILE
from cn.train.divergence import WINDOW, DivergedError, LossMonitor, trained_norm
from cn.train.latent_batches import micro_batches
from cn.train.lock import run_lock
from cn.train.loop import Listener, SilentListener, StepResult, make_scaler, steps
from cn.train.networks import make_optimizer
from cn.train.plan import check_space, plan_rows
from cn.train.preview import BEFORE, Preview
from cn.train.request import check_folder
from cn.train.run_folder import (
    BASE,
    CONTROL,
    Metrics,
    find_state,
    keep_only,
    kept,
    link_results,
    sweep_run,
    withdraw,
)
from cn.train.state import load_optimizer, save_state
from cn.train.stop import StopRequest, stop_requests
from cn.train.task import Task
from cn.train.warning_log import WARNINGS, WarningLog, shortened

METRICS = "metrics.jsonl"


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
        recorder = _Recorder(task, listener, stop)
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


def _train(task: Task, recorder: "_Recorder", workers: int, stop: StopRequest) -> None:
    config = task.config
    stream = micro_batches(
        task.source,
        task.networks.base,
        config,
        recorder.step,
        workers=workers,
        skip=recorder.log.skip,
        cache=task.cache,
    )
    with contextlib.closing(stream):
        state = recorder.optimizer, recorder.scaler
        results = steps(task.networks, *state, config, stream, recorder.step, recorder.smoothed)
        for result in recorder.checked(results):
            recorder.add(result)
            last = result.step == config.steps or bool(stop)
            if last or result.step % config.save_every == 0:
                recorder.save()
            if not stop and config.preview_every and (last or result.step % config.preview_every == 0):
                recorder.preview()
            if stop:
                return


class _Recorder:
    """Writes a run's folder during training: state, metrics and previews."""

    def __init__(self, task: Task, listener: Listener, stop: StopRequest):
        self.task, self.listener, self.stop = task, listener, stop
        self.optimizer = make_optimizer(task.networks, task.config.lr)
        self.scaler = make_scaler(task.networks)
        self.step, self.smoothed = task.step, task.state.loss if task.state is not None else None
        self.state = task.state
        self.start_norm = task.state.start_norm if task.state is not None else None
        self.losses = LossMonitor(task.state.start_loss if task.state is not None else None)
        self._preview: Preview | None = None

    def open(self) -> None:
        """Create a new run's folder with its first state, or return a resumed one to its last."""
        task = self.task
        sweep_run(task.run)
        self.start_norm = self.start_norm or trained_norm(task.networks)
        if task.state is None:
            _clear(task.run)
            task.config.save(task.run)
            self.save()
        else:
            load_optimizer(task.state, task.networks, self.optimizer)
            if task.state.scaler:
                self.scaler.load_state_dict(dict(task.state.scaler))
            task.config.save(task.run)
            link_results(task.run, task.state.folder)
        self.metrics = Metrics(task.run / METRICS, self.step)
        self.log = WarningLog(task.run, self.listener.warn)
        for message in task.findings.broken:
            self.log.skip(message)
        for message in task.findings.warnings:
            self.log.warn(message)
        if self.step == 0 < task.config.steps and task.config.preview_every:
            self.preview()

    def checked(self, results: Iterator[StepResult]) -> Iterator[StepResult]:
        """The same steps. Weights that were saved shortly before the run diverges are bad: the state before is kept.

        Raises InputError, saying what is kept.
        """
        try:
            for result in results:
                self.losses.add(result.loss, result.step)
                if self.state is not None and result.step >= self.state.step + WINDOW:
                    keep_only(self.state)
                yield result
        except DivergedError as error:
            if self.state is not None and self.state.step > error.since:
                withdraw(self.task.run, self.state)
            raise self.diverged(error) from error

    def diverged(self, error: DivergedError) -> InputError:
        """The error to end with: what is kept, and what to do."""
        other = "" if self.task.config.precision == "fp32" else ", or start again with --precision fp32"
        return InputError(f"{error.what}; {kept(self.task.run)}: resume with a lower --lr{other}", path=self.task.run)

    def add(self, result: StepResult) -> None:
        """Record a finished step."""
        self.step, self.smoothed = result.step, result.smoothed
        self.metrics.append(
            {
                "step": result.step,
                "loss": result.loss,
                "smoothed": result.smoothed,
                "grad_norm": result.grad_norm,
                "lr": self.task.config.lr,
                "seconds": round(result.seconds, 4),
            }
        )
        self.listener.step(result)

    def save(self) -> None:
        """Save the state after the last finished step."""
        numbers = {"step": self.step, "loss": self.smoothed, "scaler": self.scaler.state_dict()}
        numbers |= {"start_norm": self.start_norm, "start_loss": self.losses.first}
        if self.state is not None:
            keep_only(self.state)  # Two states at most are on the disk.
        try:
            self.state = save_state(self.task.run, self.task.networks, self.optimizer, self.task.config, numbers)
        except DivergedError as error:
            raise self.diverged(error) from error
        if self.step == self.task.config.steps or self.stop:
            # No step follows that could show anything.
            keep_only(self.state)

    def preview(self) -> None:
        """Sample and write a preview; abandoned after a stop request."""
        self._preview = self._preview or Preview.of(self.task.source, self.task.config)
        sampled = self._preview.sample(self.task.networks, self.task.config, self.stop)
        if sampled is not None:
            self.listener.note(f"preview: {self._preview.save(self.task.run, sampled, self.step)}")


def _clear(run: Path) -> None:
    """Remove what an earlier run wrote into its folder, and nothing else."""
    for name in (CONFIG_FILE, CONTROL, BASE, BEFORE, METRICS, WARNINGS):
        (run / name).unlink(missing_ok=True)
    for name in ("state", "previews"):
        shutil.rmtree(run / name, ignore_errors=True)
