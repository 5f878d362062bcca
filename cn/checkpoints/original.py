"""What an original single file holds besides the networks, computed anew: the noise schedule, unused text tensors.

The official code loads strictly, so these must be there; no number in them matters to a picture.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from cn.model.config import ModelConfig, ScheduleConfig

Made = Callable[[], Tensor]


def schedule_buffers(config: ScheduleConfig) -> dict[str, Tensor]:
    """The thirteen float32 buffers (1000,) of LatentDiffusion, computed in float64 (ddpm.py: register_schedule)."""
    betas = torch.linspace(config.beta_start**0.5, config.beta_end**0.5, config.steps, dtype=torch.float64) ** 2
    alphas = 1 - betas
    signal = alphas.cumprod(0)
    before = torch.cat([torch.ones(1, dtype=torch.float64), signal[:-1]])
    variance = betas * (1 - before) / (1 - signal)
    buffers = {
        "betas": betas,
        "alphas_cumprod": signal,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": signal.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - signal).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - signal).log(),
        "sqrt_recip_alphas_cumprod": (1 / signal).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / signal - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * before.sqrt() / (1 - signal),
        "posterior_mean_coef2": (1 - before) * alphas.sqrt() / (1 - signal),
    }
    buffers["logvar"] = torch.zeros(config.steps)
    return {name: values.float() for name, values in buffers.items()}


def unused_text(config: ModelConfig) -> Mapping[str, Tensor]:
    """Tensors of the text encoder that no picture depends on, by their full names.

    SD 1: the position ids 0 … 76. SD 2: the projection (here the identity) and CLIP's temperature.
    """
    text = config.text
    if not config.unet.linear_projection:
        positions = torch.arange(text.context_length).reshape(1, -1)
        return {"cond_stage_model.transformer.text_model.embeddings.position_ids": positions}
    return {
        "cond_stage_model.model.text_projection": torch.eye(text.width),
        "cond_stage_model.model.logit_scale": torch.tensor(100.0).log(),
    }
