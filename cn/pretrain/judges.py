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
from cn.checkpoints.read.load import open_base
from cn.model.vae import AutoencoderKL
from cn.pretrain.budget import Budget
from cn.pretrain.dense import DenseConfig, DenseProbe, fit_dense
from cn.pretrain.reader import ReaderConfig, fit_reader

READER, DENSE = "reader.safetensors", "dense.safetensors"
"""Names of the files in the work folder."""

Judge = TypeVar("Judge", bound=nn.Module)


def train_reader(work: Path, count: int, device: torch.device, budget: Budget, settings: ReaderConfig) -> None:
    """Train the reader on the labelled ones among the first `count` scenes of the pool in `work`.

    State and weights go to `reader.pt` and `reader.safetensors`. Loading and reconstructing images takes no time of the
    budget.
    """
    vae = _autoencoder(work, device)
    save_judge(work / READER, fit_reader(work / "pool", count, device, work / "reader.pt", budget, settings, vae))


def train_dense(work: Path, count: int, device: torch.device, budget: Budget, settings: DenseConfig) -> None:
    """The same for the dense probe: `dense.pt` and `dense.safetensors`."""
    vae = _autoencoder(work, device)
    save_judge(work / DENSE, fit_dense(work / "pool", count, device, work / "dense.pt", budget, settings, vae))


def _autoencoder(work: Path, device: torch.device) -> AutoencoderKL | None:
    """The latest one that has been trained, if any."""
    paths = [path for name in ("base", "autoencoder") if (path := work / f"{name}.safetensors").exists()]
    return open_base(paths[0], device).vae if paths else None


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
