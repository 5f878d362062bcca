"""How much memory tensors take at once while something is computed, with real tensors or with ones that have no values.

Own code: `torch.distributed`'s tracker is private, and knows nothing of what convolutions need meanwhile.
"""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

ROUNDED_TO = 512
"""Torch's allocator for GPUs rounds up to this many bytes; malloc does to fewer, which makes no difference."""
_aten = torch.ops.aten


class LiveBytes(TorchDispatchMode):
    """While it is active: `now`, the bytes of all tensors that operations have created since and that still exist, and
    `peak`, the most that these took at once, with the copies that convolutions make meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def add(self, tensors: Iterable[Any]) -> None:
        """Count the memory of tensors, as long as it exists, each once."""
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._sizes:
                self._sizes[key] = -(-storage.nbytes() // ROUNDED_TO) * ROUNDED_TO
                self.now += self._sizes[key]
                weakref.finalize(storage, self._freed, key)
        self.peak = max(self.peak, self.now)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:  # type: ignore[attr-defined]
            # The memory of a view is that of a result before, or of a weight, which is not counted here.
            self.add(result if isinstance(result, tuple | list) else (result,))
        if func in _SCRATCH:
            self.peak = max(self.peak, self.now + _SCRATCH[func](result, *args))
        return result

    def _freed(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def norms_as_on_cuda(network: nn.Module) -> None:
    """Within autocast on a CPU, let norms compute and return fp32, as they do within autocast on CUDA.

    Their inputs, which are saved, are then copied, and what follows them keeps copies of its own in half precision.
    """

    def in_fp32(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(x.float() for x in inputs) if torch.is_autocast_enabled("cpu") else inputs

    for module in network.modules():
        if isinstance(module, nn.GroupNorm | nn.LayerNorm):
            module.register_forward_pre_hook(in_fp32)


def _forward(result: Tensor, x: Tensor, weight: Tensor, *_: Any) -> int:
    """oneDNN and cuDNN copy the input and the weight into the order of dimensions that they compute in."""
    return _nbytes(x) + _nbytes(weight)


def _backward(result: Any, gradient: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> int:
    """The gradient of the weight takes both the input and the output's gradient, in half precision twice."""
    of_weight = rest[-1][1]
    copies = (_nbytes(gradient) + _nbytes(x)) * (1 if x.dtype == torch.float32 else 2)
    return max(_nbytes(gradient) + _nbytes(weight), copies if of_weight else 0)


def _nbytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


_SCRATCH: dict[Any, Callable[..., int]] = {
    _aten.convolution.default: _forward,
    _aten.convolution_backward.default: _backward,
}
"""Memory that an operation takes besides its results, as measured with oneDNN; 1×1 convolutions and linear layers in
fp32 take about as much, and it is never the peak there."""
