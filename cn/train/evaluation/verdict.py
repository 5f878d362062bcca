"""Whether a run has converged, said in words and numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cn.eval.change_point import Change, enough_images, find_change
from cn.train.config import TrainConfig
from cn.train.evaluation.plan import Schedule
from cn.train.evaluation.records import Evaluation


@dataclass(frozen=True)
class Verdict:
    """What the evaluations of a run say together, `first` without control and `last` being the newest.

    `change` is the most likely change; `converged_at` is its step where it is not chance. As long as the scores rise,
    later evaluations may move it.
    """

    first: Evaluation
    last: Evaluation
    change: Change
    converged_at: int | None
    enough: bool
    """Whether so many images were evaluated that chance can be excluded at all."""

    @property
    def confidence(self) -> float:
        """1 - p: that a change as clear as this is not chance."""
        return 1 - self.change.p_value

    @property
    def figures(self) -> str:
        """ "edge F1 0.41, without control 0.26"."""
        return f"{self.last.measure} {self.last.mean:.3g}, without control {self.first.mean:.3g}"

    def text(self) -> str:
        """What came out: "converged at step 120, where the score changed most (p = 0.001); at step 300 edge F1 …"."""
        chance = f"p {p_text(self.change.p_value)}"
        if self.converged_at is not None:
            now = f"at step {self.last.step:,} {self.figures}"
            return f"converged at step {self.converged_at:,}, where the score changed most ({chance}); {now}"
        if not self.enough:
            return f"{self.figures}; {len(self.last.agreement)} images are too few to tell that from chance"
        return f"not converged yet: the score is that of no control ({self.figures}; {chance})"

    def news(self) -> str:
        """The message of the evaluation at which the convergence is found."""
        chance = f"p {p_text(self.change.p_value)}"
        return f"the images begin to follow their conditions at step {self.converged_at:,} ({chance}): {self.figures}"


def verdict(evaluations: Sequence[Evaluation], config: TrainConfig) -> Verdict | None:
    """What evaluations say, the first of them without control; None before there is one with it.

    Each evaluation of a run is a test that may be wrong, so it matters how many the configured run has.
    """
    if len(evaluations) < 2 or math.isnan(evaluations[0].mean) or math.isnan(evaluations[-1].mean):
        return None
    first, last = evaluations[0], evaluations[-1]
    schedule = Schedule(config.eval_every, config.eval_images)
    planned = max(schedule.points(config.steps), len(evaluations) - 1)
    change = find_change(first.gain_sign * np.stack([one.agreement for one in evaluations]))
    found = change.is_found(planned)
    at = evaluations[change.index].step if found else None
    return Verdict(first, last, change, at, len(first.agreement) >= enough_images(planned))


def p_text(p_value: float) -> str:
    """ "= 0.012", "< 0.001"."""
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.2g}"
