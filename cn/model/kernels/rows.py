"""Kernels that go along the channels of tokens and cells: layer normalization, GEGLU, sums; arithmetic in float32."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024
"""Numbers that a program computes."""
GATES = 256
"""Of them in one token, for GEGLU: a divisor of the inner widths of Stable Diffusion."""


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
    _add[(triton.cdiv(a.numel(), BLOCK),)](a, b, bias, result, a.numel(), a.shape[1], BLOCK=BLOCK)
    return result


def join(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """(B, C1, H, W) and twice (B, C2, H, W), channels last → (B, C1 + C2, H, W): a, then b + c.

    These may have fewer rows, which are repeated.
    """
    batch, first, height, width = a.shape
    result = _empty(a, first + b.shape[1], height, width)
    grid = batch * height * width, triton.cdiv(result.shape[1], BLOCK)
    cells = b.numel() // b.shape[1], c.numel() // c.shape[1]
    _join[grid](a, b, c, result, *cells, first, b.shape[1], BLOCK=BLOCK)
    return result


def enlarge(x: Tensor, stride: int) -> Tensor:
    """(B, C, H, W), channels last → (B, C, stride·H, stride·W): each cell repeated."""
    batch, channels, height, width = x.shape
    result = _empty(x, channels, stride * height, stride * width)
    _enlarge[(batch * stride * height * stride * width, triton.cdiv(channels, BLOCK))](
        x, result, stride * height, stride * width, stride, channels, BLOCK=BLOCK
    )
    return result


def _empty(like: Tensor, channels: int, height: int, width: int) -> Tensor:
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


@triton.jit(do_not_specialize=["total"])
def _add(a, b, bias, result, total, channels, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = place < total
    value = tl.load(a + place, mask=mask, other=0.0).to(tl.float32)
    value += tl.load(b + place, mask=mask, other=0.0).to(tl.float32)
    value += tl.load(bias + place % channels, mask=mask, other=0.0).to(tl.float32)
    tl.store(result + place, value.to(result.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["cells_b", "cells_c"])
def _join(a, b, c, result, cells_b, cells_c, first, second, BLOCK: tl.constexpr):
    cell, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    later = (column >= first) & (column < first + second)
    value = tl.load(a + cell * first + column, mask=column < first, other=0.0).to(tl.float32)
    value += tl.load(b + (cell % cells_b) * second + column - first, mask=later, other=0.0).to(tl.float32)
    value += tl.load(c + (cell % cells_c) * second + column - first, mask=later, other=0.0).to(tl.float32)
    to = result + cell * (first + second) + column
    tl.store(to, value.to(result.dtype.element_ty), mask=column < first + second)


@triton.jit(do_not_specialize=["height", "width", "stride"])
def _enlarge(x, result, height, width, stride, channels, BLOCK: tl.constexpr):
    cell, column = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    row, image = cell // width, cell // (width * height)
    source = (image * (height // stride) + row % height // stride) * (width // stride) + cell % width // stride
    mask = column < channels
    value = tl.load(x + source.to(tl.int64) * channels + column, mask=mask, other=0.0)
    tl.store(result + cell.to(tl.int64) * channels + column, value, mask=mask)
