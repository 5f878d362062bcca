"""Group normalization of channels-last maps, with what comes before it (biases) and after it (SiLU).

A small map is read once: a program holds one group of an image. A larger one is read twice: for the moments of its
parts, which are joined for each group (Chan, Golub and LeVeque 1983), and to be normalized. Arithmetic is in float32.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

CELLS, CHANNELS = 64, 128
"""The largest group of one image, cells × channels, that one program holds."""
ROWS, COLUMNS = 128, 64
"""The part of a map, cells × channels, that a program reads for its moments, and normalizes."""
MOMENTS = 1024
"""Channels of parts whose moments are joined at once."""

# Triton compiles a kernel again for each value of an argument that it specializes.
sizes = triton.jit(
    do_not_specialize=["cells", "groups", "per_group", "parts", "has_added", "has_shift", "has_more", "silu"]
)


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    *,
    added: Tensor | None = None,
    shift: Tensor | None = None,
    silu: bool = False,
) -> Tensor:
    """(B, C, H, W), channels last → the same of x + added[C] + shift[B, C], normalized, and through SiLU."""
    batch, channels, height, width = x.shape
    cells, per_group = height * width, channels // groups
    result = torch.empty_like(x)
    before = before_of(x, added, shift)
    if cells <= CELLS and per_group <= CHANNELS:
        _whole[(batch * groups,)](
            x, result, weight, bias, *before, silu, eps, cells, channels, groups, per_group,
            CELLS=CELLS, CHANNELS=CHANNELS,
        )  # fmt: skip
        return result
    in_parts(x, result, weight, bias, before, eps, groups, x.new_empty(2, batch, groups, dtype=torch.float32), silu)
    return result


def before_of(x: Tensor, added: Tensor | None, shift: Tensor | None) -> tuple[Tensor, Tensor, bool, bool]:
    """What is added to x, and whether it is: what is not is never read, but has to be some tensor."""
    shift_or_x = x if shift is None else shift.contiguous()
    return x if added is None else added, shift_or_x, added is not None, shift is not None


def in_parts(
    x: Tensor,
    result: Tensor,
    weight: Tensor,
    bias: Tensor,
    before: tuple[Tensor, Tensor, bool, bool],
    eps: float,
    groups: int,
    statistics: Tensor,
    silu: bool,
) -> None:
    """Write `result`, and `statistics` (2, B, G), float32: mean and 1 / standard deviation of each group."""
    batch, channels, height, width = x.shape
    cells, per_group = height * width, channels // groups
    parts = triton.cdiv(cells, ROWS)
    grid = parts, triton.cdiv(channels, COLUMNS), batch
    means, squares = x.new_empty(2, batch, parts, channels, dtype=torch.float32)
    factor, offset = x.new_empty(2, batch, channels, dtype=torch.float32)
    _moments[grid](x, means, squares, *before, cells, channels, parts, ROWS=ROWS, COLUMNS=COLUMNS)
    _joined[(batch * groups,)](
        means, squares, factor, offset, *statistics, weight, bias, *before, eps,
        cells, channels, groups, per_group, parts,
        ROWS=ROWS, MOMENTS=MOMENTS, CHANNELS=CHANNELS,
    )  # fmt: skip
    _applied[grid](x, result, factor, offset, silu, cells, channels, ROWS=ROWS, COLUMNS=COLUMNS)


@triton.jit
def before_each(added, shift, has_added, has_shift, image, column, channels, there):
    """What is added to each of some channels of an image."""
    total = tl.load(added + column, mask=there & (has_added != 0), other=0.0).to(tl.float32)
    return total + tl.load(shift + image * channels + column, mask=there & (has_shift != 0), other=0.0).to(tl.float32)


@triton.jit
def activated(y, silu):
    return tl.where(silu != 0, y * tl.sigmoid(y), y)


@sizes
def _whole(
    x, result, weight, bias, added, shift, has_added, has_shift, silu, eps, cells, channels, groups, per_group,
    CELLS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """One group of one image."""
    image, group = tl.program_id(0) // groups, tl.program_id(0) % groups
    cell, inner = tl.arange(0, CELLS), tl.arange(0, CHANNELS)
    column, there = group * per_group + inner, inner < per_group
    mask = (cell < cells)[:, None] & there[None, :]
    place = image.to(tl.int64) * cells * channels + cell[:, None] * channels + column[None, :]
    before = before_each(added, shift, has_added, has_shift, image, column, channels, there)
    values = tl.load(x + place, mask=mask, other=0.0).to(tl.float32) + before[None, :]
    count = cells * per_group
    mean = tl.sum(tl.sum(tl.where(mask, values, 0.0), axis=1), axis=0) / count
    apart = tl.where(mask, values - mean, 0.0)
    variance = tl.sum(tl.sum(apart * apart, axis=1), axis=0) / count
    factor = tl.load(weight + column, mask=there, other=0.0).to(tl.float32) / tl.sqrt(variance + eps)
    y = apart * factor[None, :] + tl.load(bias + column, mask=there, other=0.0).to(tl.float32)[None, :]
    tl.store(result + place, activated(y, silu).to(result.dtype.element_ty), mask=mask)


@sizes
def _moments(
    x, means, squares, added, shift, has_added, has_shift, cells, channels, parts,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Mean, and sum of squared differences from it, of each channel in a part of the cells."""
    part, image = tl.program_id(0), tl.program_id(2)
    cell, column = part * ROWS + tl.arange(0, ROWS), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = column < channels
    mask = (cell < cells)[:, None] & there[None, :]
    place = image.to(tl.int64) * cells * channels + cell.to(tl.int64)[:, None] * channels + column[None, :]
    before = before_each(added, shift, has_added, has_shift, image, column, channels, there)
    values = tl.load(x + place, mask=mask, other=0.0).to(tl.float32)
    mean = tl.sum(values, axis=0) / tl.minimum(cells - part * ROWS, ROWS)
    apart = tl.where(mask, values - mean[None, :], 0.0)
    to = (image * parts + part).to(tl.int64) * channels + column
    tl.store(means + to, mean + before, mask=there)
    tl.store(squares + to, tl.sum(apart * apart, axis=0), mask=there)


@triton.jit
def _some(first, image, group, cells, channels, per_group, parts, ROWS: tl.constexpr, MOMENTS: tl.constexpr):
    """Of some moments of one group of one image: where they are, which are there, how many cells each has."""
    number = first + tl.arange(0, MOMENTS)
    part, inner = number // per_group, number % per_group
    at = (image * parts + part).to(tl.int64) * channels + group * per_group + inner
    return at, part < parts, tl.minimum(cells - part * ROWS, ROWS).to(tl.float32)


@sizes
def _joined(
    means, squares, factor, offset, group_mean, group_scale, weight, bias, added, shift, has_added, has_shift, eps,
    cells, channels, groups, per_group, parts,
    ROWS: tl.constexpr, MOMENTS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """From the moments of one group of one image, what its channels are multiplied by and moved by."""
    image, group = tl.program_id(0) // groups, tl.program_id(0) % groups
    sums = tl.zeros((MOMENTS,), tl.float32)
    for first in range(0, parts * per_group, MOMENTS):
        at, there, count = _some(first, image, group, cells, channels, per_group, parts, ROWS, MOMENTS)
        sums += tl.load(means + at, mask=there, other=0.0) * count
    mean = tl.sum(sums, axis=0) / (cells * per_group)
    sums = tl.zeros((MOMENTS,), tl.float32)
    for first in range(0, parts * per_group, MOMENTS):
        at, there, count = _some(first, image, group, cells, channels, per_group, parts, ROWS, MOMENTS)
        apart = tl.where(there, tl.load(means + at, mask=there, other=0.0) - mean, 0.0)
        sums += tl.load(squares + at, mask=there, other=0.0) + apart * apart * count
    by_group = 1.0 / tl.sqrt(tl.sum(sums, axis=0) / (cells * per_group) + eps)
    tl.store(group_mean + tl.program_id(0), mean)
    tl.store(group_scale + tl.program_id(0), by_group)
    for first in range(0, per_group, CHANNELS):
        inner = first + tl.arange(0, CHANNELS)
        column, there = group * per_group + inner, inner < per_group
        by = tl.load(weight + column, mask=there, other=0.0).to(tl.float32) * by_group
        before = before_each(added, shift, has_added, has_shift, image, column, channels, there)
        moved = tl.load(bias + column, mask=there, other=0.0).to(tl.float32) + (before - mean) * by
        tl.store(factor + image * channels + column, by, mask=there)
        tl.store(offset + image * channels + column, moved, mask=there)


@sizes
def _applied(x, result, factor, offset, silu, cells, channels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """A part of the cells, normalized."""
    image = tl.program_id(2)
    cell = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = column < channels
    mask = (cell < cells)[:, None] & there[None, :]
    place = image.to(tl.int64) * cells * channels + cell.to(tl.int64)[:, None] * channels + column[None, :]
    by = tl.load(factor + image * channels + column, mask=there, other=0.0)
    moved = tl.load(offset + image * channels + column, mask=there, other=0.0)
    y = tl.load(x + place, mask=mask, other=0.0).to(tl.float32) * by[None, :] + moved[None, :]
    tl.store(result + place, activated(y, silu).to(result.dtype.element_ty), mask=mask)
