"""Locked networks in half precision.

Autocast keeps weights in fp32 and casts them for each product. For a trained network it does so once in a step; for a
locked one anew at every use, and its norms then compute and keep their inputs in fp32. A locked network needs neither:
its weights do not change, so they are cast once, and it runs in half precision altogether. Statistics of norms and sums
of products are still accumulated in fp32 by the kernels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn.model.base import Base
from cn.precision import Precision, dtype_of

_ATTRIBUTE = "held"


@dataclass(frozen=True)
class Held:
    """That a network was cast, to what, and the weights that it had, where they are needed again (on the CPU)."""

    dtype: torch.dtype
    original: dict[str, Tensor] | None


def hold_locked(base: Base, precision: Precision, *, keep_original: bool = False) -> None:
    """Cast the networks of a base that are locked as a whole, and run them in that precision, whatever calls them.

    Those that are trained stay in fp32, as autocast needs them, and are cast back if they were cast before. The
    autoencoder and the text encoder still return fp32. `keep_original` keeps the weights as they were, for `release`
    and `original_tensors`. Raises ValueError for a network that is trained now and whose weights were not kept.
    """
    parts: tuple[tuple[nn.Module, torch.dtype | None], ...] = (
        (base.unet.encoder, None),
        (base.unet.decoder, None),
        (base.vae.encoder, torch.float32),
        (base.vae.decoder, torch.float32),
        (base.text, torch.float32),
    )
    for module, returns in parts:
        trained = any(p.requires_grad for p in module.parameters())
        if precision == "fp32" or trained:
            release(module)
        else:
            hold(module, dtype_of(precision), returns=returns, keep_original=keep_original)


def hold(
    module: nn.Module, dtype: torch.dtype, *, returns: torch.dtype | None = None, keep_original: bool = False
) -> None:
    """Cast a network, and from now on its inputs too; autocast is off inside. `returns`: the dtype of its outputs."""
    if getattr(module, _ATTRIBUTE, None) is not None:
        return
    original = None
    if keep_original and not next(module.parameters()).is_meta:
        original = {name: tensor.detach().to("cpu", copy=True) for name, tensor in module.state_dict().items()}
    module.to(dtype)
    module.forward = partial(_forward, module.forward, dtype, returns)  # type: ignore[method-assign]
    setattr(module, _ATTRIBUTE, Held(dtype, original))


def half_norms(network: nn.Module, dtype: torch.dtype) -> None:
    """Let the norms of a trained network take and return half precision under autocast, as those of locked ones do.

    Autocast on a GPU runs them in fp32, with twice the traffic and memory. Weights and statistics stay in fp32.
    """
    for module in network.modules():
        if isinstance(module, nn.GroupNorm | nn.LayerNorm):
            module.forward = partial(_half_norm, module, module.forward, dtype)  # type: ignore[method-assign]


def _half_norm(
    module: nn.GroupNorm | nn.LayerNorm, forward: Callable[[Tensor], Tensor], dtype: torch.dtype, x: Tensor
) -> Tensor:
    device = x.device.type
    if not torch.is_autocast_enabled(device):
        return forward(x)
    weight, bias = module.weight.to(dtype), module.bias.to(dtype)
    with torch.autocast(device, enabled=False):
        if isinstance(module, nn.GroupNorm):
            return F.group_norm(x.to(dtype), module.num_groups, weight, bias, module.eps)
        return F.layer_norm(x.to(dtype), module.normalized_shape, weight, bias, module.eps)


def release(module: nn.Module) -> None:
    """The inverse of `hold`: the weights are again what they were. Raises ValueError where they were not kept."""
    held: Held | None = getattr(module, _ATTRIBUTE, None)
    if held is None:
        return
    if held.original is None:
        raise ValueError(f"{type(module).__name__}: its weights were rounded to {held.dtype} and not kept")
    module.float()
    module.load_state_dict(held.original)
    del module.__dict__["forward"]
    delattr(module, _ATTRIBUTE)


def original_tensors(network: nn.Module) -> dict[str, Tensor]:
    """All weights of a network by name, as `state_dict`, those of held parts as they were before they were cast.

    Raises ValueError where they were not kept.
    """
    tensors = dict(network.state_dict())
    for prefix, module in network.named_modules():
        held: Held | None = getattr(module, _ATTRIBUTE, None)
        if held is None:
            continue
        if held.original is None:
            raise ValueError(f"{prefix}: its weights were rounded to {held.dtype} and not kept")
        tensors |= {f"{prefix}.{name}" if prefix else name: tensor for name, tensor in held.original.items()}
    return tensors


def _forward(
    forward: Callable[..., Any],
    dtype: torch.dtype,
    returns: torch.dtype | None,
    *inputs: Any,
) -> Any:
    with torch.autocast(inputs[0].device.type, enabled=False):
        outputs = forward(*(_cast(value, dtype) for value in inputs))
    return outputs if returns is None else _cast(outputs, returns)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Tensors of floating-point numbers in `dtype`, also in lists; anything else as it is."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, list | tuple):
        return [_cast(item, dtype) for item in value]
    return value
