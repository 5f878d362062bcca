"""curves.png: what is drawn, from the run's files alone."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from cn import images
from cn.train.config import TrainConfig
from cn.train.curves import draw_curves, figure_of
from cn.train.evaluation.records import EVALUATIONS
from tests.helpers.evaluations import evaluation
from tests.helpers.training import Listener, begin, train

STEPS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a run that was killed after step 60 of 100, in the middle of a line; its score jumps at step 40."""
    given = {"cond": "depth", "base": "base", "base_sha256": "", "size": 64, "steps": 100, "lr": 1e-3}
    TrainConfig(**given, accumulate=2, eval_every=10, eval_images=8).save(tmp_path)
    lines = [
        json.dumps({"step": n, "loss": 0.3 + 0.1 * (n % 7 == 0), "smoothed": 0.31, "grad_norm": 1.0, "lr": 1e-5 * n})
        for n in range(1, STEPS + 1)
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 61, "lo']))
    means = {0: 0.2, 10: 0.2, 20: 0.21, 30: 0.2, 40: 0.5, 50: 0.55, 60: 0.52}
    records = [evaluation(step, mean, step > 0, images=8).record() for step, mean in means.items()]
    (tmp_path / EVALUATIONS).write_text("".join(json.dumps(record) + "\n" for record in records))
    return tmp_path


def test_loss_score_and_learning_rate_over_optimizer_steps(folder):
    loss, score, rate = figure_of(folder).axes
    assert rate.get_xlabel() == "optimizer steps (8 images each: 2 micro-batches of 4)"
    assert [axes.get_ylabel() for axes in (loss, score, rate)] == ["loss", "edge F1 with the image", "learning rate"]
    each, smoothed = loss.lines[:2]
    assert list(each.get_xdata()) == list(range(1, STEPS + 1))
    assert set(smoothed.get_ydata()) == {0.31}
    assert rate.lines[0].get_ydata()[-1] == pytest.approx(6e-4)


def test_the_score_has_its_zero_line_its_interval_its_best_and_the_change(folder):
    score = figure_of(folder).axes[1]
    labels = score.get_legend_handles_labels()[1]
    assert labels[0] == "without control: 0.2"
    assert "best: 0.55 at step 50" in labels
    zero, curve = score.lines[:2]
    assert set(zero.get_ydata()) == {0.2}
    assert list(curve.get_xdata()) == [0, 10, 20, 30, 40, 50, 60]
    assert score.get_title(loc="left") == "on 5 pairs of the training data: converged at step 40 (p < 0.001)"
    assert any(list(line.get_xdata()) == [40, 40] for line in score.lines)


def test_the_file_is_an_image_of_an_interrupted_run(folder):
    drawn = images.read(draw_curves(folder))
    assert drawn.shape[1] == 990
    assert np.ptp(drawn) == 255


def test_a_constant_rate_and_no_evaluations_leave_the_loss_alone(folder):
    (folder / EVALUATIONS).unlink()
    lines = [json.dumps({"step": n, "loss": 0.3, "smoothed": 0.3, "lr": 1e-3}) for n in range(1, 5)]
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    assert [axes.get_ylabel() for axes in figure_of(folder).axes] == ["loss"]
    (folder / "metrics.jsonl").unlink()
    assert draw_curves(folder).exists()


def test_a_run_draws_its_curves_and_says_once_where_matplotlib_is_missing(
    tmp_path, tiny_base_file, pair_set, monkeypatch
):
    given = {"steps": 12, "eval_every": 6, "eval_images": 2, "batch_size": 1}
    train(begin(tmp_path / "run", tiny_base_file, pair_set, **given))
    assert (tmp_path / "run/curves.png").exists()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    listener = Listener()
    train(begin(tmp_path / "without", tiny_base_file, pair_set, **given), listener)
    assert not (tmp_path / "without/curves.png").exists()
    assert len([note for note in listener.notes if "controlnet-cn[plots]" in note]) == 1
