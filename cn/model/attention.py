"""Spatial transformer: self-attention, cross-attention to the text, GEGLU feed-forward (LDM attention.py)."""

from collections.abc import Mapping
from typing import NamedTuple

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from cn.model.layers import add_layer_norm, affine, fork_normalize, geglu, layer_norm, pointwise, repeated


class KeysValues(NamedTuple):
    """What an attention makes of its source: (B, heads, M, dim / heads) each."""

    k: Tensor
    v: Tensor


class Attention(nn.Module):
    """Multi-head attention, softmax(q·kᵀ / √d)·v; no bias on q, k, v, bias on the output."""

    def __init__(self, dim: int, heads: int, context_dim: int | None = None):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim, bias=False)
        self.k = nn.Linear(context_dim or dim, dim, bias=False)
        self.v = nn.Linear(context_dim or dim, dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def keys_values(self, source: Tensor) -> KeysValues:
        """Those of what is attended to, (B, M, context_dim), or (B, M, dim) where that is x itself."""
        return KeysValues(self._split(self.k(source)), self._split(self.v(source)))

    def forward(self, x: Tensor, context: "Context | None" = None) -> Tensor:
        """(B, N, dim) attends to (B, M, context_dim), or to itself → (B, N, dim)."""
        q = self._split(self.q(x))
        k, v = context[self] if isinstance(context, Mapping) else self.keys_values(x if context is None else context)
        return affine(self.out, rearrange(F.scaled_dot_product_attention(q, k, v), "b h n d -> b n (h d)"))

    def _split(self, x: Tensor) -> Tensor:
        return rearrange(x, "b n (h d) -> b h n d", h=self.heads)


Context = Tensor | Mapping[Attention, KeysValues]
"""A text (B, 77·n, C), or what each cross-attention of a network has made of it already (`context_of`)."""


def context_of(network: nn.Module, text: Tensor) -> Context:
    """The keys and values of a text (B, 77·n, C) for all cross-attentions of a network.

    They depend on the text alone, so that a sampler computes them once for all of its steps.
    """
    return {layer: layer.keys_values(text) for layer in cross_attentions(network)}


def cross_attentions(network: nn.Module) -> list[Attention]:
    """All of a network, in the order of its modules."""
    return [module.cross_attention for module in network.modules() if isinstance(module, TransformerBlock)]


class FeedForward(nn.Module):
    """GEGLU: x·GELU(gate), inner width 4×; GELU in its exact (erf) form."""

    def __init__(self, dim: int):
        super().__init__()
        self.inner = nn.Linear(dim, 8 * dim)
        self.outer = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return affine(self.outer, geglu(affine(self.inner, x)))


class TransformerBlock(nn.Module):
    """x + self-attention, + cross-attention, + feed-forward, each behind a LayerNorm."""

    def __init__(self, dim: int, heads: int, context_dim: int):
        super().__init__()
        self.norm_1 = nn.LayerNorm(dim)
        self.self_attention = Attention(dim, heads)
        self.norm_2 = nn.LayerNorm(dim)
        self.cross_attention = Attention(dim, heads, context_dim)
        self.norm_3 = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, N, dim) and the text of R·B rows → (R·B, N, dim): rows of x are repeated once they depend on the text."""
        x, h = add_layer_norm(self.norm_2, self.self_attention(layer_norm(self.norm_1, x)), x)
        rows = len(context) if isinstance(context, Tensor) else len(context[self.cross_attention].k)
        x, h = repeated(x, rows), repeated(h, rows)
        x, h = add_layer_norm(self.norm_3, self.cross_attention(h, context), x)
        return self.feed_forward(h) + x


class SpatialTransformer(nn.Module):
    """GroupNorm (eps 1e-6), projection, transformer blocks over the H·W cells, projection, + input.

    `linear_projection` is SD 2's order (flatten, then Linear); SD 1 applies 1×1 convolutions first.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        context_dim: int,
        *,
        depth: int = 1,
        linear_projection: bool = False,
        groups: int = 32,
    ):
        super().__init__()
        self.linear_projection = linear_projection
        self.norm = nn.GroupNorm(groups, dim, eps=1e-6)
        self.proj_in: nn.Linear | nn.Conv2d = nn.Linear(dim, dim) if linear_projection else nn.Conv2d(dim, dim, 1)
        self.blocks = nn.ModuleList(TransformerBlock(dim, heads, context_dim) for _ in range(depth))
        self.proj_out: nn.Linear | nn.Conv2d = nn.Linear(dim, dim) if linear_projection else nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, dim, H, W), (R·B, 77·n, context_dim) → (R·B, dim, H, W)."""
        height = x.shape[-2]
        x, h = fork_normalize(self.norm, x)
        if self.linear_projection:
            h = affine(self.proj_in, rearrange(h, "b c h w -> b (h w) c"))
        else:
            h = rearrange(pointwise(self.proj_in, h), "b c h w -> b (h w) c")
        for block in self.blocks:
            h = block(h, context)
        x = repeated(x, len(h))
        if self.linear_projection:
            return rearrange(affine(self.proj_out, h), "b (h w) c -> b c h w", h=height) + x
        return pointwise(self.proj_out, rearrange(h, "b (h w) c -> b c h w", h=height)) + x
