"""Stage "control": one ControlNet on the finished base, trained by the paper's method (§3.3, §3.5)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from cn.model.base import Base
from cn.model.controlnet import ControlNet
from cn.pretrain.budget import Budget
from cn.pretrain.latents import Latents
from cn.pretrain.master_weights import StageConfig
from cn.pretrain.pool import load_maps
from cn.pretrain.session import train_session
from cn.train.loss import diffusion_loss

STARTS = {"hough": "canny", "scribble": "canny"}
"""Kinds that the paper trains from the ControlNet of another one (§3.5)."""
OF_PEOPLE = ("openpose", "openpifpaf")
"""Kinds that are trained on images with people only."""


@dataclass(frozen=True)
class ControlConfig(StageConfig):
    """Half of the prompts are dropped, as in the paper; the learning rate suits a base of ten million parameters."""

    batch_size: int = 256
    learning_rate: float = 1e-3
    warmup: int = 50
    decay_from: float = 0.4
    ema_decay: float = 0.995
    seed: int = 3
    muon: bool = True
    prompt_drop: float = 0.5


class ControlLoss(nn.Module):
    """The whole loss of Eq. 10 as one graph; only the ControlNet's parameters require gradients."""

    def __init__(self, base: Base, control: ControlNet):
        super().__init__()
        self.unet, self.control = base.unet, control
        self.schedule = base.schedule.to(base.device)

    def forward(self, z0: Tensor, hint: Tensor, text: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        dtype = self.unet.decoder.conv_out.weight.dtype
        z0, hint, text, noise = (x.to(dtype) for x in (z0, hint, text, noise))
        return diffusion_loss(self.unet, self.control, self.schedule, z0, hint, text, t, noise)


def train_control(
    base: Base,
    kind: str,
    latents: Latents,
    state: Path,
    budget: Budget,
    settings: ControlConfig,
    start: ControlNet | None = None,
) -> ControlNet:
    """One training session on the encoded scenes, which have maps (for poses, on those with people).

    Without a `state` it starts from the weights of `start`, or from a new copy of the base's encoder.
    """
    device = latents.mean.device
    torch.manual_seed(settings.seed)
    control = (start or ControlNet.from_unet(base.unet)).to(device).train().requires_grad_(True)
    hints = load_maps(latents.folder, kind, latents.shards, device)
    usable = [i for i in range(latents.count) if kind not in OF_PEOPLE or latents.person[i]]
    rows, empty = torch.tensor(usable, device=device), latents.empty_prompt

    def draw(step: int) -> tuple[Tensor, ...]:
        index = rows[torch.randint(0, len(rows), (settings.batch_size,), device=device)]
        z0 = latents.draw(index)
        hint = hints[index].float().div(255).expand(-1, 3, -1, -1)
        dropped = torch.rand((len(index), 1), device=device) < settings.prompt_drop
        with torch.no_grad():
            text = base.text(torch.where(dropped, empty, latents.draw_tokens(index)))
        t = torch.randint(0, base.schedule.steps, (len(index),), device=device)
        return z0, hint, text, t, torch.randn_like(z0)

    train_session(f"control {kind}", ControlLoss(base, control), draw, state, budget, settings)
    return control.requires_grad_(False).eval()
