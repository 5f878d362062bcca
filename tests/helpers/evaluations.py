"""Evaluations with given scores."""

import numpy as np
import pytest

from cn.eval.change_point import GROUP
from cn.train.evaluation.evaluate import Evaluator
from cn.train.evaluation.records import Evaluation


def evaluation(step: int, mean: float, with_control: bool = True, images: int = 5) -> Evaluation:
    """Up to 8 images that agree with their own conditions by `mean`, and with others a little."""
    rng = np.random.default_rng((step, with_control))
    agreement = 0.1 + rng.normal(0, 0.01, (images, GROUP))
    agreement[:, images:] = np.nan
    agreement[np.arange(images), np.arange(images)] = mean
    return Evaluation(step, with_control, "edge F1 with the image", "higher", "5 pairs of the training data", agreement)


def scripted(monkeypatch: pytest.MonkeyPatch, means: dict[int, float], zero: float = 0.2, images: int = 5) -> None:
    """Evaluations of a run have these mean scores by step."""

    def evaluate(self, step, *, with_control=True, stop=lambda: False):
        return evaluation(step, means[step] if with_control else zero, with_control, images)

    monkeypatch.setattr(Evaluator, "evaluate", evaluate)
