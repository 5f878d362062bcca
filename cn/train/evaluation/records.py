"""What the evaluations of a run found: one line each in `RUN/evaluations.jsonl`."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cn.eval.change_point import GROUP

EVALUATIONS = "evaluations.jsonl"


@dataclass(frozen=True)
class Evaluation:
    """The scores of n sampled images after `step` steps, with the control or without it.

    `agreement` (n, GROUP) holds the score of image i with each condition of its group, as `cn.eval.change_point` wants
    it; its own is in column i % GROUP. NaN where a score is not defined.
    """

    step: int
    with_control: bool
    measure: str
    better: Literal["higher", "lower"]
    on: str
    """The validation set in words: "8 held-out scenes"."""
    agreement: NDArray[np.float64]

    @property
    def scores(self) -> NDArray[np.float64]:
        """(n,): each image with its own condition."""
        images = np.arange(len(self.agreement))
        return self.agreement[images, images % GROUP]

    @property
    def mean(self) -> float:
        """NaN where no score is defined."""
        defined = self.scores[np.isfinite(self.scores)]
        return float(defined.mean()) if defined.size else math.nan

    @property
    def margin(self) -> float:
        """Half of the 95 % interval of the mean over images like these; NaN for fewer than two scores."""
        defined = self.scores[np.isfinite(self.scores)]
        if defined.size < 2:
            return math.nan
        return float(student_95(defined.size - 1) * defined.std(ddof=1) / math.sqrt(defined.size))

    @property
    def gain_sign(self) -> int:
        """1 where higher is better, -1 where lower is."""
        return 1 if self.better == "higher" else -1

    def is_better_than(self, other: "Evaluation") -> bool:
        """Whether its mean is better; an undefined one never is."""
        difference = self.gain_sign * (self.mean - other.mean)
        return difference > 0 or (math.isnan(other.mean) and not math.isnan(self.mean))

    def comparable(self, other: "Evaluation") -> bool:
        """Whether both are scores of the same images by the same measure."""
        return (self.measure, self.on, len(self.agreement)) == (other.measure, other.on, len(other.agreement))

    def text(self) -> str:
        """ "edge F1 0.41 ± 0.05"."""
        margin = "" if math.isnan(self.margin) else f" ± {self.margin:.2g}"
        return f"{self.measure} {self.mean:.3g}{margin}"

    def record(self) -> dict[str, Any]:
        """As a line of the file; undefined numbers are null."""
        return {
            "step": self.step,
            "with_control": self.with_control,
            "measure": self.measure,
            "better": self.better,
            "on": self.on,
            "mean": _number(self.mean),
            "margin": _number(self.margin),
            "agreement": [[_number(score) for score in row] for row in self.agreement.tolist()],
        }

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Evaluation":
        """From a line of the file. Raises KeyError, TypeError or ValueError for another one."""
        agreement = np.array(record["agreement"], np.float64)
        if agreement.ndim != 2 or agreement.shape[1] != GROUP:
            raise ValueError(f"scores of shape {agreement.shape}")
        return cls(
            int(record["step"]),
            bool(record["with_control"]),
            str(record["measure"]),
            "lower" if record["better"] == "lower" else "higher",
            str(record["on"]),
            agreement,
        )


def read_evaluations(run: Path) -> list[Evaluation]:
    """The evaluations of a run that can be compared: from the last one without control on. Incomplete lines are left.

    It starts anew where a resumed run has another measure (a detector's weights that were missing before), say.
    """
    try:
        lines = (run / EVALUATIONS).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found: list[Evaluation] = []
    for line in lines:
        try:
            evaluation = Evaluation.of(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        found = [*([] if not evaluation.with_control else found), evaluation]
    return found if found and not found[0].with_control else []


def best_of(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The best one with the control, of equal ones the earliest; None where no score is defined."""
    defined = [one for one in evaluations if one.with_control and not math.isnan(one.mean)]
    # `max` keeps the first of equal ones.
    return max(defined, key=lambda one: one.gain_sign * one.mean, default=None)


def student_95(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, within 0.5 % from 3 degrees of freedom on (Abramowitz and Stegun 26.7.5).

    SciPy, which has it exactly, is no dependency.
    """
    z = 1.959964
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def _number(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None
