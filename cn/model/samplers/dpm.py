"""DPM-Solver++(2M): two predictions of the clean image make one step of second order (Lu et al. 2022)."""

import math

from torch import Tensor

from cn.model.samplers.loop import Method
from cn.model.samplers.step import Step


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


def dpm() -> Method:
    """DPM-Solver++(2M) from its first step on; no noise is added."""
    before: tuple[Step, Tensor] | None = None

    def method(z: Tensor, z0: Tensor, eps: Tensor, step: Step) -> Tensor:
        nonlocal before
        made = dpm_step(z, z0, step, before)
        before = step, z0
        return made

    return method


def _log_snr(alpha: float) -> float:
    """λ = ln(√ᾱ / √(1-ᾱ)) = -ln σ; infinite for a clean image."""
    return math.inf if alpha == 1 else 0.5 * (math.log(alpha) - math.log(1 - alpha))
