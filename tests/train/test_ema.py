"""The moving average of the trained weights: its numbers, what a run writes of it, and exact resumption."""

import os
import signal

import pytest
import torch

from cn.checkpoints.read.load import open_base, open_control
from cn.errors import InputError, UsageError
from cn.train import preview
from cn.train.ema import Ema, decay_at
from cn.train.preview import Preview
from cn.train.run_folder import find_state
from tests.helpers.cli import start_cn
from tests.helpers.training import Listener, begin, resume, same, train, weights
from tests.helpers.waiting import wait_until


def test_decay_warms_up():
    assert [decay_at(0.9999, step) for step in (1, 2, 11)] == [2 / 11, 3 / 12, 12 / 21]
    assert decay_at(0.9999, 10**6) == 0.9999
    assert decay_at(0.1, 1) == 0.1


def test_the_average_is_that_of_its_closed_form():
    """After n steps: Σ_k (1 - d_k) Π_{j>k} d_j w_k, and the start with the product of all."""
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(5))
    values, ema = [parameter.detach().clone()], Ema({"w": parameter}, 0.4)
    for step in range(1, 9):
        parameter.data = torch.randn(5)
        values.append(parameter.detach().clone())
        ema.update(step)
    decays = [decay_at(0.4, step) for step in range(1, 9)]
    expected = torch.zeros(5, dtype=torch.float64)
    for k, value in enumerate(values):
        share = 1.0 if k == 0 else 1 - decays[k - 1]
        for later in decays[k:]:
            share *= later
        expected += share * value.double()
    with ema.applied():
        assert torch.allclose(parameter.double(), expected, atol=1e-6)
    assert torch.equal(parameter, values[-1])


def test_own_weights_come_back_after_an_error_too():
    parameter = torch.nn.Parameter(torch.ones(3))
    ema, address = Ema({"w": parameter}, 0.5), parameter.data_ptr()
    parameter.data.fill_(0.1)
    inside = []

    def sample():
        with ema.applied():
            inside.extend([parameter.tolist(), parameter.data_ptr()])
            raise KeyError

    with pytest.raises(KeyError):
        sample()
    assert inside == [[1.0] * 3, address]
    assert torch.equal(parameter, torch.full((3,), 0.1))


def test_a_run_writes_and_previews_the_average_and_keeps_its_weights(tmp_path, tiny_base_file, pair_set, monkeypatch):
    monkeypatch.setattr(preview, "COUNT", 1)
    run, own = tmp_path / "run", []
    seen = []
    sampled = Preview.sample

    def look(self, networks, *args):
        seen.append({name: p.detach().clone() for name, p in networks.control.named_parameters()})
        return sampled(self, networks, *args)

    monkeypatch.setattr(Preview, "sample", look)
    task = begin(run, tiny_base_file, pair_set, steps=4, ema=0.6, preview_every=4)
    parameters = task.networks.trainable
    listener = Listener(lambda result: own.append({name: p.detach().clone() for name, p in parameters.items()}))
    train(task, listener)
    control = open_control(run / "control.safetensors")
    assert control.meta["ema"] == 0.6
    assert same(weights(find_state(run).folder, "weights"), own[-1])
    start = open_base(tiny_base_file).unet.encoder.state_dict()
    average = {name: start[name] for name in start}
    for step, after in enumerate(own, 1):
        d = decay_at(0.6, step)
        average = {name: d * average[name] + (1 - d) * after[f"control.encoder.{name}"] for name in average}
    written = weights(run)
    for name, value in average.items():
        assert torch.allclose(written[f"encoder.{name}"], value, atol=1e-6)
        assert torch.equal(seen[-1][f"encoder.{name}"], written[f"encoder.{name}"])
    assert not torch.equal(written["zero_middle.weight"], own[-1]["control.zero_middle.weight"])


@pytest.mark.parametrize("unlock", ["none", "all"])
def test_resumed_averages_are_bitwise_equal(tmp_path, tiny_base_file, pair_set, unlock):
    run, uninterrupted = tmp_path / "run", tmp_path / "uninterrupted"
    given = {"ema": 0.9, "unlock": unlock, "warmup": 2, "max_grad_norm": 0.5}
    train(begin(run, tiny_base_file, pair_set, steps=2, **given))
    train(resume(run, steps=4))
    train(begin(uninterrupted, tiny_base_file, pair_set, steps=4, **given))
    names = ["control", *(["base"] if unlock != "none" else [])]
    assert all(same(weights(run, name), weights(uninterrupted, name)) for name in names)
    states = [find_state(folder).folder for folder in (run, uninterrupted)]
    assert all(same(*(weights(state, name) for state in states)) for name in ("weights", "optimizer"))
    if unlock != "none":
        base = open_base(run / "base.safetensors")
        own = weights(states[0], "weights")
        moved = [n for n, p in base.unet.named_parameters() if f"unet.{n}" in own and not p.equal(own[f"unet.{n}"])]
        assert len(moved) > 10


def test_a_killed_run_with_an_average_resumes_bit_for_bit(tmp_path, tiny_base_file, pair_set):
    killed, uninterrupted = tmp_path / "killed", tmp_path / "uninterrupted"
    words = ["train", "--cond", "depth", "--base", tiny_base_file, "--data", pair_set, "--out", killed]
    words += ["--steps", 400, "--batch-size", 2, "--lr", 1e-3, "--save-every", 2, "--preview-every", 0]
    process = start_cn(*words, "--ema", 0.99, "--max-grad-norm", 1, "--noise-offset", 0.1, "--workers", 0)
    try:
        wait_until(lambda: (killed / "state/step-00000002").exists() or process.poll() is not None)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    end = find_state(killed).step + 3
    train(resume(killed, steps=end))
    given = {"ema": 0.99, "max_grad_norm": 1.0, "noise_offset": 0.1}
    train(begin(uninterrupted, tiny_base_file, pair_set, steps=end, **given))
    assert same(weights(killed), weights(uninterrupted))
    assert same(*(weights(find_state(run).folder, "weights") for run in (killed, uninterrupted)))


def test_reconnected_links_are_averaged_from_zero(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2, links="middle", ema=0.9))
    assert not any(name.startswith("control.zero_convolutions") for name in weights(find_state(run).folder, "weights"))
    train(resume(run, steps=4, reconnect=True))
    own = weights(find_state(run).folder, "weights")["control.zero_convolutions.0.weight"]
    assert 0 < float(weights(run)["zero_convolutions.0.weight"].norm()) < float(own.norm())


def test_the_average_cannot_change_and_its_weights_must_be_there(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=1, ema=0.9))
    with pytest.raises(UsageError, match="--ema cannot change in a resumed run"):
        resume(run, steps=2, ema=0.99)
    (find_state(run).folder / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"the state is damaged \(weights\.safetensors"):
        train(resume(run, steps=2))


def test_parameters_that_are_trained_later_are_averaged_from_then_on():
    trainable = {"a": torch.nn.Parameter(torch.zeros(2))}
    ema = Ema(trainable, 0.5)
    trainable["b"] = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(RuntimeError):  # Never a part of the weights without the rest.
        ema.update(1)
    ema.follow()
    trainable["b"].data.fill_(2.0)
    ema.update(100)
    with ema.applied():
        assert [p.tolist() for p in trainable.values()] == [[0.0, 0.0], [1.5, 1.5]]
    assert trainable["b"].tolist() == [2.0, 2.0]
