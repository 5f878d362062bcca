"""How a run is going: evaluations, the best weights, curves, trackers."""

import json
import time
from pathlib import Path
from typing import Any

from cn import options
from cn.files import write_atomic
from cn.train import curves
from cn.train.evaluation.best import BEST, find_best, keep_best
from cn.train.evaluation.records import EVALUATIONS, Evaluation, best_of, read_evaluations
from cn.train.evaluation.verdict import Verdict, verdict
from cn.train.listener import Listener
from cn.train.metrics import Metrics
from cn.train.stop import StopRequest
from cn.train.task import Task
from cn.train.trackers.tensorboard import EVENTS, TensorBoard
from cn.train.trackers.tracker import Tracker
from cn.train.trackers.weights_and_biases import FOLDER as WANDB
from cn.train.trackers.weights_and_biases import RUN_ID, WeightsAndBiases
from cn.train.trainer import StepResult

SUMMARY = "summary.json"
WRITTEN = (EVALUATIONS, SUMMARY, curves.CURVES, BEST, EVENTS, WANDB, RUN_ID)
"""What is written into a run's folder here."""
_MIN_STEPS = 10
"""Fewer make no curve."""
_DRAWING_SHARE = 0.02
"""Of the time of a run, to draw its curves at most; the last ones are always drawn."""


class Progress:
    """Of the process that writes the run's folder."""

    def __init__(self, task: Task, listener: Listener, stop: StopRequest):
        self.task, self.run, self.config = task, task.run, task.config
        self.listener, self.stop = listener, stop
        self.evaluator = task.evaluations.evaluator
        self.evaluations: list[Evaluation] = []
        self.trackers: list[Tracker] = []
        self._log = Metrics(self.run / EVALUATIONS)
        self._step, self._said, self._draws, self._draws_from = task.step, False, True, 0.0

    def open(self, step: int) -> None:
        """Go on after `step` steps, which the folder's files are cut back to; before the first one, the images without
        control are evaluated."""
        self.trim(step)
        self._open_trackers(step)
        if self.evaluator is None or step >= self.config.steps:
            return
        for warning in self.evaluator.warnings:
            self.listener.warn(warning)
        last = self.evaluations[-1] if self.evaluations else None
        if last is None or not self.evaluator.continues(last):
            first = self._evaluate(step, with_control=False)
            if first is not None:
                self.listener.note(f"without control: {first.text()}, on {first.on}")

    def trim(self, step: int) -> None:
        """Forget what was found after this step: it is found again."""
        self._log.trim(step)
        self.evaluations = read_evaluations(self.run)
        found = self.verdict()
        self._said = found is not None and found.converged_at is not None
        for tracker in self.trackers:
            tracker.rewind(step)

    def add(self, result: StepResult) -> None:
        """A finished step."""
        self._step = result.step
        images = self.config.global_batch or self.config.batch_size * self.config.accumulate
        for tracker in self.trackers:
            tracker.step(result, images)

    def is_due(self, step: int) -> bool:
        """Whether an evaluation belongs after this step, and is not done."""
        if self.evaluator is None or not self.evaluations or self.stop:
            return False
        if self.evaluations[-1].with_control and self.evaluations[-1].step == step:
            return False
        # A control that does not start with zeros changes images before its first step.
        starts = step == 0 and (bool(self.config.init_from) or self.config.zero_init != "zero")
        return starts or step == self.config.steps or (step > 0 and step % self.config.eval_every == 0)

    def evaluate(self, step: int) -> bool:
        """Evaluate the weights after `step` steps. True if they are the best so far: then `keep_best` is wanted."""
        evaluation = self._evaluate(step, with_control=True)
        if evaluation is None:
            return False
        zero = self.evaluations[0]
        self.listener.evaluated(evaluation)
        self.listener.note(f"step {step:,}: {evaluation.text()} (no control {zero.mean:.3g})")
        found = self.verdict()
        if found is not None and found.converged_at is not None and not self._said:
            self._said = True
            self.listener.note(found.news())
        if time.monotonic() >= self._draws_from:
            self.draw()
        return self.is_best(step)

    def is_best(self, step: int) -> bool:
        """Whether the weights after `step` steps were evaluated, and are better than those that are kept as the best.

        A run may have been killed in between.
        """
        last = self.evaluations[-1] if self.evaluations else None
        if last is None or not last.with_control or last.step != step:
            return False
        best = find_best(self.run)
        return best is None or not best.comparable(last) or last.is_better_than(best)

    def keep_best(self) -> None:
        """Keep the run's weights, which were saved after the last evaluation's step, as the best ones."""
        keep_best(self.run, self.evaluations[-1])

    def preview(self, sheet: Path, step: int) -> None:
        """A preview that was written."""
        for tracker in self.trackers:
            tracker.preview(sheet, step)

    def finish(self) -> None:
        """Draw what came out of a session, also of one that was stopped, and say it where there was something to do.

        Drawn is also a finished run: it may have been killed before that.
        """
        self.draw()
        self._write_summary()
        if self._step == self.task.step:
            return
        found, best = self.verdict(), find_best(self.run)
        if found is not None:
            self.listener.note(found.text())
        if best is not None:
            self.listener.note(f"best: {best.text()} after step {best.step:,}: {self.run / BEST}")

    def close(self) -> None:
        """Close the trackers, however the session ends."""
        for tracker in self.trackers:
            tracker.close()

    def verdict(self) -> Verdict | None:
        """What the evaluations say so far."""
        return verdict(self.evaluations, self.config)

    def summary(self) -> dict[str, Any]:
        """What the evaluations say, for programs; empty before there are two."""
        found = self.verdict()
        if found is None:
            return {}
        record = {
            "measure": found.last.measure,
            "score": round(found.last.mean, 4),
            "score_without_control": round(found.first.mean, 4),
            "converged_at": found.converged_at,
            "confidence": round(found.confidence, 4),
        }
        best = best_of(self.evaluations)
        return record if best is None else record | {"best_step": best.step, "best_score": round(best.mean, 4)}

    def _write_summary(self) -> None:
        if record := self.summary():
            write_atomic(self.run / SUMMARY, (json.dumps(record, indent=1) + "\n").encode(), durable=False)

    def draw(self) -> None:
        """Draw the curves anew. Not soon again if that takes long: on a GPU, steps of a small base take less time."""
        start = time.monotonic()
        try:
            if self._draws and self._step >= _MIN_STEPS:
                curves.draw_curves(self.run)
        except ImportError:
            self._draws = False
            self.listener.note(curves.MISSING)
        now = time.monotonic()
        self._draws_from = now + (now - start) / _DRAWING_SHARE

    def _evaluate(self, step: int, *, with_control: bool) -> Evaluation | None:
        """A recorded evaluation; None after a stop request."""
        assert self.evaluator is not None
        evaluation = self.evaluator.evaluate(step, with_control=with_control, stop=lambda: bool(self.stop))
        if evaluation is None:
            return None
        self._log.append(evaluation.record())
        self.evaluations = [*self.evaluations, evaluation] if with_control else [evaluation]
        self._write_summary()
        for tracker in self.trackers:
            tracker.evaluation(evaluation)
        return evaluation

    def _open_trackers(self, step: int) -> None:
        if step >= self.config.steps:
            return
        try:
            self.trackers.append(TensorBoard(self.run, step, self.config.steps))
        except ImportError:
            self.listener.note("no TensorBoard events are written: pip install 'controlnet-cn[tensorboard]' for them")
        if self.config.wandb:
            values = options.values(self.config)
            self.trackers.append(WeightsAndBiases(self.run, self.config.wandb, values, self.listener.warn))
