"""A run can be stopped at any instant, in any way, and resumes exactly where it was."""

import json
import os
import signal
from pathlib import Path

import pytest

from cn.errors import ExitCode, InputError, StoppedError, UsageError, WeightsError
from cn.train import progress
from cn.train.config import TrainConfig
from cn.train.curves import CURVES
from cn.train.preview import Preview
from cn.train.run_folder import find_state
from tests.helpers.cli import start_cn
from tests.helpers.training import Listener, begin, resume, same, train, weights
from tests.helpers.waiting import wait_until


@pytest.fixture(scope="session")
def tiny_base_file(small_sd_file):
    return small_sd_file


def metrics(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_killed_run_resumes_bit_for_bit(tmp_path, tiny_base_file, pair_set):
    """SIGKILL in the middle of a real process, resumed here, against a run without interruption."""
    steps, killed, uninterrupted = 400, tmp_path / "killed", tmp_path / "uninterrupted"
    words = ["train", "--cond", "depth", "--base", tiny_base_file, "--data", pair_set, "--out", killed]
    words += ["--steps", steps, "--batch-size", 2, "--lr", 1e-3, "--save-every", 3, "--preview-every", 0]
    process = start_cn(*words, "--workers", 0)
    try:
        wait_until(lambda: (killed / "state/step-00000003").exists() or process.poll() is not None)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()

    reached = find_state(killed).step
    assert 3 <= reached < steps - 10
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9')  # as a kill in the middle of a line would leave it
    end = reached + 4
    resumed = Listener()
    train(resume(killed, steps=end), resumed, workers=2)
    assert [r.step for r in resumed.results] == list(range(reached + 1, end + 1))

    train(begin(uninterrupted, tiny_base_file, pair_set, steps=end, save_every=3))
    assert same(weights(killed), weights(uninterrupted))
    assert same(*(weights(find_state(run).folder, "optimizer") for run in (killed, uninterrupted)))
    assert [m["step"] for m in metrics(killed)] == list(range(1, end + 1))
    assert [m["loss"] for m in metrics(killed)] == [m["loss"] for m in metrics(uninterrupted)]
    assert [path.name for path in (killed / "state").iterdir()] == [f"step-{end:08d}"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_stop_finishes_the_step_and_saves(tmp_path, tiny_base_file, pair_set, number, code):
    run = tmp_path / "run"
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    listener = Listener(lambda result: signal.raise_signal(number) if result.step == 2 else None)
    with pytest.raises(StoppedError, match=f"after step 2.*--resume {run}") as stopped:
        train(begin(run, tiny_base_file, pair_set, steps=9), listener)
    assert stopped.value.exit_code == code
    assert find_state(run).step == 2
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    assert train(resume(run, steps=3)).step == 3
    assert len(metrics(run)) == 3


def test_second_interrupt_does_not_wait(tmp_path, tiny_base_file, pair_set):
    def twice(result):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=9), Listener(twice))
    assert find_state(tmp_path / "run").step == 0


@pytest.mark.usefixtures("quick_previews")
def test_stop_during_the_first_preview_takes_no_step(tmp_path, tiny_base_file, pair_set, monkeypatch):
    run, listener = tmp_path / "run", Listener()
    sampled = Preview.sample

    def sample_and_stop(*args):
        signal.raise_signal(signal.SIGINT)
        return sampled(*args)

    monkeypatch.setattr(Preview, "sample", sample_and_stop)
    with pytest.raises(StoppedError, match="after step 0"):
        train(begin(run, tiny_base_file, pair_set, steps=2, preview_every=1), listener)
    assert listener.results == []
    assert list((run / "previews").glob("*")) == []
    monkeypatch.setattr(Preview, "sample", sampled)
    task = resume(run)
    assert task.step == 0
    train(task)
    assert sorted(p.name for p in (run / "previews").iterdir()) == [f"step-{n:06d}.png" for n in (0, 1, 2)]


def test_finished_run_has_nothing_left_to_do(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2))
    before, listener = weights(run), Listener()
    assert train(resume(run), listener).step == 2
    assert train(resume(run, steps=2), listener).step == 2
    assert listener.results == []
    assert same(before, weights(run))


def test_a_run_that_was_killed_before_its_curves_were_drawn_draws_them(tmp_path, tiny_base_file, pair_set, monkeypatch):
    monkeypatch.setattr(progress, "_MIN_STEPS", 1)
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2))
    drawn = (run / CURVES).read_bytes()
    (run / CURVES).unlink()
    train(resume(run))
    assert (run / CURVES).read_bytes() == drawn


def test_values_that_are_not_finite_stop_a_run_and_keep_the_last_good_state(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2))
    good = weights(run)
    with pytest.raises(InputError, match=r"at step \d+ is not a finite number.*--lr"):
        train(resume(run, steps=9, lr=1e30))
    assert find_state(run).step == 2
    assert same(weights(run), good)
    assert train(resume(run, steps=3, lr=1e-3)).step == 3


def test_full_disk_between_saves_is_one_error(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2))
    good = weights(run)
    task = resume(run, steps=9)
    listener = Listener(lambda result: fill_up(run))
    with pytest.raises(InputError, match=r"cannot be written: No space left on device; the state after step 2 is kept"):
        train(task, listener)
    assert find_state(run).step == 2
    assert same(weights(run), good)


def fill_up(run: Path) -> None:
    """From now on, writing the run's metrics fails as on a full disk."""
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to("/dev/full")


def test_only_some_options_can_change(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=1))
    for given in ({"batch_size": 3}, {"seed": 5}, {"cond": "canny"}, {"links": "middle"}):
        with pytest.raises(UsageError, match="cannot change in a resumed run"):
            resume(run, **given)
    with pytest.raises(UsageError, match="already has 1 steps"):
        resume(run, steps=0)
    assert TrainConfig.load(run).steps == 1
    task = resume(run, steps=7, lr=1e-4, save_every=2, preview_every=4, batch_size=2)
    assert (task.config.steps, task.config.lr, task.step) == (7, 1e-4, 1)


def test_small_scale_then_reconnected(tmp_path, tiny_sd_file, pair_set):
    """§3.4: the middle alone first; connected again, the other links begin to move from zero."""
    run = tmp_path / "run"
    train(begin(run, tiny_sd_file, pair_set, steps=3, links="middle"))
    first = weights(run)
    links = [name for name in first if name.startswith("zero_convolutions")]
    assert len(links) == 24
    assert not any(first[name].any() for name in links)
    assert first["zero_middle.weight"].any()
    task = resume(run, steps=5, reconnect=True)
    assert task.networks.control.links == "full"
    train(task)
    assert all(weights(run)[name].any() for name in links)
    assert TrainConfig.load(run).links == "full"
    with pytest.raises(UsageError, match="has its decoder connections already"):
        resume(run, reconnect=True)


@pytest.mark.parametrize("unlock", ["decoder", "all"])
def test_large_scale_leaves_and_resumes_the_base(tmp_path, tiny_base_file, pair_set, unlock):
    run, uninterrupted = tmp_path / "run", tmp_path / "uninterrupted"
    train(begin(run, tiny_base_file, pair_set, steps=2, unlock=unlock))
    train(resume(run, steps=4))
    train(begin(uninterrupted, tiny_base_file, pair_set, steps=4, unlock=unlock))
    assert same(weights(run), weights(uninterrupted))
    assert same(weights(run, "base"), weights(uninterrupted, "base"))
    task = resume(run)
    assert task.networks.base.sha256 != task.config.base_sha256
    original = begin(tmp_path / "other", tiny_base_file, pair_set, steps=0).networks.base.unet
    moved = {n for n, p in task.networks.base.unet.named_parameters() if not p.equal(original.get_parameter(n))}
    assert any(name.startswith("decoder.") for name in moved)
    assert any(name.startswith("encoder.") for name in moved) == (unlock == "all")


def test_another_base_under_the_same_name_is_refused(tmp_path, tiny_base_file, pair_set):
    base = tmp_path / "base.safetensors"
    base.write_bytes(tiny_base_file.read_bytes())
    train(begin(tmp_path / "run", base, pair_set, steps=1))
    data = bytearray(base.read_bytes())
    data[-1] ^= 1
    base.write_bytes(data)
    with pytest.raises(WeightsError, match=r"not the base that .* was started with"):
        resume(tmp_path / "run")


def test_incomplete_state_is_ignored(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2))
    (run / "state/.cn-1-0abc").mkdir()
    (run / "state/.cn-1-0abc/control.safetensors").write_bytes(b"half")
    assert resume(run, steps=3).step == 2
    train(resume(run, steps=3))
    assert [path.name for path in (run / "state").iterdir()] == ["step-00000003"]


def test_damaged_runs_are_named(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    with pytest.raises(InputError, match="not a training run"):
        resume(tmp_path)
    train(begin(run, tiny_base_file, pair_set, steps=1))
    state = find_state(run).folder
    for name, message in (
        ("optimizer.safetensors", r"the state is damaged \(optimizer.safetensors has .* bytes"),
        ("control.safetensors", r"the state is damaged \(control.safetensors has .* bytes"),
        ("numbers.json", "the state is damaged"),
    ):
        intact = (state / name).read_bytes()
        (state / name).write_bytes(intact[: len(intact) // 2])
        with pytest.raises(InputError, match=message):
            train(resume(run, steps=2))
        (state / name).write_bytes(intact)
    for text in ("cond = ", f"seed = {'9' * 5000}", "[" * 3000):
        (run / "config.toml").write_text(text)
        with pytest.raises(InputError, match=r"config\.toml: cannot be read") as refused:
            resume(run)
        assert len(str(refused.value)) < 400
