"""Kernels that normalize whole groups of an image, forwards and backwards, and what all kernels for training share.

What is computed: see `norm_training`. A map is read twice, the second time backwards: what was read last is still in
the cache then, even where all maps that are being read together are larger.
"""

import triton
import triton.language as tl

from cn.model.kernels.norm import activated, before_each, sizes


@triton.jit
def of_group(values, inner, per_group):
    """For each channel the sum over its group."""
    group = inner // per_group
    same = group[:, None] == group[None, :]
    return tl.sum(tl.where(same, values[None, :], 0.0), axis=1)


@triton.jit
def normalized(x, place, mask, before, mean, scale):
    values = tl.load(x + place, mask=mask, other=0.0).to(tl.float32) + before[None, :]
    return tl.where(mask, (values - mean[None, :]) * scale[None, :], 0.0)


@triton.jit
def slope_of(grad, place, mask, normal, by, to, silu):
    """The gradient of what is activated, from that of the result."""
    slope = tl.load(grad + place, mask=mask, other=0.0).to(tl.float32)
    y = normal * by[None, :] + to[None, :]
    gate = tl.sigmoid(y)
    return tl.where(silu != 0, slope * gate * (1.0 + y * (1.0 - gate)), slope)


@triton.jit
def channel_values(
    group_mean, group_scale, weight, bias, added, shift, has_added, has_shift,
    image, column, there, channels, groups, per_group,
):  # fmt: skip
    """Of some channels of an image: mean, 1 / deviation, weight, bias and what is added before."""
    group = image * groups + column // per_group
    mean = tl.load(group_mean + group, mask=there, other=0.0)
    scale = tl.load(group_scale + group, mask=there, other=0.0)
    by = tl.load(weight + column, mask=there, other=0.0).to(tl.float32)
    to = tl.load(bias + column, mask=there, other=0.0).to(tl.float32)
    before = before_each(added, shift, has_added, has_shift, image, column, channels, there)
    return mean, scale, by, to, before


@sizes
def image_forward(
    x, result, group_mean, group_scale, weight, bias, added, shift, has_added, has_shift, silu, eps,
    cells, channels, groups, per_group,
    ROWS: tl.constexpr, TOGETHER: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Some groups of one image."""
    image, inner = tl.program_id(0), tl.arange(0, COLUMNS)
    column = tl.program_id(1) * TOGETHER + inner
    there = (inner < TOGETHER) & (column < channels)
    first = image.to(tl.int64) * cells * channels
    before = before_each(added, shift, has_added, has_shift, image, column, channels, there)
    # The first cell of each channel is subtracted, so that squares stay small. Sums are joined once, at the end.
    one = tl.load(x + first + column, mask=there, other=0.0).to(tl.float32)
    sums, squares = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, cells, ROWS):
        cell = start + tl.arange(0, ROWS)
        mask = (cell < cells)[:, None] & there[None, :]
        place = first + cell.to(tl.int64)[:, None] * channels + column[None, :]
        apart = tl.load(x + place, mask=mask, other=0.0).to(tl.float32) - one[None, :]
        apart = tl.where(mask, apart, 0.0)
        sums += apart
        squares += apart * apart
    means = tl.sum(sums, axis=0) / cells
    each = tl.sum(squares, axis=0) - means * means * cells
    means += one + before
    mean = of_group(tl.where(there, means, 0.0), inner, per_group) / per_group
    step = means - mean
    total = of_group(tl.where(there, each + step * step * cells, 0.0), inner, per_group)
    scale = 1.0 / tl.sqrt(tl.maximum(total, 0.0) / (per_group * cells) + eps)
    group, leads = image * groups + column // per_group, there & (inner % per_group == 0)
    tl.store(group_mean + group, mean, mask=leads)
    tl.store(group_scale + group, scale, mask=leads)
    by = tl.load(weight + column, mask=there, other=0.0).to(tl.float32)
    to = tl.load(bias + column, mask=there, other=0.0).to(tl.float32)
    last = (cells - 1) // ROWS * ROWS
    for back in range(0, cells, ROWS):
        cell = last - back + tl.arange(0, ROWS)
        mask = (cell < cells)[:, None] & there[None, :]
        place = first + cell.to(tl.int64)[:, None] * channels + column[None, :]
        y = normalized(x, place, mask, before, mean, scale) * by[None, :] + to[None, :]
        tl.store(result + place, activated(y, silu).to(result.dtype.element_ty), mask=mask)


@sizes
def image_backward(
    x, grad, group_mean, group_scale, weight, bias, added, shift, has_added, has_shift, silu,
    more, has_more, result, of_shift, of_bias, of_weight, cells, channels, groups, per_group,
    ROWS: tl.constexpr, TOGETHER: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Some groups of one image."""
    image, inner = tl.program_id(0), tl.arange(0, COLUMNS)
    column = tl.program_id(1) * TOGETHER + inner
    there = (inner < TOGETHER) & (column < channels)
    first = image.to(tl.int64) * cells * channels
    mean, scale, by, to, before = channel_values(
        group_mean, group_scale, weight, bias, added, shift, has_added, has_shift,
        image, column, there, channels, groups, per_group,
    )  # fmt: skip
    of_slope, of_product = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((ROWS, COLUMNS), tl.float32)
    of_normal = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, cells, ROWS):
        cell = start + tl.arange(0, ROWS)
        mask = (cell < cells)[:, None] & there[None, :]
        place = first + cell.to(tl.int64)[:, None] * channels + column[None, :]
        normal = normalized(x, place, mask, before, mean, scale)
        slope = slope_of(grad, place, mask, normal, by, to, silu)
        of_slope += slope
        of_product += slope * normal
        of_normal += normal
    slopes, products, normals = tl.sum(of_slope, axis=0), tl.sum(of_product, axis=0), tl.sum(of_normal, axis=0)
    slope_mean = of_group(by * slopes, inner, per_group) / (per_group * cells)
    product_mean = of_group(by * products, inner, per_group) / (per_group * cells)
    at = image * channels + column
    tl.store(of_shift + at, scale * (by * slopes - slope_mean * cells - product_mean * normals), mask=there)
    tl.store(of_bias + at, slopes, mask=there)
    tl.store(of_weight + at, products, mask=there)
    last = (cells - 1) // ROWS * ROWS
    for back in range(0, cells, ROWS):
        cell = last - back + tl.arange(0, ROWS)
        mask = (cell < cells)[:, None] & there[None, :]
        place = first + cell.to(tl.int64)[:, None] * channels + column[None, :]
        normal = normalized(x, place, mask, before, mean, scale)
        slope = slope_of(grad, place, mask, normal, by, to, silu)
        of_x = scale[None, :] * (by[None, :] * slope - slope_mean[None, :] - normal * product_mean[None, :])
        of_x += tl.load(more + place, mask=mask & (has_more != 0), other=0.0).to(tl.float32)
        tl.store(result + place, of_x.to(result.dtype.element_ty), mask=mask)
