"""Runs of samplers."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from cn.model.samplers.ddim import ddim
from cn.model.samplers.loop import sample
from cn.model.samplers.step import Predict, Step
from cn.model.schedule import Schedule


def ddim_sample(
    schedule: Schedule,
    predict: Predict,
    z: Tensor,
    steps: Sequence[Step],
    *,
    eta: float = 0.0,
    generators: Sequence[torch.Generator] = (),
) -> Iterator[Tensor]:
    """The latents after each step of DDIM."""
    return sample(schedule, predict, z, steps, ddim(eta, generators))
