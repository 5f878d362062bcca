"""Training sessions of pretraining: budgets, learning rates, resumption, EMA."""

import json
import os
import signal
from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from cn.errors import CnError
from cn.model.graphs import Graphs
from cn.pretrain import budget as budgets
from cn.pretrain import gpu, session
from cn.pretrain.budget import Budget, learning_rate
from cn.pretrain.gpu import Gradient
from cn.pretrain.master_weights import MasterWeights, StageConfig
from cn.pretrain.session import train_session
from tests.helpers.graphs import Capture


def test_budget_of_steps():
    budget = Budget(steps=4)
    fractions = [budget.fraction]
    for _ in range(5):
        budget.tick()
        fractions.append(budget.fraction)
    assert fractions == [0, 0.25, 0.5, 0.75, 1, 1]
    with pytest.raises(ValueError, match="steps or minutes"):
        Budget()


def test_budget_of_minutes_counts_all_sessions_but_not_the_time_between(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(budgets.time, "monotonic", lambda: now[0])
    budget = Budget(minutes=1, deadline=150.0)
    now[0] = 110.0
    budget.start()
    now[0] = 125.0
    budget.tick()
    assert (budget.step, budget.seconds, budget.fraction, budget.session_over) == (1, 15.0, 0.25, False)
    now[0] = 151.0
    assert budget.session_over
    later = Budget(minutes=1, step=budget.step, seconds=budget.seconds)
    now[0] = 181.0
    later.tick()
    assert later.fraction == 0.75
    now[0] = 200.0
    later.tick()
    assert (later.step, later.fraction) == (3, 1.0)


def test_learning_rate_rises_stays_and_falls_to_one_per_cent():
    budget, rates = Budget(steps=100), []
    for _ in range(101):
        rates.append(learning_rate(2.0, budget.step, budget.fraction, warmup=10, decay_from=0.5))
        budget.tick()
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[9:51] == pytest.approx([2.0] * 42)
    assert rates[75] == pytest.approx(2.0 * (0.01 + 0.99 * 0.5))
    assert all(a > b for a, b in pairwise(rates[51:]))
    assert rates[100] == pytest.approx(0.02)


class Line(nn.Module):
    """A small problem whose draws are random, so that the random state matters between sessions."""

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.layer(x) - y).square().mean()


class ShortSession(Budget):
    """Ends its session after three steps."""

    @property
    def session_over(self) -> bool:
        return self.step >= 3


def draw(step: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(8, 3)
    return x, x.sum(dim=1, keepdim=True) + step


SETTINGS = StageConfig(batch_size=8, learning_rate=0.1, warmup=2, ema_decay=0.9)


def test_two_sessions_equal_one(tmp_path):
    whole, first, second = Line(), Line(), Line(seed=9)
    train_session("line", whole, draw, tmp_path / "whole.pt", Budget(steps=7), SETTINGS)
    train_session("line", first, draw, tmp_path / "parts.pt", ShortSession(steps=7), SETTINGS)
    assert torch.load(tmp_path / "parts.pt", weights_only=True)["step"] == 3
    torch.manual_seed(123)
    budget = Budget(steps=7)
    train_session("line", second, draw, tmp_path / "parts.pt", budget, SETTINGS)
    assert budget.step == 7
    assert torch.equal(second.layer.weight, whole.layer.weight)
    assert torch.equal(second.layer.bias, whole.layer.bias)
    assert not torch.equal(first.layer.weight, whole.layer.weight)
    one, two = (torch.load(tmp_path / f"{name}.pt", weights_only=True)["weights"] for name in ("whole", "parts"))
    assert all(torch.equal(a, b) for a, b in zip(one["master"], two["master"], strict=True))


def test_a_complete_stage_takes_no_more_steps(tmp_path):
    module = Line()
    train_session("line", module, draw, tmp_path / "s.pt", Budget(steps=2), SETTINGS)
    done = module.layer.weight.clone()
    train_session("line", module, draw, tmp_path / "s.pt", Budget(steps=2), SETTINGS)
    assert torch.equal(module.layer.weight, done)


def test_a_signal_ends_the_session_after_its_step_and_saves(tmp_path):
    module, before = Line(), signal.getsignal(signal.SIGTERM)

    def interrupted(step: int) -> tuple[Tensor, Tensor]:
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(step)

    train_session("line", module, interrupted, tmp_path / "s.pt", Budget(steps=9), SETTINGS)
    assert torch.load(tmp_path / "s.pt", weights_only=True)["step"] == 3
    assert signal.getsignal(signal.SIGTERM) == before


def test_states_are_saved_every_few_minutes(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "SAVE_SECONDS", -1.0)
    path = tmp_path / "s.pt"

    def fail_late(step: int) -> tuple[Tensor, Tensor]:
        if step == 4:
            raise KeyError(step)
        return draw(step)

    with pytest.raises(KeyError):
        train_session("line", Line(), fail_late, path, Budget(steps=9), SETTINGS)
    assert torch.load(path, weights_only=True)["step"] == 4


def test_weights_that_became_infinite_are_not_saved(tmp_path):
    path = tmp_path / "s.pt"

    def infinite(step: int) -> tuple[Tensor, Tensor]:
        x, y = draw(step)
        return x * (float("nan") if step == 2 else 1.0), y

    train_session("line", Line(), draw, path, Budget(steps=2), SETTINGS)
    with pytest.raises(CnError, match="diverged at step 3"):
        train_session("line", Line(), infinite, path, Budget(steps=3), SETTINGS)
    assert torch.load(path, weights_only=True)["step"] == 2


def test_losses_are_logged(tmp_path, capsys):
    train_session("line", Line(), draw, tmp_path / "s.pt", Budget(steps=100), SETTINGS)
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 20, 100]
    assert all(line["loss"] > 0 for line in lines)
    assert lines[-1]["rate"] < lines[1]["rate"]
    assert "line step 100 (100 %)" in capsys.readouterr().out


def test_the_ema_follows_and_is_left_in_the_module():
    module = Line()
    weights, expected = MasterWeights(module, SETTINGS), module.layer.weight.detach().double()
    for step in range(30):
        module(*draw(step)).backward()
        weights.update(0.1, step)
        keep = min(0.9, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * module.layer.weight.detach().double()
    assert not torch.allclose(module.layer.weight.double(), expected, rtol=1e-4)
    weights.finish()
    assert torch.allclose(module.layer.weight.detach().double(), expected, rtol=1e-5)
    assert module.layer.weight.grad is None


class Convolution(nn.Module):
    """With weights whose layout matters."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(4, 6, 3)
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.to(self.layer.weight.dtype)).float().square().mean()


def test_weights_in_half_precision_follow_their_masters():
    """The gradient is that of the rounded weights; masters, moments and EMA take the layout of the weights, also when
    a session goes on whose weights had another one; an unused weight stays."""
    module = Convolution()
    module.layer.to(memory_format=torch.channels_last)
    weights = MasterWeights(module, SETTINGS, half=True)
    start, x = weights.master[1].detach().clone(), torch.randn(2, 4, 8, 8)
    assert module.layer.weight.dtype == torch.bfloat16
    for step in range(2):
        module(x).backward()
        gradient = module.layer.weight.grad.float()
        weights.update(1e-3, step)
        assert all(p.grad is None for p in module.parameters())
    assert (weights.gradients[1] / gradient).std() < 1e-2  # The same, clipped.
    assert not torch.equal(weights.master[1], start)
    assert torch.equal(module.layer.weight, weights.master[1].bfloat16())
    assert torch.equal(module.unused, torch.ones(2))

    again = MasterWeights(Convolution(), SETTINGS, half=True)
    again.restore(deepcopy(weights.state()))
    for ours, theirs in zip((again, weights), (weights, again), strict=True):
        moments = ours.optimizers[0].state[ours.master[1]]
        assert moments["exp_avg"].stride() == moments["exp_avg_sq"].stride() == ours.master[1].stride()
        assert ours.ema[1].stride() == ours.master[1].stride() != theirs.master[1].stride()
    for ours in (again, weights):
        ours.module(x).backward()
        ours.update(1e-3, 2)
        ours.finish()
        assert ours.module.layer.weight.is_contiguous()
    torch.testing.assert_close(again.module.layer.weight, weights.module.layer.weight, rtol=1e-4, atol=1e-6)


def test_a_captured_gradient_is_the_plain_one():
    plain, captured, capture = Convolution(), Convolution(), Capture()
    ways = [
        Gradient(plain, list(plain.parameters()), None),
        Gradient(captured, list(captured.parameters()), Graphs(pytest.fail, capture)),
    ]
    for size in (8, 8, 6, 8):
        x = torch.randn(2, 4, size, size)
        one, other = [float(way(x)) for way in ways]
        assert one == other
        assert torch.equal(plain.layer.weight.grad, captured.layer.weight.grad)
        assert plain.unused.grad is None
        assert captured.unused.grad is None
    assert (capture.captured, capture.replayed) == (2, 4)


def test_where_nothing_can_be_captured_it_says_so_and_goes_on():
    def fail(run: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    module, warnings = Convolution(), []
    gradient = Gradient(module, list(module.parameters()), Graphs(warnings.append, fail))
    x = torch.randn(2, 4, 8, 8)
    assert gradient(x) == gradient(x) == module(x)
    assert module.layer.weight.grad is not None
    assert len(warnings) == 1
    assert "training step cannot be captured" in warnings[0]


def test_kernels_are_prepared_on_a_gpu_only_and_their_want_is_told_once(monkeypatch, capsys):
    asked = []

    def use(networks: list[nn.Module], device: torch.device, dtype: torch.dtype) -> str | None:
        asked.append((device.type, dtype))
        return "No module named 'triton'" if len(asked) < 3 else None

    monkeypatch.setattr(gpu, "use_training_kernels", use)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    assert not gpu.prepare(Line(), torch.device("cpu"))
    assert asked == []
    found = [gpu.prepare(Line(), torch.device("cuda")) for _ in range(3)]
    assert found == [False, False, True]
    assert asked == [("cuda", torch.bfloat16)] * 3
    assert capsys.readouterr().err.count("No module named 'triton'") == 1
