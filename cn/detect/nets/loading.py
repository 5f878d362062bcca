"""From a published file to its network.

Modules and parameters of our networks are named as in the published files, so that those load with every tensor used.
The networks themselves know no images and no files.
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


def open_net(family: str, source: Archive | Path | str) -> nn.Module:
    """The network of a family that a published file holds, identified by its tensors: see `load`.

    A class of `cn.detect.nets` whose files differ has a class method `for_tensors` that takes names and shapes, and one
    whose files have other names than ours a static method `renamed`.
    Raises WeightsError when it is another file, or its tensors do not all fit; InputError when it is damaged.
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
        raise _mismatch(archive, f"it lacks {first_names(missing)}")
    if unknown := [name for name in entries if name not in wanted]:
        raise _mismatch(archive, f"nothing takes {first_names(unknown)}")
    shapes = [(name, entries[name].shape, tuple(tensor.shape)) for name, tensor in wanted.items()]
    if odd := [f"{name} {theirs} instead of {ours}" for name, theirs, ours in shapes if theirs != ours]:
        raise _mismatch(archive, f"it has {first_names(odd)}")
    state = {}
    for name, tensor in wanted.items():
        stored = load_tensor(entries[name])
        if tensor.is_floating_point() and not stored.is_floating_point():
            raise _mismatch(archive, f"{shown(name, 200)} holds whole numbers")
        state[name] = stored.to(tensor.dtype, copy=True).contiguous()
        if tensor.is_floating_point() and not bool(torch.isfinite(state[name]).all()):
            raise InputError(f"its weights are broken: {name} holds numbers that are not finite", path=archive.path)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def _mismatch(archive: Archive, what: str) -> WeightsError:
    return WeightsError(f"these are not the weights of this network: {what}", path=archive.path)
