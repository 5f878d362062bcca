"""The pool encoded for the diffusion model: latents and token ids, in the memory of the training device."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cn.files import open_atomic
from cn.model.config import TextConfig
from cn.model.text import tokenize
from cn.model.vae import AutoencoderKL
from cn.pretrain.pool import Pool, as_input
from cn.pretrain.session import autocast


@dataclass
class Latents:
    """`mean`, `std` (N, 4, h, w) fp16 and `tokens` (N, 77) int32, of which the first `count` are filled."""

    pool: Pool
    vae: AutoencoderKL
    config: TextConfig
    mean: Tensor
    std: Tensor
    tokens: Tensor
    count: int = 0

    @classmethod
    def of(cls, pool: Pool, vae: AutoencoderKL, text: TextConfig) -> "Latents":
        n, device = len(pool.rgb), pool.rgb.device
        side = pool.rgb.shape[-1] // vae.config.factor
        shape = (n, vae.config.latent_channels, side, side)
        mean, std = (torch.empty(shape, dtype=torch.float16, device=device) for _ in range(2))
        tokens = torch.zeros((n, text.context_length), dtype=torch.int32, device=device)
        return cls(pool, vae, text, mean, std, tokens)

    def save(self, path: Path) -> None:
        """Save what has been encoded, for the next session."""
        kept = {name: getattr(self, name)[: self.count].cpu() for name in ("mean", "std", "tokens")}
        with open_atomic(path, durable=False) as file:
            torch.save(kept, file)

    def load(self, path: Path) -> None:
        """Load what an earlier session has saved."""
        kept = torch.load(path, map_location=self.mean.device, weights_only=True)
        self.count = min(len(kept["mean"]), len(self.mean))
        for name, values in kept.items():
            getattr(self, name)[: self.count] = values[: self.count]

    @torch.no_grad()
    def refresh(self) -> int:
        """Encode the images that the pool has gained; returns the number of encoded images."""
        self.pool.refresh()
        # A CPU's caches hold the feature maps of a few images only: a batch of 64 took 1.5 times as long.
        batch_size = 64 if self.mean.device.type == "cuda" else 2
        while self.count < self.pool.count:
            part = slice(self.count, min(self.count + batch_size, self.pool.count))
            with autocast(self.mean.device):
                posterior = self.vae.encode(as_input(self.pool.rgb[part]))
            self.mean[part], self.std[part] = posterior.mean.half(), posterior.std.half()
            self.tokens[part] = tokenize(self.pool.captions[part], self.config).int().to(self.tokens.device)
            self.count = part.stop
        return self.count

    def draw(self, index: Tensor) -> Tensor:
        """Latents (B, 4, h, w) float32, drawn from the posteriors of these images."""
        mean = self.mean[index].float()
        return mean + self.std[index].float() * torch.randn_like(mean)

    @property
    def vocabulary(self) -> list[int]:
        """The token ids that occur, those of start, end and padding included."""
        return sorted({int(i) for i in self.tokens[: self.count].unique()} | set(self.empty_prompt.tolist()))

    @property
    def empty_prompt(self) -> Tensor:
        """(77,) token ids of the empty prompt."""
        return tokenize([""], self.config)[0].int().to(self.tokens.device)


def unknown_token(vocabulary: list[int]) -> int:
    """The id that stands for every token outside the vocabulary: the smallest one (`save_base` keeps its row)."""
    known = set(vocabulary)
    return next(i for i in range(len(known) + 1) if i not in known)
