"""Files as OpenPifPaf writes them: pickled networks, of classes that exist only while they are written."""

import contextlib
import dataclasses
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.helpers.pifpaf_fields import SPREAD

NETS, BASES, HEADS = (f"openpifpaf.network.{name}" for name in ("nets", "basenetworks", "heads"))
METAS = "openpifpaf.headmeta"


@dataclasses.dataclass
class _Meta:
    """The metadata of a head that are stored with its weights."""

    name: str
    dataset: str
    keypoints: list
    sigmas: list
    pose: Any = None
    upsample_stride: int = 2
    base_stride: int = 16
    score_weights: list | None = None
    skeleton: list | None = None


@contextlib.contextmanager
def pretended() -> Iterator[dict[str, Any]]:
    """OpenPifPaf's classes by name, in modules that can be imported within the block."""
    parents: dict[str, tuple[str, type]] = {
        "Shell": (NETS, nn.Module),
        "ShuffleNetV2K": (BASES, nn.Module),
        "InvertedResidualK": (BASES, nn.Module),
        "CompositeField3": (HEADS, nn.Module),
        "CompositeField4": (HEADS, nn.Module),
        "Cif": (METAS, _Meta),
        "Caf": (METAS, _Meta),
    }
    modules = {name: types.ModuleType(name) for name in ("openpifpaf", "openpifpaf.network", NETS, BASES, HEADS, METAS)}
    classes = {}
    for name, (module, parent) in parents.items():
        classes[name] = type(name, (parent,), {"__module__": module})
        setattr(modules[module], name, classes[name])
    sys.modules.update(modules)
    try:
        yield classes
    finally:
        for name in modules:
            del sys.modules[name]


def whole(network: nn.Module, classes: dict[str, Any], head: str = "CompositeField4") -> nn.Module:
    """OpenPifPaf's module around the weights of one of our networks."""
    base = classes["ShuffleNetV2K"]()
    base.name, base.stride, base.out_features = "shufflenetv2k", 16, 1392
    for name, child in network.base_net.named_children():
        setattr(base, name, _stage(child, classes) if name.startswith("stage") else child)
    shell = classes["Shell"]()
    shell.base_net = base
    shell.process_input = shell.process_heads = None
    shell.head_nets = nn.ModuleList()
    for ours, kind in zip(network.head_nets, ("Cif", "Caf"), strict=True):
        made = classes[head]()
        pose = np.arange(51.0).reshape(17, 3)
        made.meta = classes[kind](kind.lower(), "cocokp", ["nose"], SPREAD.tolist(), pose)
        made.meta.score_weights = np.ones(17)
        made.dropout, made.conv, made.upsample_op = nn.Dropout2d(0.0), ours.conv, nn.PixelShuffle(2)
        shell.head_nets.append(made)
    return shell.eval()


def _stage(stage: nn.Module, classes: dict[str, Any]) -> nn.Module:
    units = []
    for ours in stage:
        unit = classes["InvertedResidualK"]()
        unit.first_in_stage = ours.branch1 is not None
        unit.branch1 = None
        if ours.branch1 is not None:
            unit.branch1 = ours.branch1
        unit.branch2 = ours.branch2
        units.append(unit)
    return nn.Sequential(*units)


def write(network: nn.Module, path: Path, head: str = "CompositeField4", zipped: bool = True, **more: Any) -> Path:
    """The file that OpenPifPaf would write for `network`, in the format of current torch or of torch before 1.6."""
    with pretended() as classes, warnings.catch_warnings():
        # The older format stores the source of classes, which does not exist.
        warnings.simplefilter("ignore")
        saved = {"model": whole(network, classes, head), "epoch": 250, "meta": {"args": "--lr=0.1"}, **more}
        torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    assert "openpifpaf.network" not in sys.modules
    return path
