"""The published networks by hand, and what all of them need: weights from a file, pictures as tensors.

Modules and parameters are named as in the published files, so that those load with every tensor used. The networks
themselves know no pictures and no files.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cn.archives.archive import Archive, load_tensor, open_archive
from cn.archives.entries import shown
from cn.errors import InputError, WeightsError

N = TypeVar("N", bound=nn.Module)

_NAMED_AT_MOST = 3


def without_prefix(prefix: str) -> Callable[[str], str]:
    """A renaming for `load`: names without a leading `prefix` ("module.", where a network was saved in a wrapper)."""
    return lambda name: name.removeprefix(prefix)


def load(make: Callable[[], N], source: Archive | Path | str, rename: Callable[[str], str] | None = None) -> N:
    """The network that `make()` builds, with the weights of a file: float32, on the CPU, evaluating, locked.

    `rename` turns a name in the file into ours. Every tensor of the file and of the network must have its partner of
    the same shape.
    Raises WeightsError when the file is missing or is another network's, InputError when it is damaged.
    """
    archive = source if isinstance(source, Archive) else open_archive(source)
    entries = {(rename(name) if rename else name): entry for name, entry in archive.entries.items()}
    if len(entries) < len(archive.entries):
        raise _mismatch(archive, "two of its tensors have the same name but for a prefix")
    with torch.device("meta"):
        network = make()
    wanted = network.state_dict()
    if missing := [name for name in wanted if name not in entries]:
        raise _mismatch(archive, f"it lacks {_some(missing)}")
    if unknown := [name for name in entries if name not in wanted]:
        raise _mismatch(archive, f"nothing takes {_some(unknown)}")
    shapes = [(name, entries[name].shape, tuple(tensor.shape)) for name, tensor in wanted.items()]
    if odd := [f"{name} {theirs} instead of {ours}" for name, theirs, ours in shapes if theirs != ours]:
        raise _mismatch(archive, f"it has {_some(odd)}")
    state = {}
    for name, tensor in wanted.items():
        stored = load_tensor(entries[name])
        if tensor.is_floating_point() and not stored.is_floating_point():
            raise _mismatch(archive, f"{shown(name, 200)} holds whole numbers")
        state[name] = stored.to(tensor.dtype, copy=True).contiguous()
        if tensor.is_floating_point() and not bool(torch.isfinite(state[name]).all()):
            raise InputError(f"{archive.path}: its weights are broken: {name} holds numbers that are not finite")
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def _mismatch(archive: Archive, what: str) -> WeightsError:
    return WeightsError(f"{archive.path}: these are not the weights of this network: {what}")


def _some(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _NAMED_AT_MOST} more" if len(listed) > _NAMED_AT_MOST else ""
    return ", ".join(shown(name, 200) for name in listed[:_NAMED_AT_MOST]) + more


def pad(images: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """(n, h, w, c) with the last row and column repeated until both sides are multiples of `multiple`."""
    down, right = (-images.shape[1]) % multiple, (-images.shape[2]) % multiple
    return np.pad(images, ((0, 0), (0, down), (0, right), (0, 0)), mode="edge") if down or right else images


def to_tensor(images: NDArray[np.generic], network: nn.Module) -> Tensor:
    """(n, h, w, c) as (n, c, h, w), the same numbers, on the device and in the number format of `network`.

    In memory the channels stay last, as pictures have them: a processor's convolutions like that, up to 1.8 times. A
    GPU's depthwise convolutions are ten times slower with it.
    """
    weights = next(network.parameters())
    tensor = torch.from_numpy(np.ascontiguousarray(images)).to(weights.device).permute(0, 3, 1, 2).to(weights.dtype)
    return tensor if weights.device.type == "cpu" else tensor.contiguous()


def to_array(output: Tensor, network: nn.Module) -> NDArray[np.float32]:
    """What a network gave, as float32. Raises InputError where its number format was too narrow for its numbers."""
    numbers = output.float().cpu()
    check_finite(numbers, network)
    return numbers.numpy()


def check_finite(output: Tensor, network: nn.Module) -> None:
    """Raises InputError where the number format of a network was too narrow for its numbers."""
    if next(network.parameters()).dtype != torch.float32 and not bool(torch.isfinite(output).all()):
        raise InputError("this picture overflows the number format of --precision; use bf16 or fp32")
