"""Steps as captured graphs: everything but the capture itself, for which a function stands here that runs again."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from cn.model.graphs import MAX_GRAPHS, MIN_FREE, Graphs
from cn.model.vae import Posterior
from cn.train.fast.encoding import CapturedEncode
from cn.train.fast.engines import Plain
from cn.train.fast.graphs import Captured
from cn.train.latent_batches import micro_batches
from cn.train.step_inputs import StepInputs
from cn.train.task import Task
from cn.train.trainer import Trainer
from tests.helpers.graphs import Capture
from tests.helpers.training import begin


def inputs(batch: int, value: float) -> StepInputs:
    z = torch.full((batch, 1), value)
    return StepInputs(z, torch.zeros(batch, dtype=torch.uint8), z, torch.zeros(batch, dtype=torch.long), z)


def engine(
    weight: nn.Parameter, capture: Callable, warn: Callable = pytest.fail, *, accumulates: bool = True
) -> Captured:
    def loss_of(z0: Tensor, *others: Tensor) -> Tensor:
        return (weight * z0).sum()

    def backward(loss: Tensor) -> Tensor:
        loss.backward()
        return loss.detach()

    return Captured(Plain(loss_of, backward), [weight], Graphs(warn, capture), accumulates=accumulates)


def test_gradients_are_those_of_each_batch_added_up():
    weight, capture = nn.Parameter(torch.tensor(2.0)), Capture()
    captured = engine(weight, capture)
    first = captured.gradient(inputs(3, 1.0))
    assert weight.grad == 3
    second = captured.gradient(inputs(3, 5.0))
    third = captured.gradient(inputs(2, 1.0))  # The last batch of another shape, in the middle of a step.
    assert (first, second, third) == (6, 30, 4)
    assert weight.grad == 3 + 15 + 2
    assert capture.captured == 2
    weight.grad = None
    weight.data.fill_(1.0)
    assert captured.gradient(inputs(3, 7.0)) == 21
    assert weight.grad == 21
    assert capture.captured == 2


def test_steps_of_one_batch_take_the_gradients_where_the_graph_writes_them():
    weight, capture = nn.Parameter(torch.tensor(2.0)), Capture()
    captured, places = engine(weight, capture, accumulates=False), set()
    for value in (1.0, 5.0, 7.0):
        weight.grad = None
        captured.gradient(inputs(3, value))
        assert weight.grad == 3 * value
        places.add(weight.grad.data_ptr())
    assert len(places) == 1


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


def test_without_memory_for_a_graph_it_runs_without_one():
    def refuse(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    warnings = []
    captured = engine(nn.Parameter(torch.tensor(1.0)), refuse, warnings.append)
    assert captured.gradient(inputs(2, 1.0)) == 2
    assert len(warnings) == 1
    assert "CUDA out of memory. Tried to allocate 2 GiB" in warnings[0]


def test_graphs_give_way_to_sampling_where_memory_is_short():
    """They are captured again at the next step, and its gradient is the same."""
    weight, capture, free = nn.Parameter(torch.tensor(1.0)), Capture(), [MIN_FREE]
    captured = engine(weight, capture)
    captured.graphs = Graphs(pytest.fail, capture, lambda: free[0])
    assert captured.gradient(inputs(2, 1.0)) == 2
    captured.graphs.make_room()
    assert captured.gradient(inputs(2, 3.0)) == 6
    assert capture.captured == 1
    free[0] = MIN_FREE - 0.01
    captured.graphs.make_room()
    weight.grad = None
    assert captured.gradient(inputs(2, 5.0)) == 10
    assert weight.grad == 10
    assert capture.captured == 2


def encode(images: Tensor) -> Posterior:
    return Posterior(images.mean(1), images.std(1))


def test_encoding_by_graphs_gives_latents_of_their_own():
    capture = Capture()
    captured = CapturedEncode(encode, Graphs(pytest.fail, capture))
    batches = [torch.rand(count, 3, 4, 4) for count in (2, 2, 1, 2)]
    found = [captured(batch) for batch in batches]
    for posterior, batch in zip(found, batches, strict=True):
        assert torch.equal(posterior.mean, encode(batch).mean)
        assert torch.equal(posterior.std, encode(batch).std)
    assert capture.captured == 2


def captured_trainer(task: Task) -> Trainer:
    trainer = Trainer(task.networks, task.config)
    assert isinstance(trainer.engine, Plain)
    trainer.graphs = Graphs(pytest.fail, Capture())
    more = task.config.accumulate > 1
    trainer.engine = Captured(trainer.engine, task.networks.trainable.values(), trainer.graphs, accumulates=more)
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
