"""The convolutional blocks: time embedding, residual block, down- and upsampling.

Shapes: (B, C, H, W) feature maps, (B, 4·C0) time embeddings. Source: LDM openaimodel.py and util.py.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn.model.layers import add, affine, convolve, enlarge, fork_normalize, normalize, pointwise


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """(B,) timesteps → (B, dim) float32: cosines first, then sines, of frequencies 10000^(-i / (dim/2))."""
    half = dim // 2
    frequencies = torch.exp(-math.log(10000) / half * torch.arange(half, dtype=torch.float32, device=t.device))
    angles = t.float()[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimeEmbedding(nn.Module):
    """(B,) timesteps → (B, 4·channels); no activation after the second layer."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.linear_1 = nn.Linear(channels, 4 * channels)
        self.linear_2 = nn.Linear(4 * channels, 4 * channels)

    def forward(self, t: Tensor) -> Tensor:
        x = timestep_embedding(t, self.channels).to(self.linear_1.weight.dtype)
        return self.linear_2(F.silu(self.linear_1(x)))


class ResBlock(nn.Module):
    """norm, SiLU, conv, + time embedding, norm, SiLU, conv, + input (through 1×1 where the width changes).

    `time_dim` None is the autoencoder's block, which has no time embedding.
    """

    def __init__(self, inputs: int, outputs: int, time_dim: int | None, *, groups: int = 32, eps: float = 1e-5):
        super().__init__()
        self.norm_1 = nn.GroupNorm(groups, inputs, eps=eps)
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time_dim, outputs) if time_dim is not None else None
        self.norm_2 = nn.GroupNorm(groups, outputs, eps=eps)
        self.conv_2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor | None = None) -> Tensor:
        """(B, inputs, H, W), (B, time_dim) → (B, outputs, H, W)."""
        shift = self.time(F.silu(emb)) if self.time is not None and emb is not None else None
        x, h = fork_normalize(self.norm_1, x, silu=True)
        h, bias = convolve(self.conv_1, h)
        h, bias = convolve(self.conv_2, normalize(self.norm_2, h, bias=bias, shift=shift, silu=True))
        return add(pointwise(self.skip, x), h, bias)


class Downsample(nn.Module):
    """3×3 convolution of the given stride, padded equally on all sides (the autoencoder pads right and below only)."""

    def __init__(self, channels: int, stride: int = 2):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return affine(self.conv, x)


class Upsample(nn.Module):
    """Nearest-neighbor enlargement, then 3×3 convolution.

    `size` is the skip connection's, so that odd sizes match.
    """

    def __init__(self, channels: int, stride: int = 2):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """(B, C, H, W) → (B, C, *size), by default stride × (H, W)."""
        return affine(self.conv, enlarge(x, self.stride, size))


def zero_convolution(inputs: int, outputs: int, kernel: int = 1) -> nn.Conv2d:
    """Z of Eq. 2: a convolution whose weight and bias start at zero (1×1 except in the released condition encoder)."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv
