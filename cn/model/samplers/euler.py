"""Euler's method, and the same with new noise at each step (Karras et al. 2022; k-diffusion, sampling.py)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cn.model.samplers.loop import Method
from cn.model.samplers.step import Step, draw_noise


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


def euler() -> Method:
    """No noise is added."""
    return lambda z, z0, eps, step: euler_step(z0, eps, step)


def euler_ancestral(generators: Sequence[torch.Generator]) -> Method:
    """With noise from each image's own generator at every step."""

    def method(z: Tensor, z0: Tensor, eps: Tensor, step: Step) -> Tensor:
        return euler_ancestral_step(z0, eps, step, draw_noise(generators, z.shape[1:]).to(z))

    return method
