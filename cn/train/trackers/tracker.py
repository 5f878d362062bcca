"""What every tracker does, and the names under which it has the numbers of a run."""

import re
from pathlib import Path
from typing import Protocol

from cn.train.evaluation.records import Evaluation
from cn.train.trainer import StepResult


class Tracker(Protocol):
    """Gets what a run writes into its folder, as it comes. Its numbers were read from the device already."""

    def step(self, result: StepResult, images: int) -> None:
        """A finished step over so many images."""

    def evaluation(self, evaluation: Evaluation) -> None:
        """The scores of sampled images."""

    def preview(self, sheet: Path, step: int) -> None:
        """A sheet of preview images, in a file."""

    def rewind(self, step: int) -> None:
        """What came after this step is computed again."""

    def close(self) -> None:
        """Write what is left."""


def step_scalars(result: StepResult, images: int) -> dict[str, float]:
    """The numbers of a step by name."""
    scalars = {
        "train/loss": result.loss,
        "train/loss_smoothed": result.smoothed,
        "train/grad_norm": result.grad_norm,
        "train/learning_rate": result.lr,
        "speed/seconds_per_step": result.seconds,
    }
    return scalars | ({"speed/images_per_second": images / result.seconds} if result.seconds > 0 else {})


def evaluation_scalars(evaluation: Evaluation) -> dict[str, float]:
    """The mean score by name: "evaluation/edge_f1", and "evaluation/edge_f1_without_control"."""
    name = re.sub(r"\W+", "_", evaluation.measure).strip("_").lower()
    return {f"evaluation/{name}" + ("" if evaluation.with_control else "_without_control"): evaluation.mean}
