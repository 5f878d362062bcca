"""All randomness of a training run, as pure functions of (seed, step, micro-batch).

No random state is carried from one step to the next, so a killed run resumes with the same draws, whatever the number
of workers. All draws are made on the CPU, so they are the same on every device.
"""

from collections.abc import Sequence
from enum import IntEnum, unique

import numpy as np
import torch
from torch import Tensor

from cn.model.transfers import upload


@unique
class Stream(IntEnum):
    """What a generator is for; streams of one step are independent of each other."""

    ORDER = 0
    POSTERIOR = 1
    TIME = 2
    NOISE = 3
    PROMPT = 4
    WEIGHTS = 5
    FLIP = 6
    BUCKET = 7
    BATCHES = 8
    NOISE_OFFSET = 9


def generator(seed: int, step: int, micro: int, stream: Stream) -> torch.Generator:
    """A CPU generator for one purpose of one micro-batch (`step` and `micro` count from 0)."""
    words = np.random.SeedSequence((seed, step, micro, int(stream))).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))


def drop_prompts(prompts: Sequence[str], share: float, generator: torch.Generator) -> list[str]:
    """Replace each prompt by the empty string with probability `share` (§3.3: half of them)."""
    dropped = torch.rand(len(prompts), generator=generator) < share
    return ["" if drop else prompt for prompt, drop in zip(prompts, dropped.tolist(), strict=True)]


def timesteps(count: int, steps: int, generator: torch.Generator) -> Tensor:
    """(count,) int64, uniform over the `steps` timesteps."""
    return torch.randint(0, steps, (count,), generator=generator)


def noise_like(latents: Tensor, generator: torch.Generator) -> Tensor:
    """ε of Eq. 10: standard normal, of the shape, dtype and device of `latents`."""
    return upload(torch.randn(latents.shape, generator=generator), latents.device).to(latents.dtype)


def offset_noise(noise: Tensor, offset: float, generator: torch.Generator) -> Tensor:
    """ε (B, C, H, W) with each channel of each image shifted by a normal number of this standard deviation.

    Noise whose mean varies lets a model learn images that are dark or bright as a whole (Guttenberg 2023, "Diffusion
    With Offset Noise").
    """
    shift = torch.randn(*noise.shape[:2], 1, 1, generator=generator)
    return noise + offset * upload(shift, noise.device).to(noise.dtype)
