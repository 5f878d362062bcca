"""Sampling with CUDA graphs: everything but the capture itself, for which a function stands here that runs again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cn.model.base import Base
from cn.model.engine import SamplingEngine
from cn.model.generate import Request, Sampling, generate
from cn.model.graphs import MAX_GRAPHS, Graphs
from cn.model.guidance import ControlInput
from cn.model.start import StartImage
from tests.helpers.graphs import Capture
from tests.helpers.model_helpers import control, fill, tiny_base, uniform

BASE = tiny_base()
REQUESTS = [Request("a cat", 3), Request("a red house", 4, negative="blue"), Request("", 5)]
SMALL = Sampling(height=40, width=56, steps=4)


def side(rows: int = 1, **options: float) -> ControlInput:
    return ControlInput(control("tiny"), uniform("hint", (rows, 3, 40, 56)).sigmoid(), **options)


def images(graphs: Graphs | None, sampling: Sampling = SMALL, controls=(), **options) -> list[np.ndarray]:
    return list(generate(BASE, REQUESTS, sampling, controls, engine=SamplingEngine(graphs), **options))


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("sampling", "controls", "captured"),
    [
        (SMALL, [], 1),
        (SMALL, [side()], 1),
        (SMALL, [side(), side(end=0.5)], 2),
        (SMALL, [side(rows=3, start=0.5)], 2),
        (replace(SMALL, scale=1.0), [side()], 1),
        (replace(SMALL, guess=True, eta=1.0), [side(strength=0.5)], 1),
    ],
    ids=["no control", "control", "two, one ends", "one begins", "no guidance", "guess mode, noise"],
)
def test_images_are_those_without_graphs(sampling, controls, captured):
    """One graph for each set of active controls, for all images and their own prompts and conditions."""
    capture = Capture()
    assert same(images(Graphs(pytest.fail, capture), sampling, controls), images(None, sampling, controls))
    assert capture.captured == captured
    assert capture.replayed == len(REQUESTS) * sampling.steps


def test_constants_are_copied_where_they_are_others():
    """What all steps of a batch share costs nothing at each of them."""
    graphs, a, b = Graphs(pytest.fail, Capture()), torch.ones(2), torch.full((2,), 5.0)
    graphs.add("sum", torch.add, (torch.zeros(2),), constants=(a,))

    def summed(x: float, constant: torch.Tensor) -> float:
        return float(graphs.replay("sum", (torch.full((2,), x),), constants=(constant,))[0])

    assert summed(1, a) == 2
    a.zero_()  # Not noticed: it is said to be constant.
    assert summed(2, a) == 3
    assert summed(2, b) == 7
    assert summed(3, a) == 3
    assert not graphs.has("sum", (torch.zeros(2),))
    assert not graphs.has("sum", (torch.zeros(2),), constants=(torch.zeros(3),))


def test_a_graph_keeps_nothing_of_its_first_images_but_what_it_reads():
    graphs = Graphs(pytest.fail, Capture())
    images(graphs, controls=[side()])
    (graph,) = graphs._graphs.values()
    prediction = graph.function
    kept = [prediction.network.cond, prediction.network.uncond, *(c.hint for c in prediction.active)]
    assert [tensor.numel() for tensor in kept] == [0, 0, 0]
    assert prediction.network.context is None
    assert all(c.encoded is None and c.context is None for c in prediction.active)


def test_a_part_of_a_batch_has_its_own_graph():
    capture = Capture()
    assert same(images(Graphs(pytest.fail, capture), batch_size=2), images(None, batch_size=2))
    assert capture.captured == 2


def test_later_calls_use_the_same_graphs_unless_something_else_is_computed():
    capture = Capture()
    graphs = Graphs(pytest.fail, capture)
    for _ in range(2):
        images(graphs, controls=[side()])
    assert capture.captured == 1
    for sampling, strength in ((SMALL, 0.5), (replace(SMALL, scale=3.0), 1.0), (replace(SMALL, guess=True), 1.0)):
        controls, before = [side(strength=strength)], capture.captured
        assert same(images(graphs, sampling, controls), images(None, sampling, controls))
        assert capture.captured == before + 1
    with torch.autocast("cpu", torch.bfloat16):
        assert same(images(graphs, controls=[side()]), images(None, controls=[side()]))
    assert capture.captured == 5


def test_samplers_with_fractions_of_timesteps_share_the_graph_of_those_without():
    """A graph has the dtype of the timesteps that it was captured with: fractions must not be cut off in it."""
    capture = Capture()
    graphs = Graphs(pytest.fail, capture)
    for sampling in (SMALL, replace(SMALL, sampler="euler", sigmas="karras"), replace(SMALL, sampler="dpm++2m")):
        assert same(images(graphs, sampling, [side()]), images(None, sampling, [side()]))
    assert capture.captured == 1


def test_the_mask_of_an_inpainting_base_goes_into_the_graph():
    config = replace(BASE.config, unet=replace(BASE.config.unet, in_channels=9))
    base = Base.create(config)
    for network in base.networks.values():
        fill(network)
    base.lock()
    found, capture = [], Capture()
    for graphs in (Graphs(pytest.fail, capture), None):
        for seed in (1, 2):
            image = uniform(f"image {seed}", (1, 3, 40, 56)).tanh()
            mask = (uniform(f"mask {seed}", (1, 1, 40, 56)) > 1.6).float()
            start = StartImage(image, mask=mask)
            found += generate(base, REQUESTS[:1], SMALL, [side()], start=start, engine=SamplingEngine(graphs))
    assert capture.captured == 1
    assert same(found[:2], found[2:])
    assert not np.array_equal(*found[:2])


def test_an_engine_that_does_not_capture_gives_graphs_up_where_memory_runs_out():
    capture = Capture()
    engine = SamplingEngine(Graphs(pytest.fail, capture))
    other = engine.computing(captured=False, compiled=False)
    for one in (engine, other):
        list(generate(BASE, REQUESTS[:1], SMALL, engine=one))
    assert (capture.captured, capture.replayed) == (1, SMALL.steps)
    other.clear()
    list(generate(BASE, REQUESTS[:1], SMALL, engine=engine))
    assert capture.captured == 2


def test_beyond_the_limit_it_samples_without():
    capture = Capture()
    graphs = Graphs(pytest.fail, capture)
    for number in range(MAX_GRAPHS + 2):
        images(graphs, replace(SMALL, steps=1, scale=2.0 + number))
    assert capture.captured == MAX_GRAPHS
    last = replace(SMALL, steps=1, scale=2.0 + MAX_GRAPHS)
    assert same(images(graphs, last), images(None, last))


def test_weights_are_cast_in_the_graph_and_not_before():
    """Autocast keeps the weights that it has cast while its context lasts: a graph would go on reading them."""
    found = []
    hook = BASE.unet.register_forward_pre_hook(lambda *_: found.append(torch.is_autocast_cache_enabled()))
    with torch.autocast("cpu", torch.bfloat16):
        images(Graphs(pytest.fail, Capture()))
        assert torch.is_autocast_cache_enabled()
    hook.remove()
    assert found
    assert not any(found)
