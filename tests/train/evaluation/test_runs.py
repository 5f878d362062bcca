"""Evaluations in a run: when, on what, what is kept of them, and what a kill or a stop leaves."""

import json
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cn import images
from cn.checkpoints.read.load import open_control
from cn.data.scenes import SceneDataset
from cn.data.seeds import EVAL_SEED
from cn.errors import StoppedError, UsageError
from cn.train.evaluation import best as best_module
from cn.train.evaluation.best import find_best
from cn.train.evaluation.evaluate import Evaluator
from cn.train.evaluation.records import read_evaluations
from cn.train.evaluation.validation import FIRST_SCENE
from cn.weights.bundled import find
from tests.conftest import write_pairs
from tests.helpers.evaluations import scripted
from tests.helpers.training import Listener, begin, resume, same, train, weights

GIVEN = {"eval_every": 2, "eval_images": 5}


def table(run: Path) -> list[tuple[int, bool, float]]:
    return [(one.step, one.with_control, round(one.mean, 4)) for one in read_evaluations(run)]


def test_the_condition_is_detected_again_in_sampled_images(tmp_path, tiny_base_file):
    """On held-out scenes, after every two steps and the last; before training they are those of no control."""
    run, listener = tmp_path / "run", Listener()
    task = begin(run, tiny_base_file, "", cond="canny", scenes=4, steps=3, **GIVEN)
    train(task, listener)
    found = read_evaluations(run)
    assert [(one.step, one.with_control) for one in found] == [(0, False), (2, True), (3, True)]
    assert {(one.measure, one.on) for one in found} == {("edge F1", "5 held-out scenes")}
    examples = task.evaluations.evaluator.validation.examples
    held_out = SceneDataset("canny", 64, EVAL_SEED, FIRST_SCENE)
    assert all(np.array_equal(one.target, held_out[i].target) for i, one in enumerate(examples))
    assert listener.notes[0].startswith(f"without control: edge F1 {found[0].mean:.3g} ± ")
    assert f"step 2: {found[1].text()} (no control {found[0].mean:.3g})" in listener.notes
    assert [one.step for one in listener.evaluations] == [2, 3]
    assert np.array_equal(found[2].agreement, task.evaluations.evaluator.evaluate(3).agreement, equal_nan=True)


def test_an_untrained_control_changes_no_score(tmp_path, tiny_base_file):
    """Its zero convolutions give zeros: the zero line is the score before training."""
    evaluator = begin(tmp_path / "run", tiny_base_file, "", cond="canny", steps=3, **GIVEN).evaluations.evaluator
    with_control, without = evaluator.evaluate(0), evaluator.evaluate(0, with_control=False)
    assert np.array_equal(with_control.agreement, without.agreement, equal_nan=True)


def test_a_control_to_start_from_is_evaluated_before_its_first_step(tmp_path, tiny_base_file):
    trained = tmp_path / "trained"
    train(begin(trained, tiny_base_file, "", cond="canny", scenes=4, steps=2, lr=0.02, eval_every=0))
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, "", cond="canny", scenes=4, steps=2, init_from=str(trained), **GIVEN))
    assert [(step, with_control) for step, with_control, _ in table(run)] == [(0, False), (0, True), (2, True)]


def test_a_killed_run_resumes_with_the_same_curve(tmp_path, tiny_base_file, pair_set):
    """Killed after steps 7 and 9, between a save and the evaluation that follows it, and in the middle of a line."""
    given = {"steps": 10, "save_every": 4, "ema": 0.0, **GIVEN}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(begin(whole, tiny_base_file, pair_set, **given))

    def killed_after(step: int) -> Listener:
        def kill(result):
            if result.step == step:
                raise KeyboardInterrupt

        return Listener(kill)

    with pytest.raises(KeyboardInterrupt):
        train(begin(killed, tiny_base_file, pair_set, **given), killed_after(7))
    with pytest.raises(KeyboardInterrupt):
        train(resume(killed), killed_after(9))
    lines = (killed / "evaluations.jsonl").read_bytes().splitlines(keepends=True)
    saved = [line for line in lines if json.loads(line)["step"] < 8]
    (killed / "evaluations.jsonl").write_bytes(b"".join(saved) + b'{"step": 8, "with_c')
    train(resume(killed))
    assert (killed / "evaluations.jsonl").read_bytes() == (whole / "evaluations.jsonl").read_bytes()
    assert [step for step, *_ in table(killed)] == [0, 2, 4, 6, 8, 10]
    assert same(weights(killed), weights(whole))
    assert same(weights(killed / "best"), weights(whole / "best"))


def test_evaluations_do_not_change_what_is_trained(tmp_path, tiny_base_file, pair_set):
    train(begin(tmp_path / "with", tiny_base_file, pair_set, steps=4, **GIVEN))
    train(begin(tmp_path / "without", tiny_base_file, pair_set, steps=4, eval_every=0))
    assert same(weights(tmp_path / "with"), weights(tmp_path / "without"))
    assert not (tmp_path / "without/evaluations.jsonl").exists()


def test_a_stop_abandons_an_evaluation(tmp_path, tiny_base_file, pair_set, monkeypatch):
    run, real = tmp_path / "run", Evaluator.evaluate

    def stopped(self, step, **given):
        if step == 2:
            signal.raise_signal(signal.SIGINT)
        return real(self, step, **given)

    monkeypatch.setattr(Evaluator, "evaluate", stopped)
    with pytest.raises(StoppedError, match="after step 2"):
        train(begin(run, tiny_base_file, pair_set, steps=4, **GIVEN))
    assert [step for step, *_ in table(run)] == [0]
    monkeypatch.setattr(Evaluator, "evaluate", real)
    train(resume(run))
    assert [step for step, *_ in table(run)] == [0, 2, 4]


def test_sudden_convergence_is_reported_once(tmp_path, tiny_base_file, pair_set, monkeypatch):
    scripted(monkeypatch, {2: 0.2, 4: 0.21, 6: 0.5, 8: 0.52, 10: 0.5})
    run, listener = tmp_path / "run", Listener()
    result = train(begin(run, tiny_base_file, pair_set, steps=10, save_every=8, **GIVEN), listener)
    figures = "edge F1 with the image 0.5, without control 0.2"
    found = f"the images begin to follow their conditions at step 6 (p = 0.0083): {figures}"
    assert listener.notes.count(found) == 1
    assert listener.notes.index(found) < next(i for i, n in enumerate(listener.notes) if n.startswith("step 8"))
    assert any(n.startswith("converged at step 6, where the score changed most (p = 0.0083)") for n in listener.notes)
    assert result.scores["converged_at"] == 6
    assert result.scores["confidence"] == pytest.approx(1 - 1 / 120, abs=1e-4)
    assert result.scores["score"] == 0.5
    assert result.scores["score_without_control"] == 0.2
    assert json.loads((run / "summary.json").read_text()) == result.scores


@pytest.mark.parametrize(("drawing", "count"), [(0.0, 6), (1.0, 2)])
def test_curves_are_drawn_in_a_small_share_of_the_run(tmp_path, tiny_base_file, pair_set, monkeypatch, drawing, count):
    """A step takes 10 s: after each evaluation where drawing takes no time, else every 50 s; always at the end."""
    scripted(monkeypatch, dict.fromkeys(range(2, 21, 2), 0.2))
    clock, drawn = [0.0], []

    def draw(run):
        clock[0] += drawing
        drawn.append(run)

    def step(result):
        clock[0] += 10

    monkeypatch.setattr("cn.train.progress.time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr("cn.train.progress.curves.draw_curves", draw)
    train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=20, **GIVEN), Listener(step))
    assert len(drawn) == count + 1


def test_a_control_that_is_not_followed_has_not_converged(tmp_path, tiny_base_file, pair_set, monkeypatch):
    scripted(monkeypatch, {2: 0.2, 4: 0.21, 6: 0.19, 8: 0.2, 10: 0.205})
    listener = Listener()
    result = train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=10, **GIVEN), listener)
    assert result.scores["converged_at"] is None
    assert any(n.startswith("not converged yet: the score is that of no control (edge F1") for n in listener.notes)
    assert not any(n.startswith("converged") for n in listener.notes)


def test_too_few_images_are_said(tmp_path, tiny_base_file, pair_set, monkeypatch):
    scripted(monkeypatch, {2: 0.5, 4: 0.5}, images=3)
    listener = Listener()
    train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=4, eval_every=2, eval_images=3), listener)
    assert any("3 images are too few to tell that from chance" in note for note in listener.notes)


def test_the_best_weights_are_kept_and_a_worse_score_never_replaces_them(
    tmp_path, tiny_base_file, pair_set, monkeypatch
):
    """The score is best after step 4, which is no step of a save; that of step 8 is equal; a resumed run knows it."""
    scripted(monkeypatch, {2: 0.3, 4: 0.6, 6: 0.5, 8: 0.6, 10: 0.4, 12: 0.4})
    run, short = tmp_path / "run", tmp_path / "short"
    train(begin(run, tiny_base_file, pair_set, steps=6, save_every=3, **GIVEN))
    train(resume(run, steps=12))
    train(begin(short, tiny_base_file, pair_set, steps=4, eval_every=0))
    assert same(weights(run / "best"), weights(short))
    assert not same(weights(run / "best"), weights(run))
    assert sorted(path.name for path in (run / "best").iterdir()) == ["control.safetensors", "step-00000004.json"]
    best = find_best(run)
    assert (best.step, round(best.mean, 3)) == (4, 0.6)
    control = open_control(find(run / "best", role="control"))
    assert control.meta["step"] == 4
    assert open_control(find(run, role="control")).meta["step"] == 12


def test_a_base_that_is_trained_too_is_kept_with_its_control(tmp_path, tiny_base_file, pair_set, monkeypatch):
    scripted(monkeypatch, {2: 0.6, 4: 0.7, 6: 0.5})
    run, short = tmp_path / "run", tmp_path / "short"
    train(begin(run, tiny_base_file, pair_set, steps=6, unlock="all", **GIVEN))
    train(begin(short, tiny_base_file, pair_set, steps=4, unlock="all", eval_every=0))
    for name in ("control", "base"):
        assert same(weights(run / "best", name), weights(short, name))
    control = open_control(find(run / "best", role="control"))
    assert control.base_sha256 == open_control(find(short, role="control")).base_sha256


def test_a_kill_while_the_best_weights_are_replaced_leaves_good_ones(tmp_path, tiny_base_file, pair_set, monkeypatch):
    scripted(monkeypatch, {2: 0.6, 4: 0.7, 6: 0.5})
    run, real = tmp_path / "run", best_module.link_or_copy

    def killed(source, target):
        if find_best(run) is not None:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(best_module, "link_or_copy", killed)
    with pytest.raises(KeyboardInterrupt):
        train(begin(run, tiny_base_file, pair_set, steps=6, save_every=2, **GIVEN))
    assert (find_best(run).step, round(find_best(run).mean, 3)) == (2, 0.6)
    monkeypatch.setattr(best_module, "link_or_copy", real)
    scripted(monkeypatch, {4: 0.65, 6: 0.5})
    train(resume(run))
    assert (find_best(run).step, round(find_best(run).mean, 3)) == (4, 0.7), "evaluated before, kept when it goes on"


def test_data_of_its_own_to_evaluate_on(tmp_path, tiny_base_file, pair_set):
    """Two of its images are trained on too, under other names."""
    own = write_pairs(tmp_path / "own", 7)
    for number, name in ((0, "5"), (6, "1")):
        shutil.copy(pair_set / f"target/{name}.png", own / f"target/{number}.png")
    listener = Listener()
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=2, eval_every=2, eval_images=7, eval_data=str(own))
    train(task, listener)
    assert read_evaluations(tmp_path / "run")[0].on == f"7 pairs of {own}"
    (warning,) = [text for text in listener.warnings if "--eval-data" in text]
    assert "2 of the 7 images of --eval-data are trained on too" in warning
    assert "target/0.png" in warning
    target = task.evaluations.evaluator.validation.examples[6].target
    assert np.array_equal(target, images.read(own / "target/6.png"))


def test_evaluation_data_of_another_kind_is_refused(tmp_path, tiny_base_file, pair_set):
    other = write_pairs(tmp_path / "other", 5, kind="canny")
    with pytest.raises(UsageError, match="holds canny maps, not depth"):
        begin(tmp_path / "run", tiny_base_file, pair_set, steps=2, eval_data=str(other))


def test_the_figure_that_takes_the_place_of_a_missing_detectors_is_said(tmp_path, tiny_base_file, pair_set):
    listener = Listener()
    train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=2, eval_every=1, eval_images=5), listener)
    said = [text for text in listener.warnings if "edges of sampled images with those of the true ones" in text]
    assert len(said) == 1
    assert "cn weights pull" in said[0]
    assert {one.measure for one in read_evaluations(tmp_path / "run")} == {"edge F1 with the image"}


def test_other_images_start_the_curve_anew(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2, **GIVEN))
    train(resume(run, steps=4, eval_images=6))
    assert [(step, with_control) for step, with_control, _ in table(run)] == [(2, False), (2, True), (4, True)]
    assert len(read_evaluations(run)[0].agreement) == 6


def test_overwriting_a_run_forgets_its_scores(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2, **GIVEN))
    from cn.train import task as tasks
    from tests.helpers.training import CPU, QUICK

    given = {"cond": "depth", "base": str(tiny_base_file), "data": (str(pair_set),), **QUICK, "steps": 1}
    train(tasks.begin(run, given, CPU, overwrite=True))
    assert not (run / "evaluations.jsonl").exists()
    assert not (run / "best").exists()
