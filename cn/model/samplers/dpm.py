"""DPM-Solver++(2M): two predictions of the clean image make one step of second order (Lu et al. 2022)."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from cn.model.samplers.step import Keep, Predict, Step, all_of_it
from cn.model.schedule import Schedule


def dpm_step(z: Tensor, z0: Tensor, step: Step, before: tuple[Step, Tensor] | None) -> Tensor:
    """z' = √((1-ᾱ')/(1-ᾱ)) z + √ᾱ' (1 - e^-h) D, with D = z_0 + h / (2 h_before) (z_0 - z_0 of the step before).

    h = ln σ - ln σ' is the step's length in log-SNR. Algorithm 2 of Lu et al. 2022, "DPM-Solver++"; diffusers' midpoint
    form. `before` is the step before, and its z_0: the first step has none, and the last, which goes to σ = 0, uses
    none, as h is infinite there; both are of first order.
    """
    length = _log_snr(step.alpha_prev) - _log_snr(step.alpha)
    if before is not None and math.isfinite(length):
        length_before = _log_snr(before[0].alpha_prev) - _log_snr(before[0].alpha)
        # Steps of the same noise level, beyond 998 in "leading", say nothing about the direction.
        ratio = length / (2 * length_before) if length_before > 0 else 0.0
        z0 = z0 + ratio * (z0 - before[1])
    remaining = ((1 - step.alpha_prev) / (1 - step.alpha)) ** 0.5
    return remaining * z + step.alpha_prev**0.5 * (1 - math.exp(-length)) * z0


def dpm_sample(
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
    before: tuple[Step, Tensor] | None = None
    for step in steps:
        z0, _ = schedule.split(predict(z, step), z, step.alpha)
        z = keep(dpm_step(z, z0, step, before), step)
        before = step, z0
        yield z


def _log_snr(alpha: float) -> float:
    """λ = ln(√ᾱ / √(1-ᾱ)) = -ln σ; infinite for a clean image."""
    return math.inf if alpha == 1 else 0.5 * (math.log(alpha) - math.log(1 - alpha))
