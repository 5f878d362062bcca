"""The optimizer's step: nothing in it waits for the device, and what is not finite changes nothing."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from cn.train import trainer as trainers
from cn.train.divergence import DivergedError
from cn.train.fast.update import Numbers, gradient_norm, update
from cn.train.latent_batches import LatentBatch, micro_batches
from cn.train.optimizer import make_optimizer
from cn.train.trainer import Trainer
from tests.helpers.training import begin


class NoReads(TorchDispatchMode):
    """Fails where the program asks for the value of a tensor: on a GPU it would wait there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default), func
        return func(*args, **(kwargs or {}))


def test_the_mode_notices_reads():
    for read in (torch.Tensor.item, bool, float):
        with NoReads(), pytest.raises(AssertionError):
            read(torch.ones(()))


@pytest.mark.parametrize(
    "given", [{}, {"accumulate": 2, "precision": "bf16"}, {"links": "middle", "checkpoint_activations": True}]
)
def test_a_step_reads_nothing_from_the_device(tmp_path, tiny_base_file, pair_set, given):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=2, **given)
    trainer = Trainer(task.networks, task.config)
    batches = list(micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail))
    before = [p.detach().clone() for p in task.networks.trainable.values()]
    with NoReads():
        pending = [trainer.take_step(iter(batches[:2])) for _ in range(2)]
    assert all(math.isfinite(number) for step in pending for number in step.numbers())
    assert any(not torch.equal(a, p) for a, p in zip(before, task.networks.trainable.values(), strict=True))


def snapshot(trainer: Trainer) -> list[torch.Tensor]:
    """Weights, moments and step counts."""
    states = trainer.optimizer.state.values()
    return [
        *(p.detach().clone() for p in trainer.networks.trainable.values()),
        *(value.clone() for state in states for value in state.values()),
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(tmp_path, tiny_base_file, pair_set, monkeypatch, value, what):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=9)
    trainer = Trainer(task.networks, task.config)
    batches = micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail)
    trainer.take_step(batches).numbers()
    before, plain = snapshot(trainer), trainers.batch_loss

    def spoiled(*args: Any) -> torch.Tensor:
        loss = plain(*args)
        if what == "loss":
            # Its gradient stays finite.
            return loss + torch.full_like(loss, value)
        task.networks.control.zero_middle.bias.register_hook(lambda gradient: gradient * value)
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(trainers, "batch_loss", spoiled)
        pending = trainer.take_step(batches)
    with pytest.raises(DivergedError, match=f"the {what} at step 2 is not a finite number"):
        pending.numbers()
    assert all(torch.equal(a, b) for a, b in zip(before, snapshot(trainer), strict=True))
    task.networks.control.zero_middle.bias._backward_hooks = None
    trainer.take_step(batches).numbers()
    assert not all(torch.equal(a, b) for a, b in zip(before, snapshot(trainer), strict=True))


@pytest.mark.parametrize("fused", [True, False])
def test_both_kinds_of_optimizers_skip_such_a_step(fused):
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    for gradient, moves in ((1.0, True), (float("inf"), False), (2.0, True)):
        before = weight.detach().clone()
        weight.grad = torch.full((3,), gradient)
        update(optimizer, scaler, gradient_norm([weight]), torch.ones(()))
        assert torch.equal(before, weight.detach()) is not moves
    assert optimizer.state[weight]["step"] == 2
    assert not hasattr(optimizer, "found_inf")


def test_infinite_gradients_of_fp16_lower_the_loss_scale_alone():
    """As torch's scaler does by itself, which is compared."""
    weight, twin = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimizers = [torch.optim.AdamW([p], lr=0.1, fused=True) for p in (weight, twin)]
    scalers = [torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2) for _ in range(2)]
    scales = []
    for factor in (1.0, float("inf"), 1.0, 1.0, 1.0):
        for parameter, optimizer, scaler in zip((weight, twin), optimizers, scalers, strict=True):
            optimizer.zero_grad()
            loss = (parameter * torch.arange(3)).sum()
            scaler.scale(loss * factor).backward()
            scaler.unscale_(optimizer)
            if parameter is weight:
                update(optimizer, scaler, gradient_norm([parameter]), loss.detach())
            else:
                scaler.step(optimizer)
                scaler.update()
        scales.append(scalers[0].get_scale())
    assert scales == [4.0, 2.0, 2.0, 4.0, 4.0]
    assert torch.equal(weight, twin)
    assert scalers[0].state_dict() == scalers[1].state_dict()
    assert optimizers[0].state[weight]["step"] == 4


def test_adamw_is_fused_and_computes_what_the_plain_one_does(tmp_path, tiny_base_file, pair_set):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=1)
    fused = make_optimizer(task.networks, task.config)
    assert fused.defaults["fused"]
    mine = [p.detach().clone().requires_grad_() for p in task.networks.trainable.values()]
    plain = torch.optim.AdamW(mine, lr=task.config.lr, fused=False, foreach=False)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for parameter, copy in zip(task.networks.trainable.values(), mine, strict=True):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            copy.grad = parameter.grad.clone()
        fused.step()
        plain.step()
    for parameter, copy in zip(task.networks.trainable.values(), mine, strict=True):
        torch.testing.assert_close(parameter.detach(), copy.detach(), rtol=1e-5, atol=1e-7)


def test_numbers_arrive_as_they_were():
    assert Numbers.of(torch.tensor(1.5), torch.tensor(2.0, dtype=torch.bfloat16)).wait() == [1.5, 2.0]


def test_batches_of_a_step_are_those_of_its_number(tmp_path, tiny_base_file, pair_set):
    """A step takes `accumulate` batches and no more."""
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=2, accumulate=2)
    trainer, taken = Trainer(task.networks, task.config), []

    def counted() -> Any:
        stream = micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail)
        for batch in stream:
            taken.append(batch)
            yield batch

    stream = counted()
    trainer.take_step(stream)
    assert len(taken) == 2
    assert all(isinstance(batch, LatentBatch) for batch in taken)
