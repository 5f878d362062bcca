"""The networks' mathematics in plain formulas and float64: slow, short, and independent of the product's modules.

`w` is everywhere a dictionary of tensors; `part(w, "a.b.")` keeps those under a prefix and takes it off.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn.model.config import TextConfig, UNetConfig, VAEConfig

Weights = dict[str, Tensor]


def weights(network: nn.Module) -> Weights:
    return {k: v.detach().double() for k, v in network.state_dict().items()}


def part(w: Weights, prefix: str) -> Weights:
    return {k[len(prefix) :]: v for k, v in w.items() if k.startswith(prefix)}


def conv(w: Weights, x: Tensor, stride: int = 1, pad: tuple[int, int] | None = None) -> Tensor:
    """Σ over the kernel's taps of weight · shifted input; `pad` is (left and above, right and below)."""
    height, width = w["weight"].shape[-2:]
    before, after = pad or (height // 2, height // 2)
    x = F.pad(x, (before, after, before, after))
    rows, columns = (x.shape[-2] - height) // stride + 1, (x.shape[-1] - width) // stride + 1
    out = w["bias"][None, :, None, None].expand(x.shape[0], -1, rows, columns).clone()
    for i in range(height):
        for j in range(width):
            tap = x[:, :, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
            out += torch.einsum("oc,bchw->bohw", w["weight"][:, :, i, j], tap)
    return out


def linear(w: Weights, x: Tensor) -> Tensor:
    return x @ w["weight"].T + w.get("bias", torch.zeros((), dtype=x.dtype))


def group_norm(w: Weights, x: Tensor, groups: int, eps: float) -> Tensor:
    """Zero mean and unit (biased) variance over each group of channels and all cells; then scale and shift."""
    values = x.reshape(x.shape[0], groups, -1)
    centered = values - values.mean(-1, keepdim=True)
    out = centered / (centered.square().mean(-1, keepdim=True) + eps).sqrt()
    return out.reshape(x.shape) * w["weight"][:, None, None] + w["bias"][:, None, None]


def layer_norm(w: Weights, x: Tensor) -> Tensor:
    centered = x - x.mean(-1, keepdim=True)
    return centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w["weight"] + w["bias"]


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def quick_gelu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-1.702 * x))


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, *, causal: bool = False) -> Tensor:
    """(B, N, C), (B, M, C), (B, M, C) → (B, N, C), one head of one image at a time."""
    out, d = torch.zeros_like(q), q.shape[-1] // heads
    for b in range(q.shape[0]):
        for h in range(heads):
            at = slice(h * d, (h + 1) * d)
            scores = torch.exp(q[b, :, at] @ k[b, :, at].T / math.sqrt(d))
            if causal:
                scores = scores.tril()
            out[b, :, at] = scores @ v[b, :, at] / scores.sum(-1, keepdim=True)
    return out


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    half = dim // 2
    angles = [[float(s) * 10000 ** (-i / half) for i in range(half)] for s in t]
    rows = [[*(math.cos(a) for a in row), *(math.sin(a) for a in row)] for row in angles]
    return torch.tensor(rows, dtype=torch.float64)


def res_block(w: Weights, x: Tensor, emb: Tensor | None, groups: int, eps: float) -> Tensor:
    h = conv(part(w, "conv_1."), silu(group_norm(part(w, "norm_1."), x, groups, eps)))
    if emb is not None:
        h = h + linear(part(w, "time."), silu(emb))[:, :, None, None]
    h = conv(part(w, "conv_2."), silu(group_norm(part(w, "norm_2."), h, groups, eps)))
    return h + (conv(part(w, "skip."), x) if "skip.weight" in w else x)


def attention(w: Weights, x: Tensor, source: Tensor, heads: int) -> Tensor:
    q, k, v = linear(part(w, "q."), x), linear(part(w, "k."), source), linear(part(w, "v."), source)
    return linear(part(w, "out."), softmax_attention(q, k, v, heads))


def transformer_block(w: Weights, x: Tensor, text: Tensor, heads: int) -> Tensor:
    n = layer_norm(part(w, "norm_1."), x)
    x = x + attention(part(w, "self_attention."), n, n, heads)
    x = x + attention(part(w, "cross_attention."), layer_norm(part(w, "norm_2."), x), text, heads)
    value, gate = linear(part(w, "feed_forward.inner."), layer_norm(part(w, "norm_3."), x)).chunk(2, -1)
    return x + linear(part(w, "feed_forward.outer."), value * gelu(gate))


def transformer(w: Weights, x: Tensor, text: Tensor, heads: int, groups: int) -> Tensor:
    """A linear layer over cells and a 1×1 convolution are the same sum: both layouts are written as the first."""
    batch, width, rows, columns = x.shape
    flat = {k: v.flatten(1) if k.startswith("proj_") else v for k, v in w.items() if k.endswith("weight")}
    w = {**w, **flat}
    cells = group_norm(part(w, "norm."), x, groups, 1e-6).reshape(batch, width, -1).transpose(1, 2)
    h = linear(part(w, "proj_in."), cells)
    for i in range(sum(k.startswith("blocks.") and k.endswith("norm_1.weight") for k in w)):
        h = transformer_block(part(w, f"blocks.{i}."), h, text, heads)
    return x + linear(part(w, "proj_out."), h).transpose(1, 2).reshape(batch, width, rows, columns)


def nearest(x: Tensor, rows: int, columns: int) -> Tensor:
    i = torch.tensor([r * x.shape[-2] // rows for r in range(rows)])
    j = torch.tensor([c * x.shape[-1] // columns for c in range(columns)])
    return x[:, :, i][:, :, :, j]


def unet_encoder(w: Weights, c: UNetConfig, z: Tensor, t: Tensor, text: Tensor, hint: Tensor | None = None):
    """All features before the middle block, the middle block's, the time embedding."""
    emb = linear(part(w, "time_embedding.linear_1."), timestep_embedding(t, c.channels[0]))
    emb = linear(part(w, "time_embedding.linear_2."), silu(emb))
    x = conv(part(w, "blocks.0."), z) + (0 if hint is None else hint)
    features, number = [x], 1
    for level, width in enumerate(c.channels):
        for _ in range(c.res_blocks):
            x = res_block(part(w, f"blocks.{number}.res."), x, emb, c.groups, 1e-5)
            if level in c.attention_levels:
                x = transformer(part(w, f"blocks.{number}.attention."), x, text, c.heads_at(width), c.groups)
            features, number = [*features, x], number + 1
        if level < len(c.strides):
            x = conv(part(w, f"blocks.{number}.conv."), x, c.strides[level])
            features, number = [*features, x], number + 1
    x = res_block(part(w, "middle.res_1."), x, emb, c.groups, 1e-5)
    x = transformer(part(w, "middle.attention."), x, text, c.heads_at(c.channels[-1]), c.groups)
    return features, res_block(part(w, "middle.res_2."), x, emb, c.groups, 1e-5), emb


def unet(w: Weights, c: UNetConfig, z: Tensor, t: Tensor, text: Tensor, control=None) -> Tensor:
    features, x, emb = unet_encoder(part(w, "encoder."), c, z, t, text)
    if control is not None:
        features, x = [f + r for f, r in zip(features, control, strict=False)], x + control[-1]
    number = 0
    for level in reversed(range(len(c.channels))):
        for i in range(c.res_blocks + 1):
            b = part(w, f"decoder.blocks.{number}.")
            x = res_block(part(b, "res."), torch.cat([x, features.pop()], 1), emb, c.groups, 1e-5)
            if level in c.attention_levels:
                x = transformer(part(b, "attention."), x, text, c.heads_at(c.channels[level]), c.groups)
            if level and i == c.res_blocks:
                x = conv(part(b, "upsample.conv."), nearest(x, *features[-1].shape[-2:]))
            number += 1
    return conv(part(w, "decoder.conv_out."), silu(group_norm(part(w, "decoder.norm_out."), x, c.groups, 1e-5)))


def vae_middle(w: Weights, x: Tensor, groups: int) -> Tensor:
    x = res_block(part(w, "res_1."), x, None, groups, 1e-6)
    a, n = part(w, "attention."), group_norm(part(w, "attention.norm."), x, groups, 1e-6)
    q, k, v = (conv(part(a, f"{name}."), n).flatten(2).transpose(1, 2) for name in "qkv")
    x = x + conv(part(a, "out."), softmax_attention(q, k, v, 1).transpose(1, 2).reshape(x.shape))
    return res_block(part(w, "res_2."), x, None, groups, 1e-6)


def vae_moments(w: Weights, c: VAEConfig, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance, neither scaled nor clamped."""
    e, number = part(w, "encoder."), 0
    x = conv(part(e, "conv_in."), images)
    for level in range(len(c.channels)):
        for _ in range(c.res_blocks):
            x, number = res_block(part(e, f"blocks.{number}."), x, None, c.groups, 1e-6), number + 1
        if level < len(c.channels) - 1:
            x, number = conv(part(e, f"blocks.{number}.conv."), x, 2, pad=(0, 1)), number + 1
    x = group_norm(part(e, "norm_out."), vae_middle(part(e, "middle."), x, c.groups), c.groups, 1e-6)
    mean, logvar = conv(part(w, "quant."), conv(part(e, "conv_out."), silu(x))).chunk(2, 1)
    return mean, logvar


def vae_decode(w: Weights, c: VAEConfig, z: Tensor) -> Tensor:
    """Unscaled latents → images."""
    d, number = part(w, "decoder."), 0
    x = vae_middle(part(d, "middle."), conv(part(d, "conv_in."), conv(part(w, "post_quant."), z)), c.groups)
    for level in reversed(range(len(c.channels))):
        for _ in range(c.res_blocks + 1):
            x, number = res_block(part(d, f"blocks.{number}."), x, None, c.groups, 1e-6), number + 1
        if level:
            x = nearest(x, 2 * x.shape[-2], 2 * x.shape[-1])
            x, number = conv(part(d, f"blocks.{number}.conv."), x), number + 1
    return conv(part(d, "conv_out."), silu(group_norm(part(d, "norm_out."), x, c.groups, 1e-6)))


def text_tower(w: Weights, c: TextConfig, tokens: Tensor) -> Tensor:
    """CLIP's pre-norm transformer with causal attention, `run_layers` deep, then the final LayerNorm."""
    w = part(w, "tower.")
    x = w["token_embedding.weight"][tokens] + w["positional_embedding"][: tokens.shape[1]]
    for i in range(c.run_layers):
        b = part(w, f"transformer.resblocks.{i}.")
        n = layer_norm(part(b, "ln_1."), x)
        q, k, v = (n @ b["attn.in_proj_weight"].T + b["attn.in_proj_bias"]).chunk(3, -1)
        x = x + linear(part(b, "attn.out_proj."), softmax_attention(q, k, v, c.heads, causal=True))
        h = linear(part(b, "mlp.c_fc."), layer_norm(part(b, "ln_2."), x))
        x = x + linear(part(b, "mlp.c_proj."), (quick_gelu if c.quick_gelu else gelu)(h))
    return layer_norm(part(w, "ln_final."), x)
