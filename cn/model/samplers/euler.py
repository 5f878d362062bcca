"""Euler's method, and the same with new noise at each step (Karras et al. 2022; k-diffusion, sampling.py)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from cn.model.samplers.step import Keep, Predict, Step, all_of_it, draw_noise
from cn.model.schedule import Schedule


def euler_step(z0: Tensor, eps: Tensor, step: Step) -> Tensor:
    """x' = x + (σ' - σ) (x - z_0) / σ, for x = z / √ᾱ = z_0 + σ ε: this is √ᾱ' z_0 + √(1-ᾱ') ε.

    Algorithm 1 of Karras et al. 2022 without churn; k-diffusion's `sample_euler`. The equation is that of DDIM with
    η = 0; the noise levels are others (`euler_steps`), and the last step ends at a clean image.
    """
    return step.alpha_prev**0.5 * z0 + (1 - step.alpha_prev) ** 0.5 * eps


def euler_ancestral_step(z0: Tensor, eps: Tensor, step: Step, noise: Tensor) -> Tensor:
    """x' = z_0 + σ_down ε + σ_up·noise, with σ_up = σ' √(1 - σ'²/σ²) and σ_down² = σ'² - σ_up².

    k-diffusion's `get_ancestral_step` and `sample_euler_ancestral`; in latents √ᾱ' x'. The equation is that of DDIM
    with η = 1.
    """
    level, target = (((1 - alpha) / alpha) ** 0.5 for alpha in (step.alpha, step.alpha_prev))
    up = target * max(1 - (target / level) ** 2, 0.0) ** 0.5
    down = max(target**2 - up**2, 0.0) ** 0.5
    return step.alpha_prev**0.5 * (z0 + down * eps + up * noise)


def euler_sample(
    schedule: Schedule,
    predict: Predict,
    z: Tensor,
    steps: Sequence[Step],
    *,
    generators: Sequence[torch.Generator] = (),
    keep: Keep = all_of_it,
) -> Iterator[Tensor]:
    """Yield the latents (B, 4, H, W) after each of the steps; `predict(z, step)` is the guided network.

    The generators are not used: no noise is added.
    """
    for step in steps:
        z = keep(euler_step(*schedule.split(predict(z, step), z, step.alpha), step), step)
        yield z


def euler_ancestral_sample(
    schedule: Schedule,
    predict: Predict,
    z: Tensor,
    steps: Sequence[Step],
    *,
    generators: Sequence[torch.Generator],
    keep: Keep = all_of_it,
) -> Iterator[Tensor]:
    """As `euler_sample`, with noise from each image's own generator at every step."""
    for step in steps:
        z0, eps = schedule.split(predict(z, step), z, step.alpha)
        noise = draw_noise(generators, z.shape[1:]).to(z)
        z = keep(euler_ancestral_step(z0, eps, step, noise), step)
        yield z
