"""Images in batches: the same ones in the same order, with whatever memory there is."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import chain

import numpy as np
import pytest
import torch

from cn.model.engine import SamplingEngine
from cn.model.generate import Request, Sampling
from cn.sample import batches
from cn.sample.batches import ControlSetting, Settings, Wanted, sample_batches
from tests.helpers.model_helpers import control, tiny_base, uniform

BASE = tiny_base()
SETTINGS = Settings(Sampling(height=32, width=40, steps=2), (ControlSetting(control("tiny"), 0.5),))
PLAIN = replace(SETTINGS, controls=())


def hint(name: str) -> np.ndarray:
    return (uniform(name, (32, 40, 3)).sigmoid() * 255).to(torch.uint8).numpy()


ONE, OTHER = hint("one"), hint("other")
WANTED = [
    Wanted(Request("a cat", 1), SETTINGS, (ONE,)),
    Wanted(Request("a dog", 2, "a cat"), SETTINGS, (OTHER,)),
    Wanted(Request("a house", 3), SETTINGS, (OTHER,)),
    Wanted(Request("a house", 4), PLAIN),
    Wanted(Request("a tree", 5), PLAIN),
    Wanted(Request("a cat", 6), SETTINGS, (ONE,)),
]
STEPS = len(WANTED) * 2


class Memory:
    """Stands for `launch`: fails for more than `most` images at once, and remembers the sizes of the batches."""

    def __init__(self, most: int, error: Exception | None = None):
        self.most, self.launch, self.tried = most, batches.launch, list[int]()
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def __call__(self, base, requests, sampling, controls, start, on_step, engine, watch):
        self.tried.append(len(requests))
        if len(requests) > self.most:
            on_step()
            raise self.error
        return self.launch(base, requests, sampling, controls, start, on_step, engine, watch)


def sampled(size: int, wanted: list[Wanted] = WANTED) -> tuple[list[np.ndarray], list[int]]:
    steps = list[int]()
    return list(chain.from_iterable(sample_batches(BASE, wanted, SamplingEngine(), size, steps.append))), steps


@cache
def alone() -> list[np.ndarray]:
    """The images one by one."""
    return sampled(1)[0]


@pytest.fixture(scope="module", autouse=True)
def _before_memory_runs_out() -> None:
    """Not where tests are collected, which every process does, and before a test changes how images are made."""
    alone()


def close(images: list[np.ndarray]) -> bool:
    """The images that are sampled one by one, but for rounding."""
    assert len(images) == len(alone())
    return all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(images, alone(), strict=True))


def test_images_differ():
    assert len({image.tobytes() for image in alone()}) == len(alone())


@pytest.mark.parametrize(("size", "batches_made"), [(2, [2, 1, 2, 1]), (3, [3, 2, 1]), (64, [3, 2, 1])])
def test_a_batch_holds_images_of_the_same_settings(monkeypatch, size, batches_made):
    memory = Memory(64)
    monkeypatch.setattr(batches, "launch", memory)
    images, steps = sampled(size)
    assert close(images)
    assert memory.tried == batches_made
    assert sum(steps) == STEPS


@pytest.mark.parametrize(("most", "tried"), [(1, [3, 2, 1, 1, 1, 1, 1, 1]), (2, [3, 2, 1, 2, 1])])
def test_where_memory_runs_out_half_as_many_are_tried(monkeypatch, most, tried):
    """No image is lost, and steps that were counted are taken back."""
    memory = Memory(most)
    monkeypatch.setattr(batches, "launch", memory)
    images, steps = sampled(3)
    assert close(images)
    assert memory.tried == tried
    assert sum(steps) == STEPS
    assert min(steps) < 0


def test_previews_know_their_images_where_memory_runs_out(monkeypatch):
    class Previews:
        every, seen = 2, list[tuple[int, int]]()

        def __call__(self, first, latents):
            self.seen.append((first, len(latents)))

    previews = Previews()
    plain = [image.tobytes() for image in sampled(2)[0]]
    monkeypatch.setattr(batches, "launch", Memory(2))
    made = list(sample_batches(BASE, WANTED, SamplingEngine(), 3, lambda count: None, previews))
    assert [image.tobytes() for batch in made for image in batch] == plain
    assert previews.seen[:1] == [(0, 2)]
    numbers = {first + k for first, count in previews.seen for k in range(count)}
    assert numbers == set(range(len(WANTED)))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("out of memory"), RuntimeError("a shape is wrong")])
def test_what_cannot_be_helped_is_raised(monkeypatch, error):
    """After the images before it."""
    memory = Memory(64)
    monkeypatch.setattr(batches, "launch", memory)
    source = sample_batches(BASE, WANTED, SamplingEngine(), 1, lambda count: None)
    assert np.array_equal(next(source), alone()[:1])
    memory.most, memory.error = 0, error
    with pytest.raises(type(error), match=str(error)):
        next(source)


def test_a_condition_that_all_share_is_encoded_once(monkeypatch):
    rows = list[int]()

    def launch(base, requests, sampling, controls, *others):
        rows.extend(c.hint.shape[0] for c in controls)
        return original(base, requests, sampling, controls, *others)

    original: Callable = batches.launch
    monkeypatch.setattr(batches, "launch", launch)
    shared = [replace(WANTED[1], request=Request("a cat", seed)) for seed in range(3)]
    sampled(3, shared)
    sampled(3, WANTED[:3])
    assert rows == [1, 3]


def test_images_are_read_a_batch_ahead():
    """Of many conditions, few are in memory."""
    read = list[int]()

    def wanted():
        for number in range(8):
            read.append(number)
            yield replace(WANTED[0], request=Request("a cat", number))

    source = sample_batches(BASE, wanted(), SamplingEngine(), 2, lambda count: None)
    next(source)
    assert read == [0, 1]
