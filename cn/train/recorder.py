"""Writes a run's folder during training: states, metrics, previews."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from cn.errors import InputError
from cn.train.config import CONFIG_FILE
from cn.train.divergence import WINDOW, DivergedError, LossMonitor, trained_norm
from cn.train.listener import Listener
from cn.train.preview import BEFORE, Preview
from cn.train.run_folder import (
    BASE,
    CONTROL,
    Metrics,
    keep_only,
    kept,
    link_results,
    sweep_run,
    withdraw,
)
from cn.train.state import load_trainer, save_state
from cn.train.stop import StopRequest
from cn.train.task import Task
from cn.train.trainer import StepResult, Trainer
from cn.train.warning_log import WARNINGS, WarningLog

METRICS = "metrics.jsonl"


class Recorder:
    """Writes a run's folder during training: state, metrics and previews."""

    def __init__(self, task: Task, listener: Listener, stop: StopRequest):
        self.task, self.listener, self.stop = task, listener, stop
        self.trainer = Trainer(task.networks, task.config, task.step)
        self.step, self.smoothed = task.step, task.state.loss if task.state is not None else None
        self.state = task.state
        self.start_norm = task.state.start_norm if task.state is not None else None
        self.losses = LossMonitor(task.state.start_loss if task.state is not None else None)
        self._preview: Preview | None = None

    def open(self) -> None:
        """Create a new run's folder with its first state, or return a resumed one to its last."""
        task = self.task
        sweep_run(task.run)
        if self.start_norm is None or (task.state is not None and task.state.base is None and task.config.trains_base):
            self.start_norm = trained_norm(task.networks)
        if task.state is None:
            _clear(task.run)
            task.config.save(task.run)
            self.save()
        else:
            load_trainer(task.state, self.trainer)
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
                "lr": result.lr,
                "seconds": round(result.seconds, 4),
            }
        )
        self.listener.step(result)

    def unlock(self) -> None:
        """Train the base too after the last finished step (§3.4)."""
        self.trainer.unlock()
        self.start_norm = trained_norm(self.task.networks)
        self.listener.note(f"step {self.step:,}: the base is trained too from now on, and saved")

    def save(self) -> None:
        """Save the state after the last finished step."""
        numbers = {"step": self.step, "loss": self.smoothed, "scaler": self.trainer.scaler.state_dict()}
        numbers |= {"start_norm": self.start_norm, "start_loss": self.losses.first}
        if self.state is not None:
            keep_only(self.state)  # Two states at most are on the disk.
        try:
            self.state = save_state(self.task.run, self.trainer, numbers)
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
