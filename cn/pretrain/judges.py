"""Stages "reader" and "dense": networks that judge samples, trained on the pool, and their files in the work folder.

The reader is also the captioner of the bundled base; the dense probe is no part of the package.
"""

from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from torch import nn

from cn.archives.archive import open_archive
from cn.caption.scene_reader import SceneReader
from cn.caption.weights import load
from cn.pretrain.dense import DenseProbe

READER, DENSE = "reader.safetensors", "dense.safetensors"
"""Names of the files in the work folder."""

Judge = TypeVar("Judge", bound=nn.Module)


def save_judge(path: Path, network: nn.Module) -> None:
    """A judge's weights in fp16, for `open_reader` and `open_dense`."""
    save_file({name: value.half().contiguous().cpu() for name, value in network.state_dict().items()}, path)


def open_reader(path: Path, device: torch.device) -> SceneReader:
    """The reader of a file of `save_judge`, in fp32. Raises WeightsError where it has other shapes."""
    with torch.device("meta"):
        reader = SceneReader()
    return _opened(reader, path, device)


def open_dense(path: Path, device: torch.device) -> DenseProbe:
    """The dense probe of a file of `save_judge`, in fp32. Raises WeightsError where it has other shapes."""
    with torch.device("meta"):
        probe = DenseProbe()
    return _opened(probe, path, device)


def _opened(network: Judge, path: Path, device: torch.device) -> Judge:
    load(network, open_archive(path).entries, path, torch.float32)
    return network.to(device).eval().requires_grad_(False)
