"""What the loss of a micro-batch takes: the draws are pure functions of the seed, prompts are encoded once."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from cn.model.vae import Posterior
from cn.train import random_draws
from cn.train.latent_batches import micro_batches
from cn.train.loss import diffusion_loss
from cn.train.prompt_embeddings import PromptEmbeddings
from cn.train.random_draws import Stream, generator
from cn.train.step_inputs import step_inputs
from cn.train.trainer import batch_loss
from tests.helpers.training import begin


def test_the_loss_is_that_of_the_plain_formula(tmp_path, tiny_base_file, pair_set):
    """Eq. 10, written out here with draws of the same streams."""
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=9, seed=5, links="full")
    networks, base, config = task.networks, task.networks.base, task.config
    batch = next(micro_batches(task.source, base, config, 0, workers=0, skip=pytest.fail))
    step, micro = 7, 1

    def drawn(stream: Stream) -> torch.Generator:
        return generator(config.seed, step, micro, stream)

    z0 = Posterior(batch.mean, batch.std).sample(drawn(Stream.POSTERIOR))
    dropped = (torch.rand(2, generator=drawn(Stream.PROMPT)) < 0.5).tolist()
    prompts = ["" if drop else prompt for prompt, drop in zip(batch.prompts, dropped, strict=True)]
    t = torch.randint(0, 1000, (2,), generator=drawn(Stream.TIME))
    noise = torch.randn(z0.shape, generator=drawn(Stream.NOISE))
    with torch.no_grad():
        text = torch.cat([base.text.encode([prompt]) for prompt in prompts])
        args = (base.unet, networks.control, base.schedule, z0, batch.hint.float() / 255, text, t, noise)
        expected = diffusion_loss(*args)
        assert torch.equal(batch_loss(networks, config, batch, step, micro), expected)
    inputs = step_inputs(networks, config, batch, step, micro)
    assert inputs.hint.dtype == torch.uint8
    assert not any(tensor.requires_grad for tensor in inputs.tensors)
    assert inputs.shapes == ((2, 4, 8, 8), (2, 3, 64, 64), (2, 77, 64), (2,), (2, 4, 8, 8))
    other = step_inputs(networks, config, batch, step, micro + 1)
    assert not torch.equal(other.noise, inputs.noise)
    clone = inputs.clone()
    clone.copy_(other)
    assert all(torch.equal(a, b) for a, b in zip(clone.tensors, other.tensors, strict=True))
    assert torch.equal(inputs.noise, noise)


class Encoder:
    """Embeds a prompt as its length, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        self.asked.append(list(prompts))
        return torch.stack([torch.full((77, 4), float(len(prompt))) for prompt in prompts])


def test_each_prompt_is_encoded_once_and_alone():
    encode, embeddings = Encoder(), PromptEmbeddings()
    text = embeddings.of(["", "a house", "", "a tree"], encode)
    assert text[:, 0, 0].tolist() == [0, 7, 0, 6]
    assert torch.equal(embeddings.of(["a tree", "a car"], encode)[:, 0, 0], torch.tensor([6.0, 5.0]))
    assert encode.asked == [[""], ["a house"], ["a tree"], ["a car"]]


def test_new_prompts_are_encoded_together_where_bits_may_differ():
    encode, embeddings = Encoder(), PromptEmbeddings(torch.bfloat16, together=2)
    text = embeddings.of(["a", "bb", "ccc", "a", ""], encode)
    assert encode.asked == [["a", "bb"], ["ccc", ""]]
    assert text.dtype == torch.bfloat16
    assert text[:, 0, 0].tolist() == [1, 2, 3, 1, 0]


def test_prompts_that_were_not_used_for_longest_are_dropped_and_the_empty_one_never():
    encode = Encoder()
    size = 77 * 4 * 4
    embeddings = PromptEmbeddings(max_bytes=3 * size)
    for prompts in (["", "a"], ["bb"], ["a", "ccc"], ["dddd"]):
        embeddings.of(prompts, encode)
    assert len(encode.asked) == 5
    embeddings.of(["", "ccc", "dddd"], encode)
    assert len(encode.asked) == 5
    assert embeddings.of(["a", "bb", "ccc", "dddd"], encode)[:, 0, 0].tolist() == [1, 2, 3, 4]
    assert encode.asked[5:] == [["a"], ["bb"]]
    embeddings.of([""], encode)
    assert len(encode.asked) == 7


def test_dropped_prompts_cost_no_encoding(tmp_path, tiny_base_file, pair_set, monkeypatch):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, prompt_drop=1.0)
    asked = []
    encode = task.networks.base.text.encode
    monkeypatch.setattr(task.networks.base.text, "encode", lambda new: asked.append(list(new)) or encode(new))
    stream = micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail)
    for step in range(3):
        step_inputs(task.networks, task.config, next(stream), step, 0)
    assert asked == [[""]]


def test_draws_are_those_of_the_generator():
    drawn = random_draws.noise_like(torch.zeros(2, 3), torch.Generator().manual_seed(1))
    assert torch.equal(drawn, torch.randn(2, 3, generator=torch.Generator().manual_seed(1)))
