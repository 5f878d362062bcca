"""The learning objective, Eq. 10: E ‖ε - ε_θ(z_t, t, c_t, c_f)‖² over images, noise levels and noise."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from cn.model.schedule import Schedule
from cn.model.unet import Control, UNet


def diffusion_loss(
    unet: UNet,
    control: Callable[..., Control],
    schedule: Schedule,
    z0: Tensor,
    hint: Tensor,
    text: Tensor,
    t: Tensor,
    noise: Tensor,
    *,
    min_snr: float = 0.0,
) -> Tensor:
    """The mean squared error of the prediction, a scalar; a pure function of its arguments.

    Latents z0 and noise (B, 4, H, W), condition (B, 3, 8H, 8W) in [0, 1], text (B, 77, C), timesteps t (B,). The target
    is ε, or v for a base that predicts v. With `min_snr` γ > 0 the error of each image is weighted by its timestep.
    While the U-Net is locked, autograd keeps no graph of its encoder, because nothing that requires a gradient goes
    into it (§3.2).
    """
    z_t = schedule.add_noise(z0, noise, t)
    prediction = unet(z_t, t, text, control(z_t, t, text, hint))
    target = schedule.target(z0, noise, t).float()
    if not min_snr:
        return F.mse_loss(prediction.float(), target)
    errors = F.mse_loss(prediction.float(), target, reduction="none").flatten(1).mean(dim=1)
    return (min_snr_weights(schedule, t, min_snr) * errors).mean()


def min_snr_weights(schedule: Schedule, t: Tensor, gamma: float) -> Tensor:
    """(B,) weights in 0 … 1 for timesteps t (B,): min-SNR-γ (Hang et al. 2023, §3.4).

    min(SNR, γ) weights the error of z_0. That is min(SNR, γ) / SNR for the error of ε and min(SNR, γ) / (SNR + 1) for
    that of v, with SNR = ᾱ / (1 - ᾱ); written so that pure noise (ᾱ = 0) has the weights' limits, 1 for ε and 0 for v.
    """
    a = schedule.alphas_cumprod.to(t.device)[t]
    if schedule.config.prediction == "eps":
        return (gamma * (1 - a) / a).clamp(max=1)
    return a.minimum(gamma * (1 - a))
