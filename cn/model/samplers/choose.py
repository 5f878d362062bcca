"""The samplers by their names."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from cn.model.samplers.ddim import ddim_sample, ddim_steps
from cn.model.samplers.dpm import dpm_sample
from cn.model.samplers.euler import euler_ancestral_sample, euler_sample
from cn.model.samplers.settings import SamplerName, Sigmas, why_not_together
from cn.model.samplers.sigmas import dpm_steps, euler_steps
from cn.model.samplers.step import Step
from cn.model.schedule import Schedule


@dataclass(frozen=True)
class Sampler:
    """The steps of a run, and the loop over them."""

    steps: list[Step]
    run: Callable[..., Iterator[Tensor]]
    """`run(schedule, predict, z, steps, generators=…, keep=…)` yields the latents of each step; see `ddim_sample`."""
    noise_scale: float = 1.0
    """Factor on the standard normal noise that a run from nothing begins with."""


def choose_sampler(
    schedule: Schedule, n: int, name: SamplerName = "ddim", sigmas: Sigmas = "default", eta: float = 0.0
) -> Sampler:
    """The sampler of a name with `n` steps. ValueError for a number outside 1 … 1000, or what the sampler has not."""
    if wrong := why_not_together(name, sigmas, eta):
        raise ValueError(wrong)
    if name == "ddim":
        return Sampler(ddim_steps(schedule, n), partial(ddim_sample, eta=eta))
    if name == "dpm++2m":
        return Sampler(dpm_steps(schedule, n, sigmas), dpm_sample)
    steps, run = euler_steps(schedule, n, sigmas), euler_sample if name == "euler" else euler_ancestral_sample
    # diffusers' `init_noise_sigma`: at the first noise level there is still some signal, which here is 0.
    scale = 1.0 if schedule.config.spacing == "leading" else (1 - steps[0].alpha) ** 0.5
    return Sampler(steps, run, scale)
