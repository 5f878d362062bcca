"""What the networks compute between their convolutions: in torch, or with the kernels of `cn.model.kernels`.

torch normalizes channels-last maps on a GPU by copying them to another layout and back, and adds biases, activations
and sums in passes of their own: half of the time of a U-Net in half precision. The kernels take one pass (two for large
maps). They are used on GPUs that `use_kernels` has prepared, where no gradients are needed, and that
`use_training_kernels` has, where they are; the results differ by rounding only.
"""

import importlib
import subprocess
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

HALF = torch.float16, torch.bfloat16

_loading: dict[tuple[torch.device, torch.dtype], Future[Any]] = {}
"""The kernels, once a thread has loaded them."""
_kernels: dict[torch.device, Any] = {}
"""Those that are used now."""
_training: dict[torch.device, Any] = {}
"""Those that torch differentiates."""


def begin_kernels(device: torch.device, dtype: torch.dtype) -> None:
    """Let a thread load the kernels of a GPU, and start it, for a later `use_kernels`; the process need not wait."""
    if (device, dtype) in _loading:
        return
    future: Future[Any] = Future()

    def load() -> None:
        try:
            future.set_result(_load(device, dtype))
        except BaseException as error:
            future.set_exception(error)

    _loading[device, dtype] = future
    try:
        threading.Thread(target=load, daemon=True).start()
    except RuntimeError:
        # No thread can be started.
        load()


def use_kernels(networks: Iterable[nn.Module], device: torch.device, dtype: torch.dtype) -> str | None:
    """Prepare networks in half precision (`dtype`) on a GPU. Returns the reason where that is not possible.

    Their weights are laid out channels last, as what they compute will be.
    """
    begin_kernels(device, dtype)
    return _prepare(networks, _kernels, _loading[device, dtype].result)


def use_training_kernels(networks: Iterable[nn.Module], device: torch.device, dtype: torch.dtype) -> str | None:
    """The same where gradients are needed, for networks that are in half precision, or run under its autocast.

    Call it before an optimizer, an average or another copy of the weights is made, which then has their layout.
    """
    return _prepare(networks, _training, lambda: _load_training(device, dtype))


def _prepare(networks: Iterable[nn.Module], working: dict[torch.device, Any], load: Callable[[], Any]) -> str | None:
    try:
        kernels = load()
    # Whatever Triton raises, it can be done without; what is raised is told.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if isinstance(error, subprocess.CalledProcessError):
            reason = "gcc, or Python.h of python3-dev, is missing"
        return reason
    for network in networks:
        network.to(memory_format=torch.channels_last)
        for parameter in network.parameters():
            working[parameter.device] = kernels
    return None


def without_kernels() -> None:
    """Compute in torch from now on, until `use_kernels` is called again."""
    _kernels.clear()


def without_training_kernels() -> None:
    """The same for `use_training_kernels`."""
    _training.clear()


def _load(device: torch.device, dtype: torch.dtype) -> Any:
    """The kernels. Each is run once, which compiles it, and raises what Triton raises where that is not possible."""
    norm = importlib.import_module("cn.model.kernels.norm")
    rows = importlib.import_module("cn.model.kernels.rows")
    found = (norm.group_norm, rows.layer_norm, rows.add_layer_norm, rows.geglu, rows.add, rows.join, rows.enlarge)
    kernels = _guarded(*found)
    small, large = (
        torch.ones(1, 64, side, side, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
        for side in (8, 16)
    )
    tokens, each = torch.ones(1, 64, 320, dtype=dtype, device=device), torch.ones(320, dtype=dtype, device=device)
    for x in (small, large):
        kernels.group_norm(x, 32, each[:64], each[:64], 1e-5, added=each[:64], shift=each[:64][None], silu=True)
    kernels.add_layer_norm(tokens, tokens, each, each, 1e-5)
    kernels.geglu(tokens)
    kernels.add(small, small, each[:64])
    kernels.join(small, small, small)
    kernels.enlarge(small, 2)
    return kernels


def _guarded(*found: Callable[..., Any]) -> Any:
    """Kernels by their names. Triton launches on the current GPU, which need not be that of the tensors."""

    def guarded(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def launched(x: Tensor, *rest: Any, **options: Any) -> Any:
            with torch.cuda.device_of(x):
                return kernel(x, *rest, **options)

        return launched

    return SimpleNamespace(**{kernel.__name__: guarded(kernel) for kernel in found})


def _load_training(device: torch.device, dtype: torch.dtype) -> Any:
    """The kernels that torch differentiates, after a forward and a backward pass of each."""
    own = importlib.import_module("cn.model.kernels.gradients")
    found = (own.group_norm, own.fork_group_norm, own.layer_norm, own.add_layer_norm, own.geglu)
    kernels = _guarded(*found, own.add, own.join, own.enlarge)
    for weights in (dtype, torch.float32):
        each = torch.ones(64, dtype=weights, device=device, requires_grad=True)
        for side in (8, 16):
            ones = torch.ones(1, 64, side, side, dtype=dtype, device=device, requires_grad=True)
            x = ones.contiguous(memory_format=torch.channels_last)
            y = kernels.group_norm(x, 32, each, each, 1e-5, added=each, shift=x[:, :, 0, 0], silu=True)
            kernels.enlarge(kernels.join(kernels.add(y, x, each), x, x), 2).sum().backward()
        tokens = torch.ones(1, 8, 64, dtype=dtype, device=device, requires_grad=True)
        total, normal = kernels.add_layer_norm(kernels.layer_norm(tokens, each, each, 1e-5), tokens, each, each, 1e-5)
        kernels.geglu(total + normal).sum().backward()
    return kernels


def normalize(
    norm: nn.GroupNorm, x: Tensor, *, bias: Tensor | None = None, shift: Tensor | None = None, silu: bool = False
) -> Tensor:
    """The group normalization of x (B, C, H, W) + bias (C,) + shift (B, C), and SiLU of that."""
    if (kernels := _kernels_for(x, norm.weight)) is not None:
        return kernels.group_norm(
            x, norm.num_groups, norm.weight, norm.bias, norm.eps, added=bias, shift=shift, silu=silu
        )
    if bias is not None:
        x = x + bias[:, None, None]
    if shift is not None:
        x = x + shift[:, :, None, None]
    return F.silu(norm(x)) if silu else norm(x)


def fork_normalize(norm: nn.GroupNorm, x: Tensor, *, silu: bool = False) -> tuple[Tensor, Tensor]:
    """x (B, C, H, W) again, for what is added to it later, and `normalize` of it: kernels add up both gradients."""
    kernels = _kernels_for(x, norm.weight) if torch.is_grad_enabled() else None
    if kernels is None:
        return x, normalize(norm, x, silu=silu)
    return kernels.fork_group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps, silu=silu)


def convolve(conv: nn.Conv2d, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """The convolution of x, and its bias where what follows has to add it."""
    if _kernels_for(x, conv.weight) is None or conv.bias is None:
        return conv(x), None
    return F.conv2d(x, conv.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups), conv.bias


def pointwise(conv: nn.Module, x: Tensor) -> Tensor:
    """A 1×1 convolution, or nothing (nn.Identity)."""
    if not isinstance(conv, nn.Conv2d) or _kernels_for(x, conv.weight) is None:
        return conv(x)
    height = x.shape[-2]
    product = F.linear(rearrange(x, "b c h w -> b (h w) c"), conv.weight.flatten(1), conv.bias)
    return rearrange(product, "b (h w) c -> b c h w", h=height)


def add(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """(B, C, H, W) twice, + bias (C,)."""
    same = a.shape == b.shape and a.dtype == b.dtype
    if same and bias is not None and (kernels := _kernels_for(a, bias)) is not None:
        return kernels.add(a, b.contiguous(memory_format=torch.channels_last), bias)
    return a + b if bias is None else a + b + bias[:, None, None]


def repeated(x: Tensor, rows: int) -> Tensor:
    """(B, …) → (rows, …): all rows again, where there are to be more. ValueError where they do not add up."""
    if len(x) >= rows:
        return x
    if rows % len(x):
        raise ValueError(f"{len(x)} rows cannot become {rows}")
    # Unlike `repeat`, it keeps channels last.
    return torch.cat([x] * (rows // len(x)))


def join(x: Tensor, skip: Tensor, added: Tensor | None) -> Tensor:
    """(B, C1, H, W), and a skip connection with what is added to it, (B, C2, H, W) or of fewer rows, which are repeated
    → (B, C1 + C2, H, W)."""
    kernels = _kernels_for(x, skip)
    given = [skip] if added is None else [skip, added]
    alike = all(y.shape[1:] == skip.shape[1:] and _may_join(x, y) for y in given)
    if alike and kernels is not None:
        return kernels.join(x, skip, added)
    skip = repeated(skip, len(x))
    return torch.cat([x, skip if added is None else skip + repeated(added, len(x))], dim=1)


def _may_join(x: Tensor, other: Tensor) -> bool:
    """Whether a kernel may take both: of one size and type, channels last, of rows that add up."""
    rows = max(len(x), len(other)) % min(len(x), len(other)) == 0
    return rows and other.dtype == x.dtype and other.shape[2:] == x.shape[2:] and _is_channels_last(other)


def enlarge(x: Tensor, stride: int, size: tuple[int, int] | None = None) -> Tensor:
    """(B, C, H, W) → (B, C, *size), by default stride × (H, W), by the nearest neighbor."""
    height, width = x.shape[-2:]
    exact = stride * height, stride * width
    target = size or exact
    if target == (height, width):
        return x
    if target == exact and (kernels := _kernels_for(x, x)) is not None:
        return kernels.enlarge(x, stride)
    return F.interpolate(x, size=target, mode="nearest")


def layer_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """(B, N, C) → the same."""
    if _fit(x, norm.weight) and x.is_contiguous() and (kernels := _kernels_of(x)) is not None:
        return kernels.layer_norm(x, norm.weight, norm.bias, norm.eps)
    return norm(x)


def add_layer_norm(norm: nn.LayerNorm, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N, C) twice → their sum, and its layer normalization."""
    same = a.dtype == b.dtype and _fit(a, norm.weight)
    if same and a.is_contiguous() and b.is_contiguous() and (kernels := _kernels_of(a)) is not None:
        return kernels.add_layer_norm(a, b, norm.weight, norm.bias, norm.eps)
    total = a + b
    return total, norm(total)


def geglu(x: Tensor) -> Tensor:
    """(B, N, 2·n) → (B, N, n): the first half times GELU of the second one, in its exact (erf) form."""
    if x.is_contiguous() and (kernels := _kernels_of(x)) is not None:
        return kernels.geglu(x)
    value, gate = x.chunk(2, dim=-1)
    return value * F.gelu(gate)


def _kernels_for(x: Tensor, weight: Tensor | None) -> Any | None:
    """The kernels, where they compute this map with this weight."""
    if weight is None or not _fit(x, weight) or not _is_channels_last(x):
        return None
    return _kernels_of(x)


def _fit(x: Tensor, weight: Tensor) -> bool:
    """Whether a weight is in the precision of x, or in fp32 as that of a network which is trained under autocast."""
    return weight.dtype == x.dtype or (weight.dtype == torch.float32 and torch.is_autocast_enabled(x.device.type))


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def _kernels_of(x: Tensor) -> Any | None:
    if not x.is_cuda or x.dtype not in HALF or torch.compiler.is_compiling():
        return None
    if torch.is_grad_enabled():
        return _training.get(x.device)
    return None if torch.is_autocast_enabled("cuda") else _kernels.get(x.device)
