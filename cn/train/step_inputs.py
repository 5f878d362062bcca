"""What the loss of one micro-batch takes, as tensors on the device: latents, noise, timesteps, text, conditions.

All that is random, and all that waits for the CPU, happens here; the loss is a pure function of these tensors, so that
it can be compiled, or captured in a CUDA graph.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cn.model.transfers import upload
from cn.train import random_draws
from cn.train.config import TrainConfig
from cn.train.latent_batches import LatentBatch
from cn.train.networks import TrainingNetworks
from cn.train.random_draws import Stream, generator

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class StepInputs:
    """Latents z0 and noise (B, 4, H, W), hints (B, 3, 8H, 8W) uint8, text (B, 77, C), timesteps t (B,) int64."""

    z0: Tensor
    hint: Tensor
    text: Tensor
    t: Tensor
    noise: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """In the order of the fields."""
        return (self.z0, self.hint, self.text, self.t, self.noise)

    @property
    def shapes(self) -> Shapes:
        """Of all tensors; inputs of equal shapes can share a compiled or captured step."""
        return tuple(tuple(tensor.shape) for tensor in self.tensors)

    def clone(self) -> "StepInputs":
        """The same values in memory of their own."""
        return StepInputs(*(tensor.clone() for tensor in self.tensors))

    def copy_(self, other: "StepInputs") -> None:
        """Take over the values of inputs of the same shapes."""
        for mine, theirs in zip(self.tensors, other.tensors, strict=True):
            mine.copy_(theirs, non_blocking=True)


@torch.no_grad()
def step_inputs(
    networks: TrainingNetworks, config: TrainConfig, batch: LatentBatch, step: int, micro: int
) -> StepInputs:
    """Make the draws of a micro-batch and put them on the device, without waiting for it.

    z_0 is a sample of the autoencoder's posterior; prompts are dropped at random (§3.3).
    """

    def generator_for(stream: Stream) -> torch.Generator:
        return generator(config.seed, step, micro, stream)

    z0 = batch.sample(generator_for(Stream.POSTERIOR))
    prompts = random_draws.drop_prompts(batch.prompts, config.prompt_drop, generator_for(Stream.PROMPT))
    text = networks.embeddings.of(prompts, lambda new: batch.encode_text(new, networks.base))
    t = random_draws.timesteps(len(z0), networks.schedule.steps, generator_for(Stream.TIME))
    noise = random_draws.noise_like(z0, generator_for(Stream.NOISE))
    if config.noise_offset:
        noise = random_draws.offset_noise(noise, config.noise_offset, generator_for(Stream.NOISE_OFFSET))
    return StepInputs(z0, batch.hint, text, upload(t, z0.device), noise)
