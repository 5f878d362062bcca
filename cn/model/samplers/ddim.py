"""DDIM (Song et al. 2021): the timesteps, and one step as a pure function."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cn.model.samplers.loop import Method
from cn.model.samplers.step import Step, check_count, draw_noise, timesteps
from cn.model.schedule import Schedule


def ddim_steps(schedule: Schedule, n: int) -> list[Step]:
    """Exactly `n` steps (1 … 1000), noisiest first.

    | spacing         | timesteps                                  | a step ends at           | as in             |
    |-----------------|--------------------------------------------|--------------------------|-------------------|
    | leading         | i·(1000 // n) + offset, clamped to 999     | t decreases by 1000 // n | Stable Diffusion  |
    | linspace        | n values from 999 to 0, rounded            | t decreases by 1000 // n | diffusers         |
    | trailing_stride | 999 down in n equal parts                  | t decreases by 1000 // n | diffusers         |
    | trailing        | 999 down in n equal parts                  | the next step's t        | the bundled base  |

    The last step of "trailing" ends at a clean image (ᾱ = 1). With the others, a step that would end below timestep 0
    ends at ᾱ_0, or at a clean image with `final_alpha_one`.
    Raises ValueError outside 1 … 1000.
    """
    config, total, alphas = schedule.config, schedule.steps, schedule.alphas_cumprod
    check_count(total, n)
    stride, end = total // n, 1.0 if config.final_alpha_one else float(alphas[0])
    times = [round(t) for t in timesteps(config, n)]
    if config.spacing == "trailing":
        before = [*(float(alphas[t]) for t in times[1:]), 1.0]
    else:
        before = [float(alphas[min(t - stride, total - 1)]) if t >= stride else end for t in times]
    times = [min(t, total - 1) for t in times]
    return [Step(i, t, float(alphas[t]), prev) for i, (t, prev) in enumerate(zip(times, before, strict=True))]


def ddim_step(z0: Tensor, eps: Tensor, step: Step, eta: float, noise: Tensor | None) -> Tensor:
    """Eq. 12 of the DDIM paper: √ᾱ' z_0 + √(1-ᾱ'-σ²) ε + σ·noise, with σ = η √((1-ᾱ')/(1-ᾱ)) √(1-ᾱ/ᾱ')."""
    sigma = eta * ((1 - step.alpha_prev) / (1 - step.alpha)) ** 0.5 * max(1 - step.alpha / step.alpha_prev, 0.0) ** 0.5
    z = step.alpha_prev**0.5 * z0 + max(1 - step.alpha_prev - sigma**2, 0.0) ** 0.5 * eps
    return z if noise is None or sigma == 0 else z + sigma * noise


def ddim(eta: float = 0.0, generators: Sequence[torch.Generator] = ()) -> Method:
    """With `eta` > 0, noise is drawn at every step including the last, from each image's own generator."""

    def method(z: Tensor, z0: Tensor, eps: Tensor, step: Step) -> Tensor:
        noise = draw_noise(generators, z.shape[1:]).to(z) if eta > 0 else None
        return ddim_step(z0, eps, step, eta, noise)

    return method
