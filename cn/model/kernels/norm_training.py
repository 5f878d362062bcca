"""Group normalization of channels-last maps for training: forwards with the moments of each group, and backwards.

With u = x + added + shift, n = (u - mean) / deviation, y = n · w + bias, and the gradient g of y, the gradient of u is
(w·g - ⟨w·g⟩ - n·⟨w·g·n⟩) / deviation, where ⟨⟩ is the mean over a group (Ioffe and Szegedy 2015, for groups). All other
gradients are sums over cells. Of the forward pass only x and the moments are kept: n and y are computed again.

Many images: a program normalizes some whole groups of an image, whose map it reads twice, the second time largely from
the cache. Few images: parts of a map, as in `norm`. No sums are atomic, so that gradients have the same bits each time.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from cn.model.kernels.norm import COLUMNS, ROWS, before_of, in_parts, sizes
from cn.model.kernels.norm_images import (
    channel_values,
    image_backward,
    image_forward,
    normalized,
    of_group,
    slope_of,
)

MAX_TOGETHER = 80
"""Channels of some groups that a program takes at most; a single group may have more, and is slower."""
TILE = 2048
"""Numbers of a map that a program holds at once."""
ALIGNED = 16
"""Channels that are read at once where the first of them is a multiple of this."""
WARPS = 8
"""Of a program: with 4 its registers would leave room for three programs only."""
MANY = 512
"""Programs that keep a GPU busy: from so many on each takes a whole image."""


def forward(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    added: Tensor | None,
    shift: Tensor | None,
    silu: bool,
) -> tuple[Tensor, Tensor]:
    """`norm.group_norm`, and (2, B, G) float32: mean and 1 / standard deviation of each group."""
    batch, channels, height, width = x.shape
    result, before = torch.empty_like(x), before_of(x, added, shift)
    statistics = x.new_empty(2, batch, groups, dtype=torch.float32)
    together = whole_groups(channels, groups)
    if in_images(height * width, batch, channels, together):
        image_forward[batch, triton.cdiv(channels, together)](
            x, result, *statistics, weight, bias, *before, silu, eps, height * width, channels, groups,
            channels // groups, **_tile(together),
        )  # fmt: skip
    else:
        in_parts(x, result, weight, bias, before, eps, groups, statistics, silu)
    return result, statistics


def backward(
    x: Tensor,
    grad: Tensor,
    groups: int,
    statistics: Tensor,
    weight: Tensor,
    bias: Tensor,
    added: Tensor | None,
    shift: Tensor | None,
    silu: bool,
    more: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The gradient of x, like it, and (3, B, C) float32: for each image and channel the sums that are the gradients of
    shift, bias and weight. `grad` is the result's, channels last; `more`, that of another use of x, is added to x's.
    """
    batch, channels, height, width = x.shape
    cells, per_group = height * width, channels // groups
    result, together = torch.empty_like(x), whole_groups(channels, groups)
    sums = x.new_empty(3, batch, channels, dtype=torch.float32)
    given = (x, grad, *statistics, weight, bias, *before_of(x, added, shift), silu)
    chunks, further = triton.cdiv(channels, together), (grad if more is None else more, more is not None)
    if in_images(cells, batch, channels, together):
        image_backward[batch, chunks](
            *given, *further, result, *sums, cells, channels, groups, per_group, **_tile(together)
        )  # fmt: skip
        return result, sums
    parts = triton.cdiv(cells, ROWS)
    grid = parts, triton.cdiv(channels, COLUMNS), batch
    partial = x.new_empty(3, batch, parts, channels, dtype=torch.float32)
    means = x.new_empty(2, batch, channels, dtype=torch.float32)
    size = cells, channels, groups, per_group, parts
    _part_sums[grid](*given, *partial, *size, ROWS=ROWS, COLUMNS=COLUMNS, num_warps=WARPS)
    _join_sums[batch, chunks](*partial, statistics[1], weight, *sums, *means, *size, **_tile(together))
    _part_gradient[grid](*given, *means, *further, result, *size, ROWS=ROWS, COLUMNS=COLUMNS, num_warps=WARPS)
    return result, sums


def whole_groups(channels: int, groups: int) -> int:
    """How many channels of whole groups a program takes: aligned, where that is possible, and little idle."""
    per_group = channels // groups
    fitting = [k * per_group for k in range(1, groups + 1) if k * per_group <= MAX_TOGETHER]

    def cost(together: int) -> tuple[bool, int, int]:
        columns = triton.next_power_of_2(together)
        unaligned = together % ALIGNED != 0 and together != channels
        return unaligned, triton.cdiv(channels, together) * columns, abs(columns - COLUMNS)

    return min(fitting or [per_group], key=cost)


def in_images(cells: int, batch: int, channels: int, together: int) -> bool:
    """Whether a program takes some channels of a whole image."""
    return cells <= ROWS or batch * triton.cdiv(channels, together) >= MANY


def _tile(together: int) -> dict[str, int]:
    columns = triton.next_power_of_2(together)
    return {"ROWS": math.ceil(TILE / columns), "TOGETHER": together, "COLUMNS": columns, "num_warps": WARPS}


@sizes
def _part_sums(
    x, grad, group_mean, group_scale, weight, bias, added, shift, has_added, has_shift, silu,
    slopes, products, normals, cells, channels, groups, per_group, parts,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Over a part of the cells, for each channel: sums of the gradient, of it times what is normalized, and of that."""
    part, image = tl.program_id(0), tl.program_id(2)
    cell, column = part * ROWS + tl.arange(0, ROWS), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = column < channels
    mask = (cell < cells)[:, None] & there[None, :]
    place = image.to(tl.int64) * cells * channels + cell.to(tl.int64)[:, None] * channels + column[None, :]
    mean, scale, by, to, before = channel_values(
        group_mean, group_scale, weight, bias, added, shift, has_added, has_shift,
        image, column, there, channels, groups, per_group,
    )  # fmt: skip
    normal = normalized(x, place, mask, before, mean, scale)
    slope = slope_of(grad, place, mask, normal, by, to, silu)
    at = (image * parts + part).to(tl.int64) * channels + column
    tl.store(slopes + at, tl.sum(slope, axis=0), mask=there)
    tl.store(products + at, tl.sum(slope * normal, axis=0), mask=there)
    tl.store(normals + at, tl.sum(normal, axis=0), mask=there)


@sizes
def _join_sums(
    part_slopes, part_products, part_normals, group_scale, weight, of_shift, of_bias, of_weight,
    slope_means, product_means, cells, channels, groups, per_group, parts,
    ROWS: tl.constexpr, TOGETHER: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """From the sums over parts: those over an image, and the means over groups that the gradient of x needs."""
    image, inner = tl.program_id(0), tl.arange(0, COLUMNS)
    column = tl.program_id(1) * TOGETHER + inner
    there = (inner < TOGETHER) & (column < channels)
    slopes, products = tl.zeros((COLUMNS,), tl.float32), tl.zeros((COLUMNS,), tl.float32)
    normals = tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, parts, ROWS):
        part = start + tl.arange(0, ROWS)
        mask = (part < parts)[:, None] & there[None, :]
        place = (image * parts + part).to(tl.int64)[:, None] * channels + column[None, :]
        slopes += tl.sum(tl.load(part_slopes + place, mask=mask, other=0.0), axis=0)
        products += tl.sum(tl.load(part_products + place, mask=mask, other=0.0), axis=0)
        normals += tl.sum(tl.load(part_normals + place, mask=mask, other=0.0), axis=0)
    by = tl.load(weight + column, mask=there, other=0.0).to(tl.float32)
    scale = tl.load(group_scale + image * groups + column // per_group, mask=there, other=0.0)
    slope_mean = of_group(by * slopes, inner, per_group) / (per_group * cells)
    product_mean = of_group(by * products, inner, per_group) / (per_group * cells)
    at = image * channels + column
    tl.store(of_shift + at, scale * (by * slopes - slope_mean * cells - product_mean * normals), mask=there)
    tl.store(of_bias + at, slopes, mask=there)
    tl.store(of_weight + at, products, mask=there)
    tl.store(slope_means + at, slope_mean, mask=there)
    tl.store(product_means + at, product_mean, mask=there)


@sizes
def _part_gradient(
    x, grad, group_mean, group_scale, weight, bias, added, shift, has_added, has_shift, silu,
    slope_means, product_means, more, has_more, result, cells, channels, groups, per_group, parts,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The gradient of a part of the cells."""
    image = tl.program_id(2)
    cell = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = column < channels
    mask = (cell < cells)[:, None] & there[None, :]
    place = image.to(tl.int64) * cells * channels + cell.to(tl.int64)[:, None] * channels + column[None, :]
    mean, scale, by, to, before = channel_values(
        group_mean, group_scale, weight, bias, added, shift, has_added, has_shift,
        image, column, there, channels, groups, per_group,
    )  # fmt: skip
    slope_mean = tl.load(slope_means + image * channels + column, mask=there, other=0.0)
    product_mean = tl.load(product_means + image * channels + column, mask=there, other=0.0)
    normal = normalized(x, place, mask, before, mean, scale)
    slope = slope_of(grad, place, mask, normal, by, to, silu)
    of_x = scale[None, :] * (by[None, :] * slope - slope_mean[None, :] - normal * product_mean[None, :])
    of_x += tl.load(more + place, mask=mask & (has_more != 0), other=0.0).to(tl.float32)
    tl.store(result + place, of_x.to(result.dtype.element_ty), mask=mask)
