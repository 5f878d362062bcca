"""The KL autoencoder (f8, 4 channels): images in [-1, 1] ↔ latents of about unit standard deviation.

Source: LDM diffusionmodules/model.py and autoencoder.py. GroupNorm eps 1e-6 throughout.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from cn.model.blocks import ResBlock, Upsample
from cn.model.config import VAEConfig
from cn.model.layers import affine, fork_normalize, normalize, pointwise


@dataclass(frozen=True)
class Posterior:
    """The diagonal Gaussian q(z|x); all tensors (B, 4, H, W), already scaled for the diffusion model."""

    mean: Tensor
    std: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One sample; the noise is drawn on the generator's device, so that a CPU seed gives the same everywhere."""
        device = generator.device if generator is not None else self.mean.device
        noise = torch.randn(self.mean.shape, generator=generator, device=device, dtype=self.mean.dtype)
        return self.mean + self.std * noise.to(self.mean.device)


class VAEAttention(nn.Module):
    """Single-head self-attention over all cells, with 1×1 convolutions (all with bias), + input."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.q, self.k, self.v, self.out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x, h = fork_normalize(self.norm, x)
        q, k, v = (rearrange(pointwise(layer, h), "b c h w -> b 1 (h w) c") for layer in (self.q, self.k, self.v))
        h = F.scaled_dot_product_attention(q, k, v)
        return x + pointwise(self.out, rearrange(h, "b 1 (h w) c -> b c h w", h=x.shape[-2]))


class Middle(nn.Module):
    """ResBlock, attention, ResBlock at the latent resolution."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.res_1 = ResBlock(channels, channels, None, groups=groups, eps=1e-6)
        self.attention = VAEAttention(channels, groups)
        self.res_2 = ResBlock(channels, channels, None, groups=groups, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.res_2(self.attention(self.res_1(x)))


class HalvingConv(nn.Module):
    """3×3 convolution of stride 2, padded to the right and below only."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return affine(self.conv, F.pad(x, (0, 1, 0, 1)))


class VAEEncoder(nn.Module):
    """(B, 3, 8H, 8W) → (B, 8, H, W): mean and log variance before the 1×1 `quant` convolution."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        width = config.channels[0]
        self.conv_in = nn.Conv2d(3, width, 3, padding=1)
        blocks: list[nn.Module] = []
        for level, outputs in enumerate(config.channels):
            for _ in range(config.res_blocks):
                blocks.append(ResBlock(width, outputs, None, groups=config.groups, eps=1e-6))
                width = outputs
            if level < len(config.channels) - 1:
                blocks.append(HalvingConv(width))
        self.blocks = nn.Sequential(*blocks)
        self.middle = Middle(width, config.groups)
        self.norm_out = nn.GroupNorm(config.groups, width, eps=1e-6)
        self.conv_out = nn.Conv2d(width, 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(normalize(self.norm_out, self.middle(self.blocks(self.conv_in(x))), silu=True))


class VAEDecoder(nn.Module):
    """(B, 4, H, W) → (B, 3, 8H, 8W); one ResBlock a level more than the encoder, no tanh at the end."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        width = config.channels[-1]
        self.conv_in = nn.Conv2d(config.latent_channels, width, 3, padding=1)
        self.middle = Middle(width, config.groups)
        blocks: list[nn.Module] = []
        for level, outputs in reversed(list(enumerate(config.channels))):
            for _ in range(config.res_blocks + 1):
                blocks.append(ResBlock(width, outputs, None, groups=config.groups, eps=1e-6))
                width = outputs
            if level > 0:
                blocks.append(Upsample(width))
        self.blocks = nn.Sequential(*blocks)
        self.norm_out = nn.GroupNorm(config.groups, width, eps=1e-6)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        return self.conv_out(normalize(self.norm_out, self.blocks(self.middle(self.conv_in(z))), silu=True))


class AutoencoderKL(nn.Module):
    """Encoder and decoder with their 1×1 convolutions around the latents."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        self.config = config
        channels = config.latent_channels
        self.encoder = VAEEncoder(config)
        self.decoder = VAEDecoder(config)
        self.quant = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.post_quant = nn.Conv2d(channels, channels, 1)

    def encode(self, images: Tensor) -> Posterior:
        """(B, 3, 8H, 8W) in [-1, 1] → the posterior of the scaled latents (log variance held within [-30, 20])."""
        mean, logvar = self.quant(self.encoder(images)).chunk(2, dim=1)
        std = torch.exp(0.5 * logvar.clamp(-30.0, 20.0))
        return Posterior(mean * self.config.scale, std * self.config.scale)

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, 4, H, W) → images (B, 3, 8H, 8W), about [-1, 1], not clamped."""
        return self.decoder(self.post_quant(latents / self.config.scale))
