"""Compute what an original single file holds besides the networks: the noise schedule, unused text tensors.

The official code loads strictly, so these must exist; their values do not affect images.
"""

import numpy as np
from numpy.typing import NDArray

from cn.checkpoints.layouts import LDM_PREFIXES, LDM_TEXT_PREFIXES
from cn.model.config import ModelConfig, ScheduleConfig


def schedule_buffers(config: ScheduleConfig) -> dict[str, NDArray]:
    """The thirteen float32 buffers (1000,) of LatentDiffusion, computed in float64 (ddpm.py: register_schedule)."""
    betas = np.linspace(config.beta_start**0.5, config.beta_end**0.5, config.steps, dtype=np.float64) ** 2
    alphas = 1 - betas
    signal = alphas.cumprod()
    before = np.append(1.0, signal[:-1])
    variance = betas * (1 - before) / (1 - signal)
    buffers = {
        "betas": betas,
        "alphas_cumprod": signal,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": np.sqrt(signal),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - signal),
        "log_one_minus_alphas_cumprod": np.log(1 - signal),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / signal),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / signal - 1),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
        "posterior_mean_coef1": betas * np.sqrt(before) / (1 - signal),
        "posterior_mean_coef2": (1 - before) * np.sqrt(alphas) / (1 - signal),
        "logvar": np.zeros(config.steps),
    }
    return {name: values.astype(np.float32) for name, values in buffers.items()}


def unused_text(config: ModelConfig) -> dict[str, NDArray]:
    """Tensors of the text encoder that do not affect images, by their full names.

    SD 1: the position ids 0 … 76. SD 2: the projection (here the identity) and CLIP's temperature.
    """
    text = config.text
    if not config.unet.linear_projection:
        positions = np.arange(text.context_length, dtype=np.int64).reshape(1, -1)
        return {f"{LDM_PREFIXES['text']}{LDM_TEXT_PREFIXES['transformers']}embeddings.position_ids": positions}
    prefix = LDM_PREFIXES["text"] + LDM_TEXT_PREFIXES["open_clip"]
    return {
        f"{prefix}text_projection": np.eye(text.width, dtype=np.float32),
        f"{prefix}logit_scale": np.log(np.float32(100)).reshape(()),
    }
