"""Prompts in chunks of 75 tokens, with weights: AUTOMATIC1111's own numbers, and how batches are made of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cn.model import generate as module
from cn.model.chunks import chunk_count, chunks, encode
from cn.model.engine import SamplingEngine
from cn.model.generate import Request, Sampling, generate
from cn.model.graphs import Graphs
from cn.model.text import TextEncoder
from tests.golden import cases
from tests.helpers.graphs import Capture
from tests.helpers.model_helpers import GOLDEN, TEXTS, fill, golden, relative, tiny_base

BASE = tiny_base()
SMALL = Sampling(height=40, width=56, steps=2)
LONG = "very " * 80 + "(cold:1.4)"


def test_chunks_agree_with_the_web_ui():
    """Tokens and weights of each chunk."""
    expected = json.loads((GOLDEN / "prompts.json").read_text(encoding="utf-8"))
    assert list(expected) == cases.WEIGHTED_PROMPTS
    for prompt, wanted in expected.items():
        found = chunks(prompt, "a1111")
        assert [list(c.tokens) for c in found] == [c["tokens"] for c in wanted], prompt
        assert [list(c.weights) for c in found] == [pytest.approx(c["weights"]) for c in wanted], prompt


@pytest.mark.parametrize("layout", ["sd1", "sd2"])
def test_states_agree_with_the_web_ui(layout):
    """Padding of each chunk, weights, and the mean that is restored; SD 2 with its penultimate layer."""
    text = fill(TextEncoder(TEXTS[layout])).requires_grad_(False)
    for number, prompt in enumerate(cases.WEIGHTED_PROMPTS):
        ours = encode(text, [(prompt, "a1111")], chunk_count("a1111", prompt))
        assert relative(cases.thin_text(ours), golden("prompts")[f"{layout}.{number}"]) < 4e-6, prompt


def test_a_plain_prompt_is_as_before():
    """Bit for bit, in both syntaxes where there is nothing to weight; brackets and what is beyond 75 tokens are not."""
    prompts = ["a red house", "a (red:1.3) house", LONG]
    plain = encode(BASE.text, [(p, "plain") for p in prompts])
    assert torch.equal(plain, BASE.text.encode(prompts))
    assert torch.equal(encode(BASE.text, [(prompts[0], "a1111")]), BASE.text.encode(prompts[:1]))
    assert not torch.equal(encode(BASE.text, [(prompts[1], "a1111")])[0], plain[1])


def test_shorter_prompts_get_empty_chunks():
    states = encode(BASE.text, [("a cat", "a1111"), (LONG, "a1111")], 2)
    assert states.shape == (2, 154, 64)
    assert relative(states[0, 77:], BASE.text.encode([""])[0]) < 1e-6


def test_weights_do_not_depend_on_the_batch():
    alone = encode(BASE.text, [("(cat:1.5)", "a1111")])
    together = encode(BASE.text, [("[dog]", "a1111"), ("(cat:1.5)", "a1111"), ("a", "plain")])
    assert relative(together[1:2], alone) < 4e-6
    assert relative(together[2:], BASE.text.encode(["a"])) < 4e-6


REQUESTS = [
    Request("a cat", 1, syntax="a1111"),
    Request("a dog", 2, negative=LONG, syntax="a1111"),
    Request(LONG, 3, syntax="a1111"),
    Request(LONG, 4),
]


def test_images_do_not_depend_on_how_long_their_neighbours_are():
    """Batches are made of requests of the same length: another number of empty chunks would be another image."""
    together = list(generate(BASE, REQUESTS, SMALL, batch_size=4))
    for request, image in zip(REQUESTS, together, strict=True):
        (alone,) = generate(BASE, [request], SMALL)
        assert np.abs(alone.astype(int) - image).max() <= 1
    assert [len(part) for _, part in module._batches(REQUESTS, 4, SMALL)] == [1, 2, 1]
    assert [len(part) for _, part in module._batches(REQUESTS, 1, SMALL)] == [1, 1, 1, 1]


def test_without_guidance_the_negative_prompt_adds_no_chunks():
    unguided = replace(SMALL, scale=1.0)
    (ours,) = generate(BASE, [REQUESTS[1]], unguided)
    (without,) = generate(BASE, [replace(REQUESTS[1], negative="")], unguided)
    assert np.array_equal(ours, without)


def test_weights_change_the_image():
    images = [
        next(generate(BASE, [Request(prompt, 1, negative=negative, syntax="a1111")], SMALL))
        for prompt, negative in (("a cat", ""), ("a (cat:1.5)", ""), ("a cat", "(dog:1.5)"), ("a cat", "dog"))
    ]
    assert len({image.tobytes() for image in images}) == 4


def test_captured_steps_of_several_lengths():
    """A graph for each number of chunks."""
    capture = Capture()
    captured = list(generate(BASE, REQUESTS, SMALL, engine=SamplingEngine(Graphs(pytest.fail, capture))))
    for ours, wanted in zip(captured, generate(BASE, REQUESTS, SMALL), strict=True):
        assert np.array_equal(ours, wanted)
    assert capture.captured == 2
