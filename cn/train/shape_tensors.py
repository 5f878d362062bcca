"""Tensors without values that pass for tensors on a CPU: autocast, attention and checkpoints treat them so.

Own code: torch's `FakeTensorMode` serves every operator, device and symbolic shape, and takes several times as long.
"""

from typing import Any

import torch
from torch import Tensor


class ShapeTensor(Tensor):
    """Shape, dtype and memory of a tensor on a CPU, which are those of `meta`, its stand-in on the meta device."""

    meta: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, meta: Tensor, requires_grad: bool = False) -> "ShapeTensor":
        made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            meta.size(),
            strides=meta.stride(),
            storage_offset=meta.storage_offset(),
            dtype=meta.dtype,
            device=torch.device("cpu"),
            requires_grad=requires_grad,
        )
        made.meta = meta
        return made

    def untyped_storage(self) -> torch.UntypedStorage:
        """What views of a tensor share."""
        return self.meta.untyped_storage()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            _on_meta(func, args, kwargs)
            return args[0]
        if func.is_view:
            return _wrapped(_on_meta(func, args, kwargs))
        key = (func, _key(args), *((name, _key(value)) for name, value in kwargs.items()))
        if key in _RESULTS:
            return _made(_RESULTS[key])
        result = _on_meta(func, args, kwargs)
        if not _shares_memory(result, args):
            _RESULTS[key] = _described(result)
        return _wrapped(result)


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> ShapeTensor:
    return ShapeTensor(torch.empty(shape, dtype=dtype, device="meta"))


_RESULTS: dict[Any, Any] = {}
"""What an operation returns for arguments of these shapes. Networks repeat their layers, and torch's functions for the
meta device, in Python, take longer than looking it up."""


def _shares_memory(result: Any, args: tuple[Any, ...]) -> bool:
    """Whether an operation that is not called a view has returned one, as `_unsafe_view` does."""
    if not isinstance(result, Tensor):
        return False
    memory = result.untyped_storage()._cdata
    return any(isinstance(x, ShapeTensor) and x.untyped_storage()._cdata == memory for x in args)


class _Made(tuple):
    """Size, strides and dtype of a new tensor."""


def _described(result: Any) -> Any:
    if isinstance(result, Tensor):
        return _Made((result.size(), result.stride(), result.dtype))
    return [_described(x) for x in result] if isinstance(result, tuple | list) else result


def _made(described: Any) -> Any:
    if isinstance(described, _Made):
        size, strides, dtype = described
        return ShapeTensor(torch.empty_strided(size, strides, dtype=dtype, device="meta"))
    return tuple(_made(x) for x in described) if isinstance(described, list) else described


def _wrapped(result: Any) -> Any:
    if isinstance(result, Tensor):
        return ShapeTensor(result)
    return type(result)(_wrapped(x) for x in result) if isinstance(result, tuple | list) else result


def _on_meta(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return func(*(_meta(x) for x in args), **{name: _meta(value) for name, value in kwargs.items()})


def _meta(x: Any) -> Any:
    """An argument as an operator for the meta device takes it."""
    if isinstance(x, ShapeTensor):
        return x.meta
    if isinstance(x, Tensor):
        return x.to("meta")
    if isinstance(x, torch.device):
        return torch.device("meta")
    return type(x)(_meta(y) for y in x) if isinstance(x, tuple | list) else x


def _key(x: Any) -> Any:
    """What of an argument decides about the results."""
    if isinstance(x, Tensor):
        return (x.size(), x.stride(), x.dtype)
    if isinstance(x, tuple | list):
        return tuple(_key(y) for y in x)
    return (type(x), x)
