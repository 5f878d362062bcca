"""The samplers by their names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from cn.model.samplers.ddim import ddim, ddim_steps
from cn.model.samplers.dpm import dpm
from cn.model.samplers.euler import euler, euler_ancestral
from cn.model.samplers.loop import Method
from cn.model.samplers.settings import SamplerName, Sigmas, why_not_together
from cn.model.samplers.sigmas import dpm_steps, euler_steps
from cn.model.samplers.step import Step
from cn.model.schedule import Schedule


@dataclass(frozen=True)
class Sampler:
    """The steps of a run, and what makes each of them."""

    steps: list[Step]
    method: Callable[[Sequence[torch.Generator]], Method]
    """Made for each run, with the generators of its images."""
    noise_scale: float = 1.0
    """Factor on the standard normal noise that a run from nothing begins with."""


def choose_sampler(
    schedule: Schedule, n: int, name: SamplerName = "ddim", sigmas: Sigmas = "default", eta: float = 0.0
) -> Sampler:
    """The sampler of a name with `n` steps. ValueError for a number outside 1 … 1000, or what the sampler has not."""
    if wrong := why_not_together(name, sigmas, eta):
        raise ValueError(wrong)
    if name == "ddim":
        return Sampler(ddim_steps(schedule, n), lambda generators: ddim(eta, generators))
    if name == "dpm++2m":
        return Sampler(dpm_steps(schedule, n, sigmas), lambda generators: dpm())
    steps = euler_steps(schedule, n, sigmas)
    # diffusers' `init_noise_sigma`: at the first noise level there is still some signal, which here is 0.
    scale = 1.0 if schedule.config.spacing == "leading" else (1 - steps[0].alpha) ** 0.5
    return Sampler(steps, euler_ancestral if name == "euler-a" else lambda generators: euler(), scale)
