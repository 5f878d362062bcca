"""Kernels along the channels of tokens and cells for training: layer normalization with its moments, and gradients.

Gradients of weights are sums over all rows: each of a fixed number of programs sums some, and torch sums those, so that
the results have the same bits each time. Arithmetic is in float32.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from cn.model.kernels.rows import BLOCK, COLUMNS, GATES, ROWS, empty_map, map_grid, map_part

PROGRAMS = 528
"""That share the rows of a sum, at most: four for each multiprocessor of an H100 or H200."""


def layer_norm(a: Tensor, b: Tensor | None, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """(…, C), contiguous, perhaps twice → their sum (or the first), its layer normalization, and (2, N) float32: mean
    and 1 / standard deviation of each token."""
    total, result = a if b is None else torch.empty_like(a), torch.empty_like(a)
    tokens, channels = a.numel() // a.shape[-1], a.shape[-1]
    statistics = a.new_empty(2, tokens, dtype=torch.float32)
    rows, columns = _tile(channels)
    _forward[(triton.cdiv(tokens, rows),)](
        a, a if b is None else b, total, result, *statistics, weight, bias, eps, tokens, channels, b is not None,
        ROWS=rows, COLUMNS=columns,
    )  # fmt: skip
    return total, result, statistics


def layer_norm_gradients(
    total: Tensor, grad: Tensor, of_total: Tensor | None, statistics: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradient of what is summed, from that of the normalization, and of the sum itself if that is used too; and
    (2, C) float32: the gradients of weight and bias."""
    channels, result = total.shape[-1], torch.empty_like(total)
    tokens, (rows, columns) = total.numel() // channels, _tile(channels)
    tiles = triton.cdiv(tokens, rows)
    programs = min(PROGRAMS, tiles)
    partial = total.new_empty(2, programs, channels, dtype=torch.float32)
    _backward[(programs,)](
        total, grad, grad if of_total is None else of_total, *statistics, weight, result, *partial,
        tokens, channels, triton.cdiv(tiles, programs), programs, of_total is not None, ROWS=rows, COLUMNS=columns,
    )  # fmt: skip
    return result, partial.sum(dim=1)


def geglu_gradient(x: Tensor, grad: Tensor) -> Tensor:
    """The gradient of x (…, 2·n) from that of `rows.geglu` of it (…, n), both contiguous."""
    result, half = torch.empty_like(x), grad.shape[-1]
    tokens = grad.numel() // half
    grid = triton.cdiv(tokens, BLOCK // GATES), triton.cdiv(half, GATES)
    _geglu_gradient[grid](x, grad, result, tokens, half, ROWS=BLOCK // GATES, COLUMNS=GATES)
    return result


def channel_sums(x: Tensor) -> Tensor:
    """(B, C, H, W), channels last, or (…, C), contiguous → (C,) float32: the sums over images and cells or tokens."""
    channels = x.shape[1] if x.dim() == 4 else x.shape[-1]
    cells = x.numel() // channels
    tiles = triton.cdiv(cells, ROWS)
    programs = min(PROGRAMS, tiles)
    partial = x.new_empty(programs, channels, dtype=torch.float32)
    _channel_sums[programs, triton.cdiv(channels, COLUMNS)](
        x, partial, cells, channels, triton.cdiv(tiles, programs), programs, ROWS=ROWS, COLUMNS=COLUMNS
    )
    return partial.sum(dim=0)


def split(x: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """(B, C1 + C2, H, W), channels last → (B, C1, H, W) and (B, C2, H, W)."""
    second = x.shape[1] - first
    a, b = (empty_map(x, channels, *x.shape[-2:]) for channels in (first, second))
    cells = x.numel() // x.shape[1]
    _split[map_grid(cells, first + second)](x, a, b, cells, first, second, ROWS=ROWS, COLUMNS=COLUMNS)
    return a, b


def shrink(x: Tensor, stride: int) -> Tensor:
    """(B, C, stride·H, stride·W), channels last → (B, C, H, W): sums of what `rows.enlarge` makes of one cell."""
    batch, channels, height, width = x.shape
    result = empty_map(x, channels, height // stride, width // stride)
    cells = batch * result.shape[2] * result.shape[3]
    _shrink[map_grid(cells, channels)](x, result, cells, result.shape[3], stride, channels, ROWS=ROWS, COLUMNS=COLUMNS)
    return result


def _tile(channels: int) -> tuple[int, int]:
    """Rows and columns, a power of 2 each, that a program normalizes at once."""
    columns = triton.next_power_of_2(channels)
    return max(1, 2 * BLOCK // columns), columns


@triton.jit(do_not_specialize=["tokens", "add"])
def _forward(
    a, b, total, result, means, scales, weight, bias, eps, tokens, channels, add,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row, column = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    there = column < channels
    mask = (row < tokens)[:, None] & there[None, :]
    place = row.to(tl.int64)[:, None] * channels + column[None, :]
    x = tl.load(a + place, mask=mask, other=0.0).to(tl.float32)
    if add:
        x += tl.load(b + place, mask=mask, other=0.0).to(tl.float32)
        tl.store(total + place, x.to(total.dtype.element_ty), mask=mask)
    mean = tl.sum(x, axis=1) / channels
    apart = tl.where(mask, x - mean[:, None], 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(apart * apart, axis=1) / channels + eps)
    y = apart * scale[:, None] * tl.load(weight + column, mask=there, other=0.0).to(tl.float32)[None, :]
    y += tl.load(bias + column, mask=there, other=0.0).to(tl.float32)[None, :]
    tl.store(result + place, y.to(result.dtype.element_ty), mask=mask)
    tl.store(means + row, mean, mask=row < tokens)
    tl.store(scales + row, scale, mask=row < tokens)


@triton.jit(do_not_specialize=["tokens", "blocks", "programs", "has_more"])
def _backward(
    total, grad, more, means, scales, weight, result, of_weight, of_bias,
    tokens, channels, blocks, programs, has_more,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    column = tl.arange(0, COLUMNS)
    there = column < channels
    by = tl.load(weight + column, mask=there, other=0.0).to(tl.float32)
    products, slopes = tl.zeros((COLUMNS,), tl.float32), tl.zeros((COLUMNS,), tl.float32)
    for block in range(blocks):
        row = (block * programs + tl.program_id(0)) * ROWS + tl.arange(0, ROWS)
        mask = (row < tokens)[:, None] & there[None, :]
        place = row.to(tl.int64)[:, None] * channels + column[None, :]
        mean = tl.load(means + row, mask=row < tokens, other=0.0)
        scale = tl.load(scales + row, mask=row < tokens, other=0.0)
        slope = tl.load(grad + place, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(total + place, mask=mask, other=0.0).to(tl.float32)
        normal = tl.where(mask, (x - mean[:, None]) * scale[:, None], 0.0)
        products += tl.sum(slope * normal, axis=0)
        slopes += tl.sum(slope, axis=0)
        slope = slope * by[None, :]
        slope_mean = tl.sum(slope, axis=1) / channels
        product_mean = tl.sum(slope * normal, axis=1) / channels
        of_x = scale[:, None] * (slope - slope_mean[:, None] - normal * product_mean[:, None])
        of_x += tl.load(more + place, mask=mask & (has_more != 0), other=0.0).to(tl.float32)
        tl.store(result + place, of_x.to(result.dtype.element_ty), mask=mask)
    at = tl.program_id(0) * channels + column
    tl.store(of_weight + at, products, mask=there)
    tl.store(of_bias + at, slopes, mask=there)


@triton.jit(do_not_specialize=["tokens"])
def _geglu_gradient(x, grad, result, tokens, half, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row, column = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    mask = (row < tokens)[:, None] & (column < half)[None, :]
    first = row.to(tl.int64)[:, None] * half
    slope = tl.load(grad + first + column[None, :], mask=mask, other=0.0).to(tl.float32)
    value = tl.load(x + 2 * first + column[None, :], mask=mask, other=0.0).to(tl.float32)
    gate = tl.load(x + 2 * first + half + column[None, :], mask=mask, other=0.0).to(tl.float32)
    # GELU(z) = z·Φ(z), its derivative Φ(z) + z·φ(z), with the normal distribution's Φ and its density φ.
    share = 0.5 * (1.0 + tl.erf(gate * 0.7071067811865476))
    density = 0.3989422804014327 * tl.exp(-0.5 * gate * gate)
    of_gate = slope * value * (share + gate * density)
    tl.store(result + 2 * first + column[None, :], (slope * gate * share).to(result.dtype.element_ty), mask=mask)
    tl.store(result + 2 * first + half + column[None, :], of_gate.to(result.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["cells", "blocks", "programs"])
def _channel_sums(x, partial, cells, channels, blocks, programs, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = column < channels
    sums = tl.zeros((COLUMNS,), tl.float32)
    for block in range(blocks):
        cell = (block * programs + tl.program_id(0)) * ROWS + tl.arange(0, ROWS)
        mask = (cell < cells)[:, None] & there[None, :]
        place = cell.to(tl.int64)[:, None] * channels + column[None, :]
        sums += tl.sum(tl.load(x + place, mask=mask, other=0.0).to(tl.float32), axis=0)
    tl.store(partial + tl.program_id(0) * channels + column, sums, mask=there)


@triton.jit(do_not_specialize=["cells"])
def _split(x, a, b, cells, first, second, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    cell, column, mask = map_part(cells, first + second, ROWS, COLUMNS)
    place, in_a = cell.to(tl.int64)[:, None], (column < first)[None, :]
    value = tl.load(x + place * (first + second) + column[None, :], mask=mask, other=0.0)
    tl.store(a + place * first + column[None, :], value, mask=mask & in_a)
    tl.store(b + place * second + (column - first)[None, :], value, mask=mask & ~in_a)


@triton.jit(do_not_specialize=["cells", "width", "stride"])
def _shrink(x, result, cells, width, stride, channels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """`width`: that of the result."""
    cell, column, mask = map_part(cells, channels, ROWS, COLUMNS)
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    for number in range(stride * stride):
        row, inner = cell // width * stride + number // stride, cell % width * stride + number % stride
        place = (row.to(tl.int64) * width * stride + inner)[:, None] * channels + column[None, :]
        sums += tl.load(x + place, mask=mask, other=0.0).to(tl.float32)
    place = cell.to(tl.int64)[:, None] * channels + column[None, :]
    tl.store(result + place, sums.to(result.dtype.element_ty), mask=mask)
