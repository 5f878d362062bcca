"""Steps as captured graphs: everything but the capture itself, for which a function stands here that runs again."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from cn.train.fast.engines import Plain
from cn.train.fast.graphs import MAX_GRAPHS, WARM_UP, Captured
from cn.train.latent_batches import micro_batches
from cn.train.step_inputs import StepInputs
from cn.train.task import Task
from cn.train.trainer import Trainer
from tests.helpers.training import begin


class Capture:
    """Like `cuda_capture`: runs leave gradients behind, a replay computes from the same tensors into the same one."""

    def __init__(self) -> None:
        self.captured = 0

    def __call__(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.captured += 1
        for _ in range(WARM_UP):
            result = run().clone()

        def replay() -> Tensor:
            return result.copy_(run())

        return replay


def inputs(batch: int, value: float) -> StepInputs:
    z = torch.full((batch, 1), value)
    return StepInputs(z, torch.zeros(batch, dtype=torch.uint8), z, torch.zeros(batch, dtype=torch.long), z)


def engine(weight: nn.Parameter, capture: Callable, warn: Callable = pytest.fail) -> Captured:
    def loss_of(z0: Tensor, *others: Tensor) -> Tensor:
        return (weight * z0).sum()

    def backward(loss: Tensor) -> Tensor:
        loss.backward()
        return loss.detach()

    return Captured(Plain(loss_of, backward), [weight], warn, capture)


def test_gradients_are_those_of_each_batch_added_up():
    weight, capture = nn.Parameter(torch.tensor(2.0)), Capture()
    captured = engine(weight, capture)
    first = captured.gradient(inputs(3, 1.0))
    assert weight.grad == 3
    address = weight.grad.data_ptr()
    second = captured.gradient(inputs(3, 5.0))
    third = captured.gradient(inputs(2, 1.0))  # The last batch of another shape, in the middle of a step.
    assert (first, second, third) == (6, 30, 4)
    assert weight.grad == 3 + 15 + 2
    assert weight.grad.data_ptr() == address
    assert capture.captured == 2
    weight.grad.zero_()
    weight.data.fill_(1.0)
    assert captured.gradient(inputs(3, 7.0)) == 21
    assert weight.grad == 21
    assert capture.captured == 2


def test_shapes_beyond_the_limit_run_plainly():
    weight, capture = nn.Parameter(torch.tensor(1.0)), Capture()
    captured = engine(weight, capture)
    for batch in range(1, MAX_GRAPHS + 3):
        assert captured.gradient(inputs(batch, 1.0)) == batch
    assert weight.grad == sum(range(1, MAX_GRAPHS + 3))
    assert capture.captured == MAX_GRAPHS


def test_where_nothing_can_be_captured_it_says_so_once_and_runs_plainly():
    weight, warnings = nn.Parameter(torch.tensor(1.0)), []

    def refuse(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        run()
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore lines")

    captured = engine(weight, refuse, warnings.append)
    assert captured.gradient(inputs(2, 1.0)) == 2
    assert captured.gradient(inputs(3, 1.0)) == 3
    assert weight.grad == 5
    assert warnings == [
        "the step cannot be captured in a CUDA graph (CUDA error: operation not permitted when stream is capturing): "
        "it runs slower"
    ]


def test_memory_that_is_short_is_not_hidden():
    def refuse(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        engine(nn.Parameter(torch.tensor(1.0)), refuse).gradient(inputs(1, 1.0))


def captured_trainer(task: Task) -> Trainer:
    trainer = Trainer(task.networks, task.config)
    assert isinstance(trainer.engine, Plain)
    trainer.engine = Captured(trainer.engine, task.networks.trainable.values(), pytest.fail, Capture())
    return trainer


@pytest.mark.parametrize("given", [{"accumulate": 2, "links": "full"}, {"precision": "bf16", "links": "middle"}])
def test_training_with_graphs_has_the_bits_of_training_without(tmp_path, tiny_base_file, pair_set, given):
    def trained(make: Callable[[Task], Trainer]) -> tuple[list, list[Tensor]]:
        task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=3, **given)
        trainer = make(task)
        stream = micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail)
        numbers = [trainer.take_step(stream).numbers() for _ in range(3)]
        return numbers, [p.detach() for p in task.networks.trainable.values()]

    plain, graphs = (trained(make) for make in (lambda task: Trainer(task.networks, task.config), captured_trainer))
    assert graphs[0] == plain[0]
    assert all(torch.equal(a, b) for a, b in zip(plain[1], graphs[1], strict=True))


def test_parameters_without_a_gradient_get_none(tmp_path, tiny_base_file, pair_set):
    """Weight decay would change them."""
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=1)
    unused = nn.Parameter(torch.ones(2))
    task = replace(task, networks=replace(task.networks, trainable={**task.networks.trainable, "unused": unused}))
    trainer = captured_trainer(task)
    stream = micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail)
    trainer.take_step(stream).numbers()
    assert unused.grad is None
    assert torch.equal(unused, torch.ones(2))
