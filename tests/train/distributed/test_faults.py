"""Several processes of which one fails, is asked to stop, or is lost: all end, one says why, a state is kept."""

import os
import signal
from pathlib import Path

import pytest
import torch

from cn.errors import ExitCode, InputError
from cn.train.distributed import heartbeat
from cn.train.run_folder import find_state
from cn.train.trainer import Trainer
from cn.train.world import World
from tests.helpers.ranks import Outcome, collect, start, together, train
from tests.helpers.training import QUICK, resume
from tests.helpers.training import train as train_alone


@pytest.fixture
def given(tiny_base_file, pair_set) -> dict[str, object]:
    return {"cond": "depth", "base": str(tiny_base_file), "data": (str(pair_set),), **QUICK, "steps": 9}


def fail_to_read(world, task):
    """In rank 1 the disk with the images goes away after the first step."""
    if world.rank == 1:
        reads, fetch = [], type(task.source).fetch

        def read(self, *draw):
            reads.append(draw)
            if len(reads) > 2:
                raise InputError("the disk is gone", path="images")
            return fetch(self, *draw)

        type(task.source).fetch = read


def test_bad_data_in_one_process_ends_all(tmp_path, given):
    first, second = together(2, train, tmp_path / "run", given, False, fail_to_read)
    assert (first.code, second) == (ExitCode.BAD_INPUT, Outcome(code=ExitCode.BAD_INPUT))
    assert first.message.startswith("images: the disk is gone; the state after step 0 is kept: continue with cn train")
    assert first.message.endswith("(rank 1)")
    assert train_alone(resume(tmp_path / "run", steps=1)).step == 1


def other_weights(world, task):
    with torch.no_grad():
        next(task.networks.control.parameters())[0] += world.rank


def test_other_weights_in_one_process_are_refused(tmp_path, given):
    first, second = together(2, train, tmp_path / "run", given, False, other_weights)
    assert (first.code, second) == (ExitCode.USAGE, Outcome(code=ExitCode.USAGE))
    assert "rank 1 has other weights than rank 0" in first.message
    assert "all machines need the same files" in first.message


def full_disk(world, task):
    def at_step(result):
        (task.run / "metrics.jsonl").unlink()
        (task.run / "metrics.jsonl").symlink_to("/dev/full")

    return at_step


def test_a_disk_that_rank_0_cannot_write_ends_all(tmp_path, given):
    first, second = together(2, train, tmp_path / "run", given, False, full_disk)
    assert (first.code, second) == (ExitCode.BAD_INPUT, Outcome(code=ExitCode.BAD_INPUT))
    assert "No space left on device; the state after step 0 is kept" in first.message


def at_third_step(act):
    """In rank 1, instead of the third step."""

    def hook(world, task):
        take_step = Trainer.take_step

        def taken(self, batches):
            if world.rank == 1 and self.step == 2:
                act()
            return take_step(self, batches)

        Trainer.take_step = taken

    return hook


def stop_rank_1(world, task):
    at_third_step(lambda: signal.raise_signal(signal.SIGTERM))(world, task)


def kill_rank_1(world, task):
    at_third_step(lambda: os.kill(os.getpid(), signal.SIGKILL))(world, task)


def freeze_rank_1(world, task):
    at_third_step(lambda: os.kill(os.getpid(), signal.SIGSTOP))(world, task)


def test_a_stop_of_one_process_stops_all_after_the_same_step(tmp_path, given):
    first, second = together(2, train, tmp_path / "run", given, False, stop_rank_1)
    assert (first.code, second) == (ExitCode.TERMINATED, Outcome(code=ExitCode.TERMINATED))
    assert find_state(tmp_path / "run").step == 3
    assert "stopped after step 3; continue with: cn train --resume" in first.message


def with_patience(world: World, run: Path, given, hook):
    """A training in which a lost process is noticed within moments."""
    heartbeat.PATIENCE, heartbeat.GRACE = 2.0, 2.0
    return train(world, run, given, False, hook)


def test_a_killed_process_ends_the_others_which_save(tmp_path, given):
    first, second = together(2, with_patience, tmp_path / "run", given, kill_rank_1)
    assert second.code == -signal.SIGKILL
    assert first.code == ExitCode.PARTIAL
    assert find_state(tmp_path / "run").step == 2, "the last finished step was saved"
    assert "rank 1 has given no sign of life" in first.message
    assert "the state after step 2 is kept: continue with: cn train --resume" in first.message
    assert train_alone(resume(tmp_path / "run", steps=3)).step == 3


def test_a_process_that_hangs_ends_the_others(tmp_path, given):
    """Nothing interrupts them in a collective of gloo; what was saved before is what is kept."""
    started = start(2, with_patience, tmp_path / "run", {**given, "save_every": 1}, freeze_rank_1)
    (waiting, _), (frozen, _) = started
    waiting.join()
    frozen.kill()
    assert [outcome.code for outcome in collect(started)] == [ExitCode.PARTIAL, -signal.SIGKILL]
    assert find_state(tmp_path / "run").step == 2
