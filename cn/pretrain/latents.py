"""The pool encoded for the diffusion model: latents and token ids, in the memory of the training device."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from cn.model.config import TextConfig
from cn.model.text import tokenize
from cn.model.vae import AutoencoderKL
from cn.pretrain.pool import CAPTIONS, SHARD, as_input, images_of, new_shards
from cn.pretrain.session import autocast

REFRESH_SHARDS = 8
"""Encoded at once at most, so that training does not wait long."""


@dataclass
class Latents:
    """`mean`, `std` (N, c, h, w) fp16 and `tokens` (N, CAPTIONS, 77) int32, of which the first `count` are filled."""

    folder: Path
    vae: AutoencoderKL
    config: TextConfig
    mean: Tensor
    std: Tensor
    tokens: Tensor
    count: int = 0
    shards: int = 0
    """Number of the next shard to look for."""
    person: list[bool] = field(default_factory=list)
    """Whether the image shows a person, by the paper's rule."""

    @classmethod
    def of(cls, folder: Path, capacity: int, size: int, vae: AutoencoderKL, text: TextConfig) -> "Latents":
        """Memory for `capacity` images of size × size pixels, rounded up to full shards; nothing is encoded yet."""
        n, device = -(-capacity // SHARD) * SHARD, next(vae.parameters()).device
        shape = (n, vae.config.latent_channels, size // vae.config.factor, size // vae.config.factor)
        mean, std = (torch.empty(shape, dtype=torch.float16, device=device) for _ in range(2))
        tokens = torch.zeros((n, CAPTIONS, text.context_length), dtype=torch.int32, device=device)
        return cls(folder, vae, text, mean, std, tokens)

    @torch.no_grad()
    def refresh(self, most: int = REFRESH_SHARDS) -> int:
        """Encode shards that the pool has gained, `most` at most; returns the number of encoded images."""
        for taken, (number, records) in enumerate(new_shards(self.folder, self.shards)):
            if self.count == len(self.mean) or taken == most:
                break
            self._encode(number, [record["captions"] for record in records])
            self.person += [record["person"] for record in records]
            self.shards = number + 1
        return self.count

    def _encode(self, number: int, captions: list[list[str]]) -> None:
        device = self.mean.device
        images = images_of(self.folder, number, device)
        # A CPU's caches hold the feature maps of a few images only: a batch of 64 took 1.5 times as long.
        size = SHARD if device.type == "cuda" else 2
        for start in range(0, SHARD, size):
            part = slice(self.count + start, self.count + start + size)
            with autocast(device):
                posterior = self.vae.encode(as_input(images[start : start + size]))
            self.mean[part], self.std[part] = posterior.mean.half(), posterior.std.half()
        tokens = tokenize([text for texts in captions for text in texts], self.config).int()
        self.tokens[self.count : self.count + SHARD] = tokens.view(SHARD, CAPTIONS, -1).to(device)
        self.count += SHARD

    def wait(self, count: int) -> None:
        """Encode until there are at least `count` images, rendered meanwhile or not."""
        while self.refresh() < min(count, len(self.mean)):
            time.sleep(0.05)

    def catch_up(self) -> None:
        """Encode all that is rendered so far, as far as there is memory."""
        before = -1
        while before < self.count:
            before = self.count
            self.refresh()

    def draw(self, index: Tensor) -> Tensor:
        """Latents (B, c, h, w) float32, drawn from the posteriors of these images."""
        mean = self.mean[index].float()
        return mean + self.std[index].float() * torch.randn_like(mean)

    def draw_tokens(self, index: Tensor) -> Tensor:
        """(B, 77) token ids of one of each image's captions."""
        return self.tokens[index, torch.randint(0, CAPTIONS, index.shape, device=index.device)]

    @property
    def empty_prompt(self) -> Tensor:
        """(77,) token ids of the empty prompt."""
        return tokenize([""], self.config)[0].int().to(self.tokens.device)
