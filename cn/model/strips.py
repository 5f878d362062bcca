"""Decode latents in horizontal strips: the same image as at once, up to rounding, in a fraction of the memory.

Tiles that are decoded by themselves show: each would be normalized by its own mean and variance, and the seams remain
after blending. Here a group normalization has the statistics of the whole map. Before a strip is normalized, a pass
over all strips computes them (Chan, Golub and LeVeque 1983 for joining means and variances); convolutions get the rows
around their strip that they need. So nothing has to be blended. Feature maps are stored once for each residual block,
and what lies between (the enlarged map, the block's inner map) is computed again where it is needed: about twice the
arithmetic of the last levels for less than a quarter of the memory.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from cn.model.blocks import ResBlock, Upsample
from cn.model.vae import AutoencoderKL, Middle, VAEAttention

STRIP = 1 << 23
"""About how many numbers a strip of a feature map has (32 MB in float32)."""

_SCORES = 1 << 26
"""How many attention scores are computed at once, where the whole matrix has to be in memory."""

_MIN_ROWS = 4

Statistics = tuple[Tensor, Tensor]
"""Mean and variance of each group, (B, groups), float32."""


class _Map(Protocol):
    """A feature map of which rows can be had."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""

    def rows(self, first: int, last: int) -> Tensor:
        """(B, C, last - first, W)."""


@dataclass(frozen=True)
class _Stored:
    tensor: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        _, channels, height, width = self.tensor.shape
        return channels, height, width

    def rows(self, first: int, last: int) -> Tensor:
        return self.tensor[:, :, first:last]


@dataclass(frozen=True)
class _Enlarged:
    """What an `Upsample` makes of a stored map, computed row by row."""

    source: _Stored
    layer: Upsample

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.source.shape
        return channels, height * self.layer.stride, width * self.layer.stride

    def rows(self, first: int, last: int) -> Tensor:
        stride, height = self.layer.stride, self.shape[1]
        low, high = max(first - 1, 0), min(last + 1, height)
        start = low // stride
        x = self.source.rows(start, -(-high // stride))
        x = F.interpolate(x, scale_factor=stride, mode="nearest")[:, :, low - start * stride : high - start * stride]
        return _convolved(self.layer.conv, x, first == 0, last == height)


@torch.no_grad()
def decode_in_strips(vae: AutoencoderKL, latents: Tensor, *, rows: int | None = None) -> Tensor:
    """As `AutoencoderKL.decode`: scaled latents (B, 4, H, W) → images (B, 3, 8H, 8W), about [-1, 1], not clamped.

    `rows` is the height of a strip of every map (default: as many as make `STRIP` numbers).
    """
    decoder = vae.decoder
    found: _Map = _Stored(_middle(decoder.middle, decoder.conv_in(vae.post_quant(latents / vae.config.scale))))
    for block in decoder.blocks:
        if isinstance(block, ResBlock):
            found = _residual(block, found, rows)
        else:
            assert isinstance(block, Upsample)
            assert isinstance(found, _Stored)
            found = _Enlarged(found, block)
    _, height, width = found.shape
    strips = list(_strips(found.shape, rows))
    normalized = _Normalized(decoder.norm_out, found, _statistics(found.rows, decoder.norm_out, strips))
    image = latents.new_empty(latents.shape[0], 3, height, width, dtype=normalized.rows(0, 1).dtype)
    for first, last in strips:
        image[:, :, first:last] = normalized.convolved(decoder.conv_out, first, last)
    return image


@dataclass(frozen=True)
class _Normalized:
    """SiLU of a group normalization with known statistics."""

    norm: nn.GroupNorm
    source: _Map
    statistics: Statistics

    def rows(self, first: int, last: int) -> Tensor:
        mean, variance = self.statistics
        per_group = self.norm.num_channels // self.norm.num_groups
        factor = (variance + self.norm.eps).rsqrt().repeat_interleave(per_group, dim=1) * self.norm.weight.float()
        shift = self.norm.bias.float() - mean.repeat_interleave(per_group, dim=1) * factor
        x = self.source.rows(first, last)
        return F.silu(torch.addcmul(shift[:, :, None, None], x.float(), factor[:, :, None, None]).to(x.dtype))

    def convolved(self, conv: nn.Conv2d, first: int, last: int) -> Tensor:
        height = self.source.shape[1]
        x = self.rows(max(first - 1, 0), min(last + 1, height))
        return _convolved(conv, x, first == 0, last == height)


@dataclass(frozen=True)
class _Inner:
    """The map inside a residual block, after its first convolution; computed again for each use."""

    block: ResBlock
    before: _Normalized

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.block.conv_1.out_channels, *self.before.source.shape[1:]

    def rows(self, first: int, last: int) -> Tensor:
        return self.before.convolved(self.block.conv_1, first, last)


def _residual(block: ResBlock, source: _Map, rows: int | None) -> _Stored:
    """A residual block of the autoencoder; a stored map of the same width is overwritten."""
    strips = list(_strips(source.shape, rows))
    inner = _Inner(block, _Normalized(block.norm_1, source, _statistics(source.rows, block.norm_1, strips)))
    after = _Normalized(block.norm_2, inner, _statistics(inner.rows, block.norm_2, strips))
    result: Tensor | None = None
    if isinstance(source, _Stored) and isinstance(block.skip, nn.Identity):
        result = source.tensor
    # A strip is written after the next one is computed, which still needs the old rows above it.
    waiting: tuple[int, int, Tensor] | None = None
    for first, last in strips:
        made = block.skip(source.rows(first, last)) + after.convolved(block.conv_2, first, last)
        if result is None:
            batch, (_, height, width) = made.shape[0], source.shape
            result = made.new_empty(batch, block.conv_2.out_channels, height, width)
        _write(result, waiting)
        waiting = first, last, made
    assert result is not None
    _write(result, waiting)
    return _Stored(result)


def _write(result: Tensor, strip: tuple[int, int, Tensor] | None) -> None:
    if strip is not None:
        first, last, made = strip
        result[:, :, first:last] = made


def _strips(shape: tuple[int, int, int], rows: int | None) -> Iterator[tuple[int, int]]:
    """Row ranges, of at least two rows: a strip reaches two rows into its neighbors."""
    channels, height, width = shape
    step = rows or max(_MIN_ROWS, STRIP // (channels * width))
    edges = [*range(0, height, step), height]
    if len(edges) > 2 and edges[-1] - edges[-2] < 2:
        del edges[-2]
    yield from itertools.pairwise(edges)


def _statistics(rows: Callable[[int, int], Tensor], norm: nn.GroupNorm, strips: list[tuple[int, int]]) -> Statistics:
    """Mean and variance of each group over the whole map."""
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    device = norm.weight.device
    for first, last in strips:
        x = rows(first, last).float()
        values = x.reshape(x.shape[0], norm.num_groups, -1)
        more = values.shape[-1]
        # In float64 on the CPU: some devices have none.
        variance, center = (t.cpu().double() for t in torch.var_mean(values, dim=-1, correction=0))
        apart, total = center - mean, count + more
        squares = squares + variance * more + apart**2 * (count * more / total)
        mean = mean + apart * (more / total)
        count = total
    return mean.float().to(device), (squares / count).float().to(device)


def _convolved(conv: nn.Conv2d, x: Tensor, top: bool, bottom: bool) -> Tensor:
    """A 3×3 convolution of rows that hold their neighbors, except at the top and bottom of the map."""
    return F.conv2d(F.pad(x, (1, 1, int(top), int(bottom))), conv.weight, conv.bias)


def _middle(middle: Middle, x: Tensor) -> Tensor:
    return middle.res_2(_attention(middle.attention, middle.res_1(x)))


def _attention(layer: VAEAttention, x: Tensor) -> Tensor:
    """As `VAEAttention`, some queries at a time: each one's result does not depend on the others."""
    h = layer.norm(x)
    q, k, v = (rearrange(p(h), "b c h w -> b 1 (h w) c") for p in (layer.q, layer.k, layer.v))
    part = max(1, _SCORES // q.shape[2])
    h = torch.cat([F.scaled_dot_product_attention(some, k, v) for some in q.split(part, dim=2)], dim=2)
    return x + layer.out(rearrange(h, "b 1 (h w) c -> b c h w", h=x.shape[-2]))
