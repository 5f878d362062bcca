"""Stage "denoiser": the U-Net and the text tower, trained together on latents and captions."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn.model.base import Base
from cn.model.config import END_TOKEN, START_TOKEN
from cn.model.schedule import Schedule
from cn.pretrain.latents import Latents, unknown_token
from cn.pretrain.legs import Budget, Rates, train_leg
from cn.pretrain.pool import batch_indices


@dataclass(frozen=True)
class DenoiserRecipe(Rates):
    """`prompt_drop` teaches the empty prompt that guidance needs; `unknown` makes unseen words harmless."""

    batch_size: int = 128
    average: float = 0.9995
    seed: int = 2
    prompt_drop: float = 0.1
    unknown: float = 0.02


class Trained(nn.Module):
    """Text tower, U-Net and loss as one graph."""

    def __init__(self, base: Base):
        super().__init__()
        self.unet, self.text = base.unet, base.text

    def forward(self, zt: Tensor, t: Tensor, tokens: Tensor, target: Tensor) -> Tensor:
        """Mean squared error of the prediction (Eq. 10 in the schedule's parametrisation)."""
        prediction = self.unet(zt.to(self.unet.decoder.conv_out.weight.dtype), t, self.text(tokens))
        return F.mse_loss(prediction.float(), target)


def damage_prompts(tokens: Tensor, empty: Tensor, unknown: int, recipe: DenoiserRecipe) -> Tensor:
    """(B, 77) ids: a share of the prompts emptied, a share of the words made unknown."""
    words = (tokens != START_TOKEN) & (tokens != END_TOKEN) & (tokens != 0)
    lost = words & (torch.rand(tokens.shape, device=tokens.device) < recipe.unknown)
    tokens = torch.where(lost, torch.full_like(tokens, unknown), tokens)
    dropped = torch.rand((len(tokens), 1), device=tokens.device) < recipe.prompt_drop
    return torch.where(dropped, empty, tokens)


def train_denoiser(base: Base, latents: Latents, state: Path, budget: Budget, recipe: DenoiserRecipe) -> None:
    """One leg; `state` is the file that holds everything between legs.

    Leaves the averaged weights in the base's U-Net and text tower, locked.
    """
    device = latents.mean.device
    schedule = Schedule(base.config.schedule)
    schedule.alphas_cumprod = schedule.alphas_cumprod.to(device)
    unknown, empty = unknown_token(latents.vocabulary), latents.empty_prompt

    def draw(step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if step % 200 == 0:
            latents.refresh()
        index = batch_indices(latents.count, recipe.batch_size, device)
        z0 = latents.draw(index)
        noise = torch.randn_like(z0)
        t = torch.randint(0, schedule.steps, (len(z0),), device=device)
        tokens = damage_prompts(latents.tokens[index], empty, unknown, recipe)
        return schedule.add_noise(z0, noise, t), t, tokens, schedule.target(z0, noise, t)

    base.unet.requires_grad_(True)
    base.text.requires_grad_(True)
    train_leg("denoiser", Trained(base), draw, state, budget, recipe)
    base.lock()
