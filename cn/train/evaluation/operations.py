"""Counts the floating-point operations of a computation at the level of torch's functions, on the meta device too.

Own code: torch's `FlopCounterMode` looks at every operator below these functions, which takes seconds for networks
whose shapes alone are known in a tenth of one.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

SDPA_BACKWARD = 2.5
"""Five matrix products against two: the scores are computed again."""


class Operations(TorchFunctionMode):
    """While it is active: `forward`, the operations of convolutions and matrix products (a multiplication and an
    addition are two), and `backward`, those of a backward pass through them, which need not take place."""

    def __init__(self) -> None:
        super().__init__()
        self.forward = self.backward = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _WORK:
            work = _WORK[func](result, *args)
            self.forward += work
            if torch.is_grad_enabled():
                needed = sum(isinstance(x, Tensor) and x.requires_grad for x in args[:2])
                self.backward += int(work * (SDPA_BACKWARD * bool(needed) if func is _SDPA else needed))
        return result


def _convolution(result: Tensor, x: Tensor, weight: Tensor, *_: object) -> int:
    return 2 * result.numel() * weight[0].numel()


def _product(result: Tensor, a: Tensor, *_: object) -> int:
    return 2 * result.numel() * a.shape[-1]


def _attention(result: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: object) -> int:
    return 2 * q.numel() * k.shape[-2] + 2 * result.numel() * v.shape[-2]


_SDPA = F.scaled_dot_product_attention
_WORK: dict[Callable[..., Any], Callable[..., int]] = {
    torch.conv1d: _convolution,
    torch.conv2d: _convolution,
    F.linear: _product,
    torch.matmul: _product,
    torch.bmm: _product,
    Tensor.matmul: _product,
    Tensor.__matmul__: _product,
    _SDPA: _attention,
}
