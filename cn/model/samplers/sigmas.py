"""Noise levels σ = √((1-ᾱ)/ᾱ), the ratio of noise to signal: the steps of the samplers that are written in them.

Latents stay as the networks take them, √ᾱ z_0 + √(1-ᾱ) ε. k-diffusion and diffusers multiply them by √(1 + σ²) within
these samplers, which is the same in exact arithmetic, and loses digits where σ is in the thousands.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from cn.model.samplers.settings import Sigmas
from cn.model.samplers.step import Step, check_count, timesteps
from cn.model.schedule import Schedule

MIN_ALPHA = 2.0**-24
"""ᾱ of pure noise, where it is 0 and σ infinite (diffusers: the smallest number of float16)."""
RHO = 7.0
"""Of Karras et al. 2022: noise levels are denser where there is little noise."""


def noise_levels(schedule: Schedule) -> np.ndarray:
    """σ of every timestep, float64 (1000,), increasing."""
    alphas = schedule.alphas_cumprod.cpu().double().clamp(min=MIN_ALPHA).numpy()
    return np.asarray(((1 - alphas) / alphas) ** 0.5)


def karras_levels(high: float, low: float, n: int) -> np.ndarray:
    """`n` noise levels from `high` to `low`: (σ_max^(1/ρ) + i/(n-1) (σ_min^(1/ρ) - σ_max^(1/ρ)))^ρ.

    Eq. 5 of Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", with ρ = 7.
    """
    ramp = np.linspace(0, 1, n)
    return np.asarray((high ** (1 / RHO) + ramp * (low ** (1 / RHO) - high ** (1 / RHO))) ** RHO)


def timestep_of(sigma: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The timesteps, with fractions, at which there is this much noise: linear in log σ (diffusers' `_sigma_to_t`)."""
    return np.interp(np.log(sigma), np.log(levels), np.arange(len(levels)))


def euler_steps(schedule: Schedule, n: int, sigmas: Sigmas = "default") -> list[Step]:
    """`n` steps (1 … 1000) that end at a clean image; the timesteps are those of DDIM, not rounded for "linspace".

    "karras" lies between the noise levels of the first and the last of them, at timesteps with fractions (diffusers'
    EulerDiscreteScheduler). Raises ValueError outside 1 … 1000.
    """
    check_count(schedule.steps, n)
    levels = noise_levels(schedule)
    times = np.minimum(timesteps(schedule.config, n), schedule.steps - 1)
    found = np.interp(times, np.arange(len(levels)), levels)
    if sigmas == "karras":
        found = karras_levels(found[0], found[-1], n)
        times = timestep_of(found, levels)
    return _steps(times, found)


def dpm_steps(schedule: Schedule, n: int, sigmas: Sigmas = "default") -> list[Step]:
    """`n` steps (1 … 1000) that end at a clean image, as diffusers' DPMSolverMultistepScheduler has them.

    "leading" and "linspace" are the first `n` of `n` + 1 timesteps, as the last step is one to σ = 0. "karras" uses the
    whole range of the schedule, and the network is told the nearest timestep. Raises ValueError outside 1 … 1000.
    """
    check_count(schedule.steps, n)
    levels, spacing = noise_levels(schedule), schedule.config.spacing
    if sigmas == "karras":
        found = karras_levels(levels[-1], levels[0], n)
        return _steps(timestep_of(found, levels).round(), found)
    open_ended = spacing in ("leading", "linspace")
    times = np.round(timesteps(schedule.config, n + 1)[:-1] if open_ended else timesteps(schedule.config, n))
    times = np.minimum(times, schedule.steps - 1)
    return _steps(times, levels[times.astype(int)])


def _steps(times: np.ndarray, sigmas: Sequence[float] | np.ndarray) -> list[Step]:
    """From each noise level to the next, and from the last to a clean image."""
    alphas = [1 / (float(sigma) ** 2 + 1) for sigma in sigmas] + [1.0]
    return [Step(i, float(t), *ends) for i, (t, ends) in enumerate(zip(times, pairwise(alphas), strict=True))]
