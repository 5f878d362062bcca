"""The kernels as functions that torch differentiates, with the names and arguments of those that are not.

Each keeps for its backward pass what it is given, and at most the moments of what it normalizes. Maps and tokens are in
half precision, weights in the same or, under autocast, in float32: their gradients have their dtype. There are no
second derivatives.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from cn.model.kernels import norm_training, rows, rows_training


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
    return _GroupNorm.apply(x, weight, bias, added, shift, groups, eps, silu)[1]


def fork_group_norm(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, *, silu: bool = False
) -> tuple[Tensor, Tensor]:
    """x again, for another use, and `group_norm` of it: the gradients of both are added up within one pass."""
    return _GroupNorm.apply(x, weight, bias, None, None, groups, eps, silu)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(…, C), contiguous → the same."""
    return _LayerNorm.apply(x, weight, bias, eps)


def add_layer_norm(a: Tensor, b: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """(…, C) twice, contiguous → their sum, and its layer normalization."""
    return _AddLayerNorm.apply(a, b, weight, bias, eps)


def geglu(x: Tensor) -> Tensor:
    """(…, 2·n), contiguous → (…, n): the first half times GELU (exact) of the second one."""
    return _Geglu.apply(x)


def add(a: Tensor, b: Tensor, bias: Tensor) -> Tensor:
    """(B, C, H, W) twice, channels last, + bias[C]."""
    return _Add.apply(a, b, bias)


def join(a: Tensor, b: Tensor, added: Tensor | None) -> Tensor:
    """(B, C1, H, W) and once or twice (B, C2, H, W), channels last → (B, C1 + C2, H, W): a, then b + added.

    These may have fewer rows, which are repeated.
    """
    return _Join.apply(a, *(None if x is None else _repeated(x, len(a)) for x in (b, added)))


def with_bias_gradient(y: Tensor, bias: Tensor) -> Tensor:
    """y (…, C) or (B, C, H, W), channels last, to which bias[C] was added without a gradient: now it has one."""
    return _BiasGradient.apply(y, bias)


def _repeated(x: Tensor, rows: int) -> Tensor:
    return x if len(x) == rows else _map(x.repeat(rows // len(x), 1, 1, 1))


def enlarge(x: Tensor, stride: int) -> Tensor:
    """(B, C, H, W), channels last → (B, C, stride·H, stride·W): each cell repeated."""
    return _Enlarge.apply(x, stride)


def _map(grad: Tensor) -> Tensor:
    """The gradient of a map as kernels read it."""
    return grad.contiguous(memory_format=torch.channels_last)


class _GroupNorm(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        added: Tensor | None,
        shift: Tensor | None,
        groups: int,
        eps: float,
        silu: bool,
    ) -> tuple[Tensor, Tensor]:
        result, statistics = norm_training.forward(x, groups, weight, bias, eps, added, shift, silu)
        ctx.save_for_backward(x, weight, bias, added, shift, statistics)
        ctx.groups, ctx.silu = groups, silu
        ctx.set_materialize_grads(False)
        return x, result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, more: Tensor | None, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return more, *[None] * 7
        x, weight, bias, added, shift, statistics = ctx.saved_tensors
        more = None if more is None else _map(more)
        of_x, sums = norm_training.backward(
            x, _map(grad), ctx.groups, statistics, weight, bias, added, shift, ctx.silu, more
        )
        of_added, of_bias, of_weight = sums.sum(dim=1)
        return (
            of_x,
            of_weight.to(weight.dtype),
            of_bias.to(bias.dtype),
            None if added is None else of_added.to(added.dtype),
            None if shift is None else sums[0].to(shift.dtype),
            None,
            None,
            None,
        )


class _LayerNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        _, result, statistics = rows_training.layer_norm(x, None, weight, bias, eps)
        ctx.save_for_backward(x, weight, statistics)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, statistics = ctx.saved_tensors
        of_x, sums = rows_training.layer_norm_gradients(x, grad.contiguous(), None, statistics, weight)
        of_weight, of_bias = sums.to(weight.dtype)
        return of_x, of_weight, of_bias, None


class _AddLayerNorm(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        total, result, statistics = rows_training.layer_norm(a, b, weight, bias, eps)
        ctx.save_for_backward(total, weight, statistics)
        return total, result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor, grad: Tensor) -> tuple[Tensor | None, ...]:
        total, weight, statistics = ctx.saved_tensors
        of_x, sums = rows_training.layer_norm_gradients(
            total, grad.contiguous(), of_total.contiguous(), statistics, weight
        )
        of_weight, of_bias = sums.to(weight.dtype)
        return of_x, of_x, of_weight, of_bias, None


class _Geglu(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return rows.geglu(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return rows_training.geglu_gradient(x, grad.contiguous())


class _Add(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, bias: Tensor) -> Tensor:
        ctx.dtype = bias.dtype
        return rows.add(a, b, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        of_bias = rows_training.channel_sums(_map(grad)).to(ctx.dtype) if ctx.needs_input_grad[2] else None
        return grad, grad, of_bias


class _BiasGradient(Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor) -> Tensor:
        ctx.dtype = bias.dtype
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        grad = _map(grad) if grad.dim() == 4 else grad.contiguous()
        return grad, rows_training.channel_sums(grad).to(ctx.dtype)


class _Join(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, added: Tensor | None) -> Tensor:
        ctx.first = a.shape[1]
        return rows.join(a, b, added)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        of_a, of_b = rows_training.split(_map(grad), ctx.first)
        return of_a, of_b, of_b if ctx.needs_input_grad[2] else None


class _Enlarge(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int) -> Tensor:
        ctx.stride = stride
        return rows.enlarge(x, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return rows_training.shrink(_map(grad), ctx.stride), None
