"""What a run says, and what it leaves, when it diverges, is not alone, or loses its folder or disk."""

import contextlib
import json
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cn import files
from cn.errors import InputError
from cn.train import divergence, trainer
from cn.train.lock import HOLDER, LOCK, run_lock
from cn.train.plan import state_bytes
from cn.train.run_folder import find_state
from tests.helpers.cli import cn, start_cn
from tests.helpers.training import Listener, begin, resume, same, train, weights
from tests.helpers.waiting import wait_until


def largest(run: Path) -> float:
    return max(float(tensor.abs().max()) for tensor in load_file(run / "control.safetensors").values())


@pytest.mark.parametrize("lr", [3.0, 1e3, 1e9])
@pytest.mark.parametrize("save_every", [1, 2, 100])
def test_a_hopeless_learning_rate_leaves_no_hopeless_weights(lr, save_every, tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    with pytest.raises(InputError, match="the state after step 0 is kept: resume with a lower --lr") as refused:
        train(begin(run, tiny_base_file, pair_set, steps=9, lr=lr, save_every=save_every))
    assert refused.value.path == str(run)
    assert find_state(run).step == 0
    assert largest(run) < 5
    assert os.path.samefile(run / "control.safetensors", run / "state/step-00000000/control.safetensors")
    assert train(resume(run, steps=3, lr=1e-4)).step == 3


def test_weights_that_the_next_step_shows_to_be_bad_are_withdrawn(tmp_path, tiny_base_file, pair_set, monkeypatch):
    """The weights are saved after step 4; the loss of step 5 is the first that is measured with them."""
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2))
    good = weights(run)
    batch_loss = trainer.batch_loss

    def spoiled(networks, config, batch, step, micro):
        return batch_loss(networks, config, batch, step, micro) * (float("inf") if step == 4 else 1)

    monkeypatch.setattr(trainer, "batch_loss", spoiled)
    with pytest.raises(InputError, match=r"loss at step 5 is not a finite number.*; the state after step 2 is kept"):
        train(resume(run, steps=9, save_every=4))
    assert [path.name for path in (run / "state").iterdir()] == ["step-00000002"]
    assert same(weights(run), good)


def test_a_spike_that_recovers_is_no_divergence(tmp_path, tiny_base_file, pair_set, monkeypatch):
    batch_loss = trainer.batch_loss

    def spiky(networks, config, batch, step, micro):
        return batch_loss(networks, config, batch, step, micro) * (100 if step in (3, 5, 7) else 1)

    monkeypatch.setattr(trainer, "batch_loss", spiky)
    listener = Listener()
    assert train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=15), listener).step == 15
    assert max(result.loss for result in listener.results) > divergence.MAX_LOSS


def test_a_loss_that_stays_out_of_bounds_ends_the_run(tmp_path, tiny_base_file, pair_set, monkeypatch):
    batch_loss = trainer.batch_loss

    def rising(networks, config, batch, step, micro):
        return batch_loss(networks, config, batch, step, micro) * (30 if step > 2 else 1)

    monkeypatch.setattr(trainer, "batch_loss", rising)
    # When the median has risen, the state after step 6 is young.
    with pytest.raises(InputError, match=r"the loss is about .* where predicting nothing has 1, .*; the state"):
        train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=60, save_every=6))
    assert find_state(tmp_path / "run").step == 0


def test_the_second_process_is_told_who_trains(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    words = ["train", "--cond", "depth", "--base", tiny_base_file, "--data", pair_set, "--out", run]
    words += ["--steps", 4000, "--batch-size", 1, "--preview-every", 0, "--workers", 0, "-q"]
    first = start_cn(*words)
    try:
        wait_until(lambda: (run / "metrics.jsonl").exists() or first.poll() is not None)
        lines = len((run / "metrics.jsonl").read_bytes().splitlines())
        for again in (words, [*words, "--overwrite"], ["train", "--resume", run]):
            done = cn(*again)
            assert done.returncode == 3
            assert f"{run}: process {first.pid} on " in done.stderr
            assert " has trained here since 20" in done.stderr
            assert len(done.stderr.splitlines()) == 1
        assert first.poll() is None
        wait_until(lambda: len((run / "metrics.jsonl").read_bytes().splitlines()) > lines + 2)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    # A killed process holds no lock.
    step = find_state(run).step
    assert train(resume(run, steps=step + 1)).step == step + 1
    assert not (run / LOCK).exists()
    assert not (run / HOLDER).exists()


def test_two_that_start_at_once(tmp_path, tiny_base_file, pair_set):
    """Both have loaded their networks when the first one takes the lock."""
    run = tmp_path / "run"
    one, two = (begin(run, tiny_base_file, pair_set, steps=2) for _ in range(2))
    train(one)
    with pytest.raises(InputError, match="is not empty; continue with --resume"):
        train(two)
    late = resume(run, steps=9)
    train(resume(run, steps=4))
    with pytest.raises(InputError, match="another process has trained here in the meantime; resume again"):
        train(late)
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3, 4]


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch):
    def refuse(_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    heard: list[str] = []
    with run_lock(tmp_path, heard.append):
        pass
    assert len(heard) == 1
    assert "no locks" in heard[0]


@pytest.mark.parametrize(("free", "fits"), [(1.2, True), (0.8, False)])
def test_resuming_needs_room_for_one_more_state(free, fits, tmp_path, tiny_base_file, pair_set, monkeypatch):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2))
    task = resume(run, steps=3)
    room = round(free * state_bytes(task.networks, task.config, "none"))
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, room))
    if fits:
        assert train(task).step == 3
    else:
        with pytest.raises(InputError, match="free, but saving the run safely takes"):
            train(task)


def test_a_deleted_folder_is_not_said_to_be_kept(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    listener = Listener(lambda result: shutil.rmtree(run, ignore_errors=True) if result.step == 2 else None)
    with pytest.raises(InputError, match=r"cannot be written: .*; nothing of this run is left on the disk"):
        train(begin(run, tiny_base_file, pair_set, steps=9), listener)


@contextlib.contextmanager
def small_files(size: int) -> Iterator[None]:
    """The system refuses to write more bytes than these to a file. Python ignores the signal that comes with it."""
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_at_a_save_says_which_state_is_kept(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2))
    good = weights(run)
    with small_files(100_000):
        done = cn("train", "--resume", run, "--steps", 3, "--workers", 0, "-q")
    assert done.returncode == 3
    assert "the state cannot be saved: File too large; the state after step 2 is kept" in done.stderr
    assert same(weights(run), good)
    assert [path.name for path in (run / "state").iterdir()] == ["step-00000002"]


def test_the_norm_of_the_start_survives_resuming(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=1))
    norm = find_state(run).start_norm
    assert norm is not None
    assert torch.isfinite(torch.tensor(norm))
    train(resume(run, steps=3, lr=1e-2))
    assert find_state(run).start_norm == norm
