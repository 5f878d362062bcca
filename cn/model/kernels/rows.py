"""Kernels that go along the channels of tokens and cells: layer normalization, GEGLU, sums; arithmetic in float32."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024
"""Numbers that a program computes."""
GATES = 256
"""Of them in one token, for GEGLU: a divisor of the inner widths of Stable Diffusion."""
ROWS, COLUMNS = 64, 64
"""The part of a map, cells × channels, that a program computes."""


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(…, C), contiguous → the same."""
    return _normalized(x, x, x, weight, bias, eps, False)


def add_layer_norm(a: Tensor, b: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """(…, C) twice, contiguous → their sum, and its layer normalization."""
    total = torch.empty_like(a)
    return total, _normalized(a, b, total, weight, bias, eps, True)


def _normalized(a: Tensor, b: Tensor, total: Tensor, weight: Tensor, bias: Tensor, eps: float, add: bool) -> Tensor:
    result, channels = torch.empty_like(a), a.shape[-1]
    tokens, columns = a.numel() // channels, triton.next_power_of_2(channels)
    rows = max(1, 2 * BLOCK // columns)
    _layer_norm[(triton.cdiv(tokens, rows),)](
        a, b, total, result, weight, bias, eps, tokens, channels, add, ROWS=rows, COLUMNS=columns
    )
    return result


def geglu(x: Tensor) -> Tensor:
    """(…, 2·n), contiguous → (…, n): the first half times GELU (exact) of the second one."""
    half = x.shape[-1] // 2
    result = x.new_empty(*x.shape[:-1], half)
    tokens = result.numel() // half
    grid = triton.cdiv(tokens, BLOCK // GATES), triton.cdiv(half, GATES)
    _geglu[grid](x, result, tokens, half, ROWS=BLOCK // GATES, COLUMNS=GATES)
    return result


def add(a: Tensor, b: Tensor, bias: Tensor) -> Tensor:
    """(B, C, H, W) twice, channels last, + bias[C]."""
    result = torch.empty_like(a)
    channels = a.shape[1]
    cells = a.numel() // channels
    _add[map_grid(cells, channels)](a, b, bias, result, cells, channels, ROWS=ROWS, COLUMNS=COLUMNS)
    return result


def join(a: Tensor, b: Tensor, added: Tensor | None) -> Tensor:
    """(B, C1, H, W) and once or twice (B, C2, H, W), channels last → (B, C1 + C2, H, W): a, then b + added.

    These may have fewer rows, which are repeated.
    """
    first, second = a.shape[1], b.shape[1]
    result = empty_map(a, first + second, *a.shape[-2:])
    more = b if added is None else added
    cells = a.numel() // first, b.numel() // second, more.numel() // second
    _join[map_grid(cells[0], first + second)](
        a, b, more, result, *cells, first, second, added is not None, ROWS=ROWS, COLUMNS=COLUMNS
    )
    return result


def enlarge(x: Tensor, stride: int) -> Tensor:
    """(B, C, H, W), channels last → (B, C, stride·H, stride·W): each cell repeated."""
    batch, channels, height, width = x.shape
    result = empty_map(x, channels, stride * height, stride * width)
    cells = batch * stride * height * stride * width
    _enlarge[map_grid(cells, channels)](
        x, result, cells, stride * height, stride * width, stride, channels, ROWS=ROWS, COLUMNS=COLUMNS
    )
    return result


def map_grid(cells: int, channels: int) -> tuple[int, int]:
    """Programs of ROWS × COLUMNS that make a map."""
    return triton.cdiv(cells, ROWS), triton.cdiv(channels, COLUMNS)


def empty_map(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    """(B, C, H, W), channels last, of the dtype and batch of another map."""
    shape = like.shape[0], channels, height, width
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


@triton.jit(do_not_specialize=["tokens", "add"])
def _layer_norm(
    a, b, total, result, weight, bias, eps, tokens, channels, add, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
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
    by = 1.0 / tl.sqrt(tl.sum(apart * apart, axis=1) / channels + eps)
    y = apart * by[:, None] * tl.load(weight + column, mask=there, other=0.0).to(tl.float32)[None, :]
    y += tl.load(bias + column, mask=there, other=0.0).to(tl.float32)[None, :]
    tl.store(result + place, y.to(result.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["tokens"])
def _geglu(x, result, tokens, half, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row, column = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    mask = (row < tokens)[:, None] & (column < half)[None, :]
    first = row.to(tl.int64)[:, None] * half
    value = tl.load(x + 2 * first + column[None, :], mask=mask, other=0.0).to(tl.float32)
    gate = tl.load(x + 2 * first + half + column[None, :], mask=mask, other=0.0).to(tl.float32)
    gelu = 0.5 * gate * (1.0 + tl.erf(gate * 0.7071067811865476))
    tl.store(result + first + column[None, :], (value * gelu).to(result.dtype.element_ty), mask=mask)


@triton.jit
def map_part(cells, channels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Cells and channels of a program, and which of both are there."""
    cell = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    return cell, column, (cell < cells)[:, None] & (column < channels)[None, :]


@triton.jit(do_not_specialize=["cells"])
def _add(a, b, bias, result, cells, channels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    cell, column, mask = map_part(cells, channels, ROWS, COLUMNS)
    place = cell.to(tl.int64)[:, None] * channels + column[None, :]
    value = tl.load(a + place, mask=mask, other=0.0).to(tl.float32)
    value += tl.load(b + place, mask=mask, other=0.0).to(tl.float32)
    value += tl.load(bias + column, mask=column < channels, other=0.0).to(tl.float32)[None, :]
    tl.store(result + place, value.to(result.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["cells", "cells_b", "cells_more", "has_more"])
def _join(
    a, b, more, result, cells, cells_b, cells_more, first, second, has_more,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    cell, column, mask = map_part(cells, first + second, ROWS, COLUMNS)
    in_a, later = (column < first)[None, :], (column - first)[None, :]
    place = cell.to(tl.int64)[:, None]
    value = tl.load(a + place * first + column[None, :], mask=mask & in_a, other=0.0).to(tl.float32)
    from_b = (cell % cells_b).to(tl.int64)[:, None] * second + later
    value += tl.load(b + from_b, mask=mask & ~in_a, other=0.0).to(tl.float32)
    from_more = (cell % cells_more).to(tl.int64)[:, None] * second + later
    value += tl.load(more + from_more, mask=mask & ~in_a & (has_more != 0), other=0.0).to(tl.float32)
    tl.store(result + place * (first + second) + column[None, :], value.to(result.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["cells", "height", "width", "stride"])
def _enlarge(x, result, cells, height, width, stride, channels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    cell, column, mask = map_part(cells, channels, ROWS, COLUMNS)
    row, image = cell // width, cell // (width * height)
    source = (image * (height // stride) + row % height // stride) * (width // stride) + cell % width // stride
    value = tl.load(x + source.to(tl.int64)[:, None] * channels + column[None, :], mask=mask, other=0.0)
    tl.store(result + cell.to(tl.int64)[:, None] * channels + column[None, :], value, mask=mask)
