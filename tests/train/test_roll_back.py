"""A run that diverges goes back to its last good state and on from there, at a lower learning rate, once."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cn.errors import ExitCode, InputError
from cn.train import recorder, trainer
from cn.train.fast.update import Numbers
from cn.train.position import ROLL_BACK_FACTOR
from cn.train.run_folder import find_state, saved_steps
from tests.helpers.cli import cn
from tests.helpers.training import QUICK, Listener, begin, resume, same, train, weights

BAD = 14
GIVEN = {"steps": 16, "save_every": 4}
"""With saves every 4 steps, a run can go back to the states after steps 0, 12, 24 …"""


def spoil(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """The loss of step BAD is not a number, as long as the learning rate's factor is above what is given for it."""
    bad = {BAD: ROLL_BACK_FACTOR}
    take_step = trainer.Trainer.take_step

    def spoiled_step(self, *args):
        pending = take_step(self, *args)
        if pending.step in bad and self.lr_factor > bad[pending.step]:
            return replace(pending, values=Numbers.of(torch.tensor(float("nan")), torch.tensor(1.0)))
        return pending

    monkeypatch.setattr(trainer.Trainer, "take_step", spoiled_step)
    return bad


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    return spoil(monkeypatch)


@pytest.fixture(scope="module")
def free(tmp_path_factory, tiny_base_file, pair_set) -> tuple[Path, Listener]:
    """A run without interruption, which goes back once."""
    run, listener = tmp_path_factory.mktemp("free"), Listener()
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch)
        assert train(begin(run, tiny_base_file, pair_set, **GIVEN), listener).step == GIVEN["steps"]
    return run, listener


def check_equal(run: Path, free: Path) -> None:
    assert same(weights(run), weights(free))
    assert same(*(weights(find_state(folder).folder, "optimizer") for folder in (run, free)))
    assert [m["loss"] for m in metrics(run)] == [m["loss"] for m in metrics(free)]
    assert find_state(run).numbers == find_state(free).numbers
    assert (run / "warnings.txt").read_text() == (free / "warnings.txt").read_text()


def metrics(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_it_goes_on_as_if_it_had_been_resumed_with_the_lower_rate(tmp_path, tiny_base_file, pair_set, free):
    (run, listener), other, steps = free, tmp_path / "other", GIVEN["steps"]
    assert [r.step for r in listener.results] == [*range(1, BAD), *range(13, steps + 1)]
    (warning,) = listener.warnings
    assert warning == (
        f"the loss at step {BAD} is not a finite number: the run goes on from the state after step 12, at 0.5 times "
        "the learning rate"
    )
    assert (run / "warnings.txt").read_text() == warning + "\n"
    assert [m["step"] for m in metrics(run)] == list(range(1, steps + 1))
    assert [m["lr"] for m in metrics(run)] == [QUICK["lr"]] * 12 + [QUICK["lr"] / 2] * (steps - 12)
    assert find_state(run).numbers["roll_back"] == {"to": 12, "lr_factor": 0.5}

    train(begin(other, tiny_base_file, pair_set, **{**GIVEN, "steps": 12}))
    train(resume(other, steps=steps, lr=QUICK["lr"] / 2))
    assert same(weights(run), weights(other))
    assert same(*(weights(find_state(folder).folder, "optimizer") for folder in (run, other)))
    for name in ("loss", "smoothed"):
        assert [m[name] for m in metrics(run)] == [m[name] for m in metrics(other)]


@pytest.mark.parametrize("stops", [(3, 13), (12, 15)])
def test_stops_before_and_after_it_change_nothing(stops, tmp_path, tiny_base_file, pair_set, spoiled, free):
    run, left = tmp_path / "run", list(stops)

    def stop(result) -> None:
        if left and result.step == left[0]:
            left.pop(0)
            signal.raise_signal(signal.SIGUSR1)

    result = train(begin(run, tiny_base_file, pair_set, **GIVEN), Listener(stop))
    while result.stopped:
        result = train(resume(run), Listener(stop))
    assert left == []
    check_equal(run, free[0])


def test_the_second_time_is_the_end(tmp_path, tiny_base_file, pair_set, spoiled):
    run = tmp_path / "run"
    spoiled[15] = 0.1
    words = ["train", "--cond", "depth", "--base", tiny_base_file, "--data", pair_set, "--out", run, "--lr", "1e-3"]
    words += ["--batch-size", 2, "--preview-every", 0, "--workers", 0, "--steps", 16, "--save-every", 4]
    done = cn(*words, "-q")
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr.splitlines()[-1] == (
        f"cn: {run}: the loss at step 15 is not a finite number, also at the lower learning rate; the state after step "
        "12 is kept: resume with a lower --lr"
    )
    assert saved_steps(run) == [0, 12]
    # The same again is no new chance; another rate is.
    with pytest.raises(InputError, match="also at the lower learning rate"):
        train(resume(run))
    spoiled.clear()
    assert train(resume(run, lr=3e-4)).step == 16
    assert {m["lr"] for m in metrics(run)[12:]} == {3e-4}
    assert "roll_back" not in find_state(run).numbers


@pytest.mark.parametrize("name", ["update_numbers", "remove_states", "load_weights"])
def test_an_end_in_the_middle_of_it(name, tmp_path, tiny_base_file, pair_set, spoiled, free, monkeypatch):
    run = tmp_path / "run"
    function = getattr(recorder, name)

    def end(*args, **named):
        if (run / "warnings.txt").exists():
            raise KeyboardInterrupt
        return function(*args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, name, end)
        with pytest.raises(KeyboardInterrupt):
            train(begin(run, tiny_base_file, pair_set, **GIVEN))
    assert train(resume(run)).step == GIVEN["steps"]
    check_equal(run, free[0])


def test_losses_before_a_kill_count_for_the_median_after_it(tmp_path, tiny_base_file, pair_set, monkeypatch):
    """Losses are out of bounds from step 5 on: the median is at step 10, however often the run is resumed."""
    batch_loss = trainer.batch_loss
    monkeypatch.setattr(
        trainer, "batch_loss", lambda n, config, b, step, m: batch_loss(n, config, b, step, m) * (30 if step > 3 else 1)
    )
    run = tmp_path / "run"
    warnings = []
    for steps in (6, 8, 30):
        listener = Listener()
        task = begin(run, tiny_base_file, pair_set, steps=6) if steps == 6 else resume(run, steps=steps)
        if steps == 30:
            with pytest.raises(InputError):
                train(task, listener)
        else:
            train(task, listener)
        warnings += listener.warnings
    assert len(warnings) == 1
    assert "at step 10, where predicting nothing has 1: the run goes on from the state after step 8" in warnings[0]


def test_an_unlocked_base_goes_back_too(tmp_path, tiny_base_file, pair_set, monkeypatch):
    run, other = tmp_path / "run", tmp_path / "other"
    given = {"unlock": "decoder", "steps": 3, "save_every": 10}
    with monkeypatch.context() as patch:
        spoil(patch)[2] = ROLL_BACK_FACTOR
        train(begin(run, tiny_base_file, pair_set, **given))
    assert [m["lr"] for m in metrics(run)] == [QUICK["lr"] / 2] * 3
    train(begin(other, tiny_base_file, pair_set, **given, lr=QUICK["lr"] / 2))
    assert same(weights(run), weights(other))
    assert same(weights(run, "base"), weights(other, "base"))


def test_a_run_goes_back_to_before_its_base_was_unlocked(tmp_path, tiny_base_file, pair_set, monkeypatch):
    """The base is locked again, and unlocked after the same step."""
    run, other = tmp_path / "run", tmp_path / "other"
    given = {"unlock": "decoder", "large_scale_after": 2, "steps": 5, "save_every": 10, "ema": 0.5}
    listener = Listener()
    with monkeypatch.context() as patch:
        spoil(patch)[3] = ROLL_BACK_FACTOR
        done = train(begin(run, tiny_base_file, pair_set, **given), listener)
    assert (done.step, done.stopped) == (5, "")
    assert [message for message in listener.warnings if "goes on from the state after step 0" in message]
    assert [note for note in listener.notes if "trained too from now on" in note] == listener.notes[-2:]
    assert [m["lr"] for m in metrics(run)] == [QUICK["lr"] / 2] * 5
    train(begin(other, tiny_base_file, pair_set, **given, lr=QUICK["lr"] / 2))
    assert same(weights(run), weights(other))
    assert same(weights(run, "base"), weights(other, "base"))


def test_it_ends_where_it_diverges_again_after_that(tmp_path, tiny_base_file, pair_set, monkeypatch):
    run = tmp_path / "run"
    spoil(monkeypatch)[3] = 0.0
    given = {"unlock": "decoder", "large_scale_after": 2, "steps": 5, "save_every": 10}
    with pytest.raises(InputError, match="also at the lower learning rate; the state after step 0 is kept"):
        train(begin(run, tiny_base_file, pair_set, **given))
    assert saved_steps(run) == [0]
