"""The learning objective, Eq. 10: E ‖ε - ε_θ(z_t, t, c_t, c_f)‖² over images, noise levels and noise."""

import torch.nn.functional as F
from torch import Tensor

from cn.model.concat import ConcatBaseline
from cn.model.controlnet import ControlNet
from cn.model.schedule import Schedule
from cn.model.unet import UNet


def diffusion_loss(
    unet: UNet,
    control: ControlNet | ConcatBaseline,
    schedule: Schedule,
    z0: Tensor,
    hint: Tensor,
    text: Tensor,
    t: Tensor,
    noise: Tensor,
) -> Tensor:
    """The mean squared error of the prediction, a scalar; a pure function of its arguments.

    Latents z0 and noise (B, 4, H, W), condition (B, 3, 8H, 8W) in [0, 1], text (B, 77, C), timesteps t (B,). The target
    is ε, or v for a base that predicts v. While the U-Net is locked, autograd keeps no graph of its encoder, because
    nothing that requires a gradient goes into it (§3.2).
    """
    z_t = schedule.add_noise(z0, noise, t)
    prediction = unet(z_t, t, text, control(z_t, t, text, hint))
    return F.mse_loss(prediction.float(), schedule.target(z0, noise, t).float())
