"""The numbers of records by seed, as claims and plots need them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn.eval.report import NONE, RECONSTRUCTION
from tools.paper.journal import Record
from tools.paper.spec import Arm

Numbers = dict[int, float]
"""Seed → number."""


@dataclass(frozen=True)
class Results:
    """All records, by the name of the run."""

    records: Mapping[str, Record]

    def of(self, arm: Arm) -> dict[int, Record]:
        """Seed → record, of the seeds that are done."""
        found = {run.seed: self.records.get(run.name) for run in arm.runs}
        return {seed: record for seed, record in found.items() if record is not None}

    def missing(self, arm: Arm, numbers: Numbers, why: str) -> str:
        """`why` there are no numbers of an arm that has been run; "" where there are, or it has not been."""
        return why if self.of(arm) and not numbers else ""

    def each(self, arm: Arm, number: Callable[[Record], float | None]) -> Numbers:
        """A number of each record; where there is none, the seed is left out."""
        found = {seed: number(record) for seed, record in self.of(arm).items()}
        return {seed: float(n) for seed, n in found.items() if n is not None and math.isfinite(n)}

    def gains(self, arm: Arm, evaluation: str = "final", subject: str = "", zero: str = "") -> Numbers:
        """Normalized scores: 0 as without control, 1 as the reconstructions of the true images; more is better.

        Zero and one are those of the same evaluation, or of `zero` where it has none of its own.
        """
        return self.each(arm, lambda record: _normalized(record, evaluation, subject, zero or evaluation))

    def last_gains(self, arm: Arm) -> Numbers:
        """The normalized scores after the last step, whether an arm was looked at along the way or not."""
        return self.gains(arm, "trajectory") or self.gains(arm)

    def last(self, arm: Arm, field: str) -> Numbers:
        """`field` after the last step, likewise."""
        return self.numbers(arm, field, "trajectory") or self.numbers(arm, field)

    def numbers(self, arm: Arm, field: str, evaluation: str = "final", subject: str = "") -> Numbers:
        """`field` of a subject: score, distance, content, prompt_wins."""
        return self.each(arm, lambda record: _subject(record, evaluation, subject).get(field))

    def training(self, arm: Arm, field: str) -> Numbers:
        """A number that the training says: step_seconds, memory, converged_at …"""
        return self.each(arm, lambda record: record["train"].get(field))

    def curve(self, arm: Arm) -> dict[int, dict[int, float]]:
        """Seed → step → the gain in the evaluations that `cn train` makes itself; step 0 is without control."""
        found = {}
        for seed, record in self.of(arm).items():
            sign, made = _sign(record["train"]), record["train"]["evaluations"]
            if made:
                zero = made[0]["mean"]
                found[seed] = {one["step"]: sign * (one["mean"] - zero) for one in made}
        return found

    def at(self, arm: Arm, step: int) -> Numbers:
        """The gain of `curve` at the last evaluation up to a step."""
        found = {}
        for seed, curve in self.curve(arm).items():
            reached = [done for done in curve if done <= step]
            found[seed] = curve[max(reached)]
        return found

    def trajectory(self, arm: Arm, field: str) -> dict[int, dict[int, float]]:
        """Seed → step → `field` of the images of that saved state; "gain" is the normalized score."""
        found: dict[int, dict[int, float]] = {}
        for seed, record in self.of(arm).items():
            subjects = record["evaluations"].get("trajectory", {}).get("subjects", {})
            for step in (int(name) for name in subjects if name.isdigit()):
                if field == "gain":
                    number = _normalized(record, "trajectory", str(step), "trajectory")
                else:
                    number = subjects[str(step)].get(field)
                if number is not None:
                    found.setdefault(seed, {})[step] = number
        return found

    def excess(self, arm: Arm, unit: float, *, before_convergence: bool) -> Numbers:
        """How much worse images become in training, on average over the saved states after the untrained one.

        Their distance from true images less that of images without control, in units of `unit`: 0 for images as good as
        the base's.
        """
        found = {}
        for seed, record in self.of(arm).items():
            none = _subject(record, "trajectory", NONE).get("distance")
            if none is None:
                continue
            end = record["train"]["converged_at"] if before_convergence else None
            steps = self.trajectory(arm, "distance").get(seed, {})
            chosen = [d for step, d in steps.items() if step and (end is None or step < end)]
            if chosen:
                found[seed] = (float(np.mean(chosen)) - none) / unit
        return found

    def first_harm(self, arm: Arm) -> Numbers:
        """How much farther from true images than those without control the ones of the untrained weights are."""
        none, first = self.numbers(arm, "distance", "trajectory", NONE), self.trajectory(arm, "distance")
        return {seed: first[seed][min(first[seed])] - far for seed, far in none.items() if seed in first}

    def rises(self, arm: Arm) -> Numbers:
        """How sudden the convergence is: see `suddenness`."""
        found = {}
        for seed, curve in self.curve(arm).items():
            steps = np.array(sorted(curve), np.float64)
            if len(steps) >= 4:
                found[seed] = suddenness(steps, np.array([curve[int(step)] for step in steps]))
        return found


def suddenness(steps: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    """The length of the rise over its middle: 0 for a jump, 2 for an even rise from the first step on.

    The scores (n,) are fitted, by least squares, by one level up to a step, another from a later step on and a straight
    line between them. A learning curve 1 - exp(-s / τ) gives about 2 too: below 1 the rise takes less than twice as
    long as what comes before it.
    """
    best, found = math.inf, 2.0
    for i, start in enumerate(steps):
        for end in steps[i:]:
            width = max(float(end - start), 1e-9)
            share = np.clip((steps - start) / width, 0.0, 1.0)
            basis = np.stack([1 - share, share], axis=1)
            levels, *_ = np.linalg.lstsq(basis, scores, rcond=None)
            error = float(((basis @ levels - scores) ** 2).sum())
            if error < best - 1e-12 and start + end > 0:
                best, found = error, 2 * float(end - start) / float(start + end)
    return found


def _subject(record: Record, evaluation: str, subject: str) -> Mapping[str, Any]:
    subjects = record["evaluations"].get(evaluation, {}).get("subjects", {})
    if evaluation == "trajectory" and not subject and subjects:
        # The weights after the last step.
        subject = max((name for name in subjects if name.isdigit()), key=int, default="")
    return subjects.get(subject, {})


def _sign(measured: Mapping[str, Any]) -> float:
    return -1.0 if measured["better"] == "lower" else 1.0


def _normalized(record: Record, evaluation: str, subject: str, ends: str) -> float | None:
    own = _subject(record, evaluation, subject).get("score")
    zero, one = (_subject(record, ends, name).get("score") for name in (NONE, RECONSTRUCTION))
    if own is None or zero is None or one is None:
        return None
    sign = _sign(record["evaluations"][evaluation])
    span = sign * (one - zero)
    return sign * (own - zero) / span if span > 0 else None
