"""`--deterministic` switches torch over for the length of a run, and says what cannot be done."""

import contextlib
import os

import pytest
import torch

from cn.errors import UsageError
from cn.train import determinism, trainer
from cn.train.determinism import WORKSPACE, deterministic, not_equal
from tests.helpers.training import Listener, begin, same, train, weights


def settings() -> tuple[object, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cuda.cudnn_sdp_enabled(),
        os.environ.get(WORKSPACE),
    )


ON = (True, False, False, True, False, ":4096:8")


@pytest.fixture
def own() -> tuple[object, ...]:
    """Settings of a program that uses cn, which none of them may change."""
    torch.backends.cudnn.benchmark = True
    before = settings()
    assert before[0] is False
    yield before
    torch.backends.cudnn.benchmark = False


def test_settings_hold_during_a_run_and_are_restored(own, tmp_path, tiny_base_file, pair_set):
    seen: list[object] = []
    listener = Listener(lambda result: seen.append(settings()))
    train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=2, deterministic=True), listener)
    assert seen == [ON, ON]
    assert settings() == own
    seen.clear()
    train(begin(tmp_path / "other", tiny_base_file, pair_set, steps=2), listener)
    assert seen == [own, own]
    assert same(weights(tmp_path / "run"), weights(tmp_path / "other"))


def test_settings_are_restored_after_an_error_and_a_workspace_of_ones_own_stays(own, monkeypatch):
    monkeypatch.setenv(WORKSPACE, ":16:8")
    seen = []
    with contextlib.suppress(ZeroDivisionError), deterministic(True):
        seen.append(settings())
        raise ZeroDivisionError
    assert seen == [(*ON[:-1], ":16:8")]
    assert settings() == (*own[:-1], ":16:8")


def test_an_operation_without_a_deterministic_algorithm_is_named(own, tmp_path, tiny_base_file, pair_set, monkeypatch):
    batch_loss = trainer.batch_loss

    def with_median(*args):
        # One of those that torch refuses on a CPU too.
        torch.nn.functional.max_unpool2d(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.long), 2)
        return batch_loss(*args)

    monkeypatch.setattr(trainer, "batch_loss", with_median)
    assert train(begin(tmp_path / "free", tiny_base_file, pair_set, steps=1)).step == 1
    with pytest.raises(UsageError, match=r"--deterministic: max_unpooling2d_forward_out does not have a deterministic"):
        train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=1, deterministic=True))
    assert settings() == own


def test_what_has_changed_is_in_the_message():
    cpu = {"device": "cpu", "torch": "2.9.1", "processes": 1, "threads": 2}
    assert not_equal(cpu, cpu) is None
    assert not_equal({}, cpu) is None
    gpu = {"device": "NVIDIA H200", "torch": "2.9.1", "processes": 2}
    assert str(not_equal(cpu, gpu)).startswith("not computed as before (device: cpu → NVIDIA H200; processes: 1 → 2): ")
    assert determinism.computed_by(torch.device("cpu"), trainer.ALONE).keys() == cpu.keys()
