"""UniFormer-S: two fine stages with local convolutions, two coarse ones with global attention.

Names are those of `backbone` in the published upernet_global_small.pth. Source: UniFormer's semantic segmentation
(mmseg backbone uniformer.py, with neither windows nor hybrid blocks); Li et al., arXiv:2201.09450.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (64, 128, 320, 512)
"""Channels of the four stages, at 1/4, 1/8, 1/16 and 1/32 of the image's size."""

DEPTHS = (3, 4, 8, 3)
PATCHES = (4, 2, 2, 2)
HEAD = 64
EXPANSION = 4
EPS = 1e-6
"""Of all LayerNorms except those of the patch embeddings, which have PyTorch's 1e-5."""


def over_channels(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """A LayerNorm over the channels of (B, C, h, w)."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _conv1x1(channels: int, width: int) -> nn.Module:
    return nn.Conv2d(channels, width, 1)


class PatchEmbed(nn.Module):
    """Patches of `patch` × `patch` pixels to one cell each; the remainder at the right and bottom is dropped."""

    def __init__(self, channels: int, width: int, patch: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.proj = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        return over_channels(self.norm, self.proj(x)).contiguous()


class MLP(nn.Module):
    """Two layers with a GELU: 1×1 convolutions for cells, linear layers for tokens."""

    def __init__(self, width: int, layer: Callable[[int, int], nn.Module]):
        super().__init__()
        self.fc1 = layer(width, EXPANSION * width)
        self.fc2 = layer(EXPANSION * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class ConvBlock(nn.Module):
    """A transformer block with a 5×5 depthwise convolution instead of attention (CBlock), (B, C, h, w)."""

    def __init__(self, width: int):
        super().__init__()
        self.pos_embed = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, width, 1)
        self.conv2 = nn.Conv2d(width, width, 1)
        self.attn = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm2 = nn.BatchNorm2d(width)
        self.mlp = MLP(width, _conv1x1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        x = x + self.conv2(self.attn(self.conv1(self.norm1(x))))
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, C) → (B, n, C), without storing the n × n weights."""
        q, k, v = (part.unflatten(2, (-1, HEAD)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class AttentionBlock(nn.Module):
    """A transformer block with a 3×3 depthwise convolution as position embedding (SABlock), (B, C, h, w)."""

    def __init__(self, width: int):
        super().__init__()
        self.pos_embed = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = MLP(width, nn.Linear)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        rows = x.shape[2]
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attn(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens.transpose(1, 2).unflatten(2, (rows, -1))


class UniFormer(nn.Module):
    """Images (B, 3, H, W), sides of at least 32 → features at 1/4, 1/8, 1/16, 1/32 of the size, rounded down."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *WIDTHS[:-1])
        for stage, (c, width, depth, patch) in enumerate(zip(inputs, WIDTHS, DEPTHS, PATCHES, strict=True), start=1):
            block = ConvBlock if stage <= 2 else AttentionBlock
            self.add_module(f"patch_embed{stage}", PatchEmbed(c, width, patch))
            self.add_module(f"blocks{stage}", nn.Sequential(*(block(width) for _ in range(depth))))
            self.add_module(f"norm{stage}", nn.LayerNorm(width, eps=EPS))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"blocks{stage}")(self.get_submodule(f"patch_embed{stage}")(x))
            norm = self.get_submodule(f"norm{stage}")
            assert isinstance(norm, nn.LayerNorm)
            # The input of the next stage is not normalized.
            features.append(over_channels(norm, x))
        return features
