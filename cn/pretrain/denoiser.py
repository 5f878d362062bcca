"""Stage "denoiser": the U-Net and the text encoder, trained together on latents and captions."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn.model.base import Base
from cn.model.config import END_TOKEN, START_TOKEN
from cn.model.schedule import Schedule
from cn.pretrain.budget import Budget
from cn.pretrain.latents import Latents
from cn.pretrain.master_weights import StageConfig
from cn.pretrain.pool import batch_indices
from cn.pretrain.session import train_session
from cn.pretrain.vocabulary import known_tokens, unknown_token


@dataclass(frozen=True)
class DenoiserConfig(StageConfig):
    """Settings of the stage.

    `prompt_drop` is the share of empty prompts (needed for guidance); `unknown` is the share of words replaced by the
    unknown token, which trains that token. `skip_drop` is the share of images whose skip connections are all zero, so
    that the decoder learns to listen to the middle block (small-scale training connects nothing else, §3.4).
    """

    batch_size: int = 512
    learning_rate: float = 2e-3
    warmup: int = 200
    decay_from: float = 0.4
    ema_decay: float = 0.9995
    seed: int = 2
    muon: bool = True
    prompt_drop: float = 0.1
    unknown: float = 0.02
    skip_drop: float = 0.1


class DenoiserLoss(nn.Module):
    """Text encoder, U-Net and loss as one graph."""

    def __init__(self, base: Base):
        super().__init__()
        self.unet, self.text = base.unet, base.text

    def forward(self, zt: Tensor, t: Tensor, tokens: Tensor, target: Tensor, kept: Tensor) -> Tensor:
        """Mean squared error of the prediction (Eq. 10 in the schedule's parameterization).

        `kept` (B, 1, 1, 1) is 0 where the skip connections are dropped, otherwise 1.
        """
        dtype, text = self.unet.decoder.conv_out.weight.dtype, self.text(tokens)
        features, middle, emb = self.unet.encoder(zt.to(dtype), t, text)
        kept = kept.to(dtype)
        skips = [feature * kept for feature in features]
        prediction = self.unet.decoder(middle, emb, text, skips, [None] * len(skips))
        return F.mse_loss(prediction.float(), target)


def corrupt_prompts(tokens: Tensor, empty: Tensor, unknown: int, settings: DenoiserConfig) -> Tensor:
    """(B, 77) ids: a share of the prompts replaced by the empty prompt, a share of the words by the unknown token."""
    words = (tokens != START_TOKEN) & (tokens != END_TOKEN) & (tokens != 0)
    lost = words & (torch.rand(tokens.shape, device=tokens.device) < settings.unknown)
    tokens = torch.where(lost, torch.full_like(tokens, unknown), tokens)
    dropped = torch.rand((len(tokens), 1), device=tokens.device) < settings.prompt_drop
    return torch.where(dropped, empty, tokens)


def train_denoiser(base: Base, latents: Latents, state: Path, budget: Budget, settings: DenoiserConfig) -> None:
    """One training session; `state` is the file that sessions resume from.

    Leaves the EMA of the weights in the base's U-Net and text encoder, locked.
    """
    device = latents.mean.device
    schedule = Schedule(base.config.schedule)
    schedule.alphas_cumprod = schedule.alphas_cumprod.to(device)
    unknown, empty = unknown_token(known_tokens(latents.config)), latents.empty_prompt

    def draw(step: int) -> tuple[Tensor, ...]:
        if step % 20 == 0:
            latents.refresh()
        index = batch_indices(latents.count, settings.batch_size, device)
        z0 = latents.draw(index)
        noise = torch.randn_like(z0)
        t = torch.randint(0, schedule.steps, (len(z0),), device=device)
        tokens = corrupt_prompts(latents.draw_tokens(index), empty, unknown, settings)
        kept = (torch.rand((len(z0), 1, 1, 1), device=device) >= settings.skip_drop).float()
        return schedule.add_noise(z0, noise, t), t, tokens, schedule.target(z0, noise, t), kept

    base.unet.requires_grad_(True)
    base.text.requires_grad_(True)
    train_session("denoiser", DenoiserLoss(base), draw, state, budget, settings)
    base.lock()
