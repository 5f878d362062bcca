"""Which kernels of `cn.model.kernels` are loaded and used: on which GPUs, in which precision, for training or not.

They are used on GPUs that `use_kernels` has prepared, where no gradients are needed, and that `use_training_kernels`
has, where they are.
"""

import importlib
import subprocess
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import torch
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
    kernels = _guarded(*found, own.add, own.join, own.enlarge, own.with_bias_gradient)
    for weights in (dtype, torch.float32):
        each = torch.ones(64, dtype=weights, device=device, requires_grad=True)
        for side in (8, 16):
            ones = torch.ones(1, 64, side, side, dtype=dtype, device=device, requires_grad=True)
            x = ones.contiguous(memory_format=torch.channels_last)
            y = kernels.group_norm(x, 32, each, each, 1e-5, added=each, shift=x[:, :, 0, 0], silu=True)
            kernels.enlarge(kernels.join(kernels.add(y, x, each), x, x), 2).sum().backward()
        tokens = torch.ones(1, 8, 64, dtype=dtype, device=device, requires_grad=True)
        total, normal = kernels.add_layer_norm(kernels.layer_norm(tokens, each, each, 1e-5), tokens, each, each, 1e-5)
        kernels.with_bias_gradient(kernels.geglu(total + normal), each[:32]).sum().backward()
    return kernels


def kernels_for(x: Tensor, weight: Tensor | None) -> Any | None:
    """The kernels, where they compute this map with this weight."""
    if weight is None or not fit(x, weight) or not is_channels_last(x):
        return None
    return kernels_of(x)


def fit(x: Tensor, weight: Tensor) -> bool:
    """Whether a weight is in the precision of x, or in fp32 as that of a network which is trained under autocast."""
    return weight.dtype == x.dtype or (weight.dtype == torch.float32 and torch.is_autocast_enabled(x.device.type))


def is_channels_last(x: Tensor) -> bool:
    """Whether a map is in the layout of the kernels."""
    return x.is_contiguous(memory_format=torch.channels_last)


def kernels_of(x: Tensor) -> Any | None:
    """The kernels, where they compute this tensor."""
    if not x.is_cuda or x.dtype not in HALF or torch.compiler.is_compiling():
        return None
    if torch.is_grad_enabled():
        return _training.get(x.device)
    return None if torch.is_autocast_enabled("cuda") else _kernels.get(x.device)
