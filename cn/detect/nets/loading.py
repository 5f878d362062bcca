"""Loading a network from its published file.

Modules and parameters have the names of the published files, so that these load with every tensor used. The networks
themselves handle neither images nor files.
"""

import functools
import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from cn.archives.archive import Archive, open_archive
from cn.archives.entries import load_tensor
from cn.detect import registry
from cn.errors import InputError, WeightsError
from cn.text import first_names, shown

N = TypeVar("N", bound=nn.Module)


def load_net(family: str, source: Archive | Path | str) -> nn.Module:
    """The network of a family in a published file, identified by its tensors; see `load`.

    A class of `cn.detect.nets` with several variants has a class method `for_tensors` that takes names and shapes, and
    one with other tensor names than its file a static method `renamed`.
    Raises WeightsError when the file is unrecognized or its tensors do not fit; InputError when it is damaged.
    """
    archive = source if isinstance(source, Archive) else open_archive(source)
    plain = without_prefix("module.")
    shapes = {plain(name): entry.shape for name, entry in archive.entries.items()}
    spec = registry.identify(shapes, family)
    if spec is None:
        raise _unrecognized(archive, shapes, family)
    module, _, name = spec.net.rpartition(".")
    net = getattr(importlib.import_module(f"cn.detect.nets.{module}"), name)
    make = functools.partial(net.for_tensors, shapes) if hasattr(net, "for_tensors") else net
    return load(make, archive, getattr(net, "renamed", plain))


def _unrecognized(archive: Archive, names: Iterable[str], family: str) -> WeightsError:
    from cn.weights import catalog

    other = registry.identify(set(names))
    holds = f"holds {other.title}" if other is not None else f"holds no {family} network"
    files = [catalog.find(name).file for spec in registry.NETWORKS if spec.family == family for name in spec.weights]
    listed = " or ".join(filter(None, (", ".join(files[:-1]), files[-1])))
    return WeightsError(f"{holds}; give {listed}", path=archive.path)


def without_prefix(prefix: str) -> Callable[[str], str]:
    """A renaming for `load` that removes a leading `prefix` ("module.", if a network was saved in a wrapper)."""
    return lambda name: name.removeprefix(prefix)


def load(make: Callable[[], N], source: Archive | Path | str, rename: Callable[[str], str] | None = None) -> N:
    """The network that `make()` builds with the weights of a file: float32, on the CPU, in eval mode, frozen.

    `rename` maps a name in the file to a name in the network. Every tensor of the file and of the network must have a
    counterpart of the same shape.
    Raises WeightsError when the file is missing or holds another network, InputError when it is damaged.
    """
    archive = source if isinstance(source, Archive) else open_archive(source)
    entries = {(rename(name) if rename else name): entry for name, entry in archive.entries.items()}
    if len(entries) < len(archive.entries):
        raise _mismatch(archive, "two of its tensors have the same name except for a prefix")
    with torch.device("meta"):
        network = make()
    wanted = network.state_dict()
    if missing := [name for name in wanted if name not in entries]:
        raise _mismatch(archive, f"missing {first_names(missing)}")
    if unknown := [name for name in entries if name not in wanted]:
        raise _mismatch(archive, f"unexpected {first_names(unknown)}")
    shapes = [(name, entries[name].shape, tuple(tensor.shape)) for name, tensor in wanted.items()]
    if wrong := [f"{name} {theirs} instead of {ours}" for name, theirs, ours in shapes if theirs != ours]:
        raise _mismatch(archive, f"wrong shape: {first_names(wrong)}")
    state = {}
    for name, tensor in wanted.items():
        stored = load_tensor(entries[name])
        if tensor.is_floating_point() and not stored.is_floating_point():
            raise _mismatch(archive, f"{shown(name, 200)} holds integers")
        state[name] = stored.to(tensor.dtype, copy=True).contiguous()
        if tensor.is_floating_point() and not bool(torch.isfinite(state[name]).all()):
            raise InputError(f"damaged weights: {name} holds values that are not finite", path=archive.path)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def _mismatch(archive: Archive, what: str) -> WeightsError:
    return WeightsError(f"these are not the weights of this network: {what}", path=archive.path)
