"""What evaluations say as numbers: means, intervals, the best one, and whether a run has converged."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from cn.train.config import TrainConfig
from cn.train.evaluation.records import EVALUATIONS, Evaluation, best_of, read_evaluations, student_95
from cn.train.evaluation.verdict import verdict
from tests.helpers.evaluations import evaluation

CONFIG = TrainConfig(
    cond="depth", base="base", base_sha256="", size=64, steps=50, lr=1e-3, eval_every=10, eval_images=8
)


def series(means: dict[int, float], **changed: object) -> list[Evaluation]:
    """The first is without control."""
    return [replace(evaluation(step, mean, step > 0, images=8), **changed) for step, mean in means.items()]


def test_quantiles_of_student_are_those_of_scipy():
    for freedom in range(3, 40):
        assert student_95(freedom) == pytest.approx(student.ppf(0.975, freedom), rel=5e-3)
    assert student_95(100_000) == pytest.approx(1.96, abs=1e-3)


def test_the_interval_is_that_of_a_mean():
    one = evaluation(1, 0.5, images=8)
    scores = np.array([0.1, 0.4, 0.3, 0.8, 0.5, 0.2, 0.6, math.nan])
    one.agreement[np.arange(8), np.arange(8)] = scores
    low, high = student.interval(0.95, 6, scores[:7].mean(), scores[:7].std(ddof=1) / math.sqrt(7))
    assert one.mean == pytest.approx(scores[:7].mean())
    assert (one.mean - one.margin, one.mean + one.margin) == (
        pytest.approx(low, rel=1e-2),
        pytest.approx(high, rel=1e-2),
    )
    assert one.text() == f"edge F1 with the image {one.mean:.3g} ± {one.margin:.2g}"


def test_the_best_is_the_earliest_of_equal_ones_and_where_lower_is_better_the_lowest():
    higher = series({0: 0.9, 10: 0.3, 20: 0.6, 30: 0.6, 40: 0.5})
    assert best_of(higher).step == 20
    lower = series({0: 0.1, 10: 0.3, 20: 0.25, 30: 0.25, 40: 0.5}, better="lower")
    assert best_of(lower).step == 20
    assert lower[2].is_better_than(lower[1])
    assert not lower[3].is_better_than(lower[2])
    undefined = evaluation(5, math.nan)
    assert best_of([undefined]) is None
    assert higher[1].is_better_than(undefined)
    assert not undefined.is_better_than(higher[1])


@pytest.mark.parametrize(
    ("means", "better", "at"),
    [
        ({0: 0.2, 10: 0.2, 20: 0.21, 30: 0.5, 40: 0.5}, "higher", 30),
        ({0: 0.6, 10: 0.6, 20: 0.61, 30: 0.3, 40: 0.3}, "lower", 30),
        ({0: 0.6, 10: 0.6, 20: 0.61, 30: 0.3, 40: 0.3}, "higher", None),
        ({0: 0.2, 10: 0.2, 20: 0.2, 30: 0.2}, "higher", None),
    ],
)
def test_whether_and_when_a_run_has_converged(means, better, at):
    found = verdict(series(means, better=better), CONFIG)
    assert found.converged_at == at
    assert found.text().startswith(f"converged at step {at}" if at else "not converged yet")
    assert (found.confidence > 0.99) == (at is not None)


def test_there_is_no_verdict_before_there_are_two_or_where_no_score_is_defined():
    assert verdict([], CONFIG) is None
    assert verdict(series({0: 0.2}), CONFIG) is None
    assert verdict(series({0: math.nan, 10: 0.3}), CONFIG) is None


def test_a_file_gives_back_what_was_written(tmp_path):
    """Lines that are not whole, or not evaluations, are left out; what is not comparable any more is before the last
    evaluation without control."""
    written = series({0: 0.2, 10: 0.3, 20: 0.4})
    written[2].agreement[3, 2] = math.nan
    anew = [evaluation(20, 0.1, False, images=5), evaluation(30, 0.2, images=5)]
    lines = [json.dumps(one.record()) for one in written]
    (tmp_path / EVALUATIONS).write_text("\n".join([*lines[:2], "[1]", '{"step": 3}', lines[2], '{"step": 4, "wi']))
    read = read_evaluations(tmp_path)
    assert [one.step for one in read] == [0, 10, 20]
    for one, other in zip(read, written, strict=True):
        np.testing.assert_allclose(one.agreement, other.agreement, atol=1e-5)
        assert replace(one, agreement=other.agreement) == other
    with (tmp_path / EVALUATIONS).open("a") as file:
        file.write("\n" + "\n".join(json.dumps(one.record()) for one in anew))
    assert [(one.step, len(one.agreement)) for one in read_evaluations(tmp_path)] == [(20, 5), (30, 5)]
    assert read_evaluations(tmp_path / "none") == []
