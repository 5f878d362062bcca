"""Stages "reader" and "dense": networks that judge samples, trained on the pool, and their files in the work folder.

The reader is also the captioner of the bundled base; the dense probe is no part of the package.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cn.archives.archive import open_archive
from cn.caption.scene_reader import SceneReader
from cn.caption.weights import load
from cn.checkpoints.read.load import open_base
from cn.model.vae import AutoencoderKL
from cn.pretrain import dense, reader
from cn.pretrain.budget import Budget
from cn.pretrain.dense import DenseProbe
from cn.pretrain.labelled import LabelledImages
from cn.pretrain.labels import CELL_LABELS, DENSE_LABELS
from cn.pretrain.master_weights import StageConfig
from cn.pretrain.session import train_session

READER, DENSE = "reader.safetensors", "dense.safetensors"
"""Names of the files in the work folder."""

Judge = TypeVar("Judge", bound=nn.Module)


@dataclass(frozen=True)
class JudgeConfig(StageConfig):
    """Settings of both stages. `reconstructions` is the number of images that the VAE reconstructs for them."""

    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup: int = 100
    decay_from: float = 0.2
    ema_decay: float = 0.995
    reconstructions: int = 8192


READER_CONFIG, DENSE_CONFIG = JudgeConfig(seed=4), JudgeConfig(batch_size=64, seed=5)


def train_reader(work: Path, count: int, device: torch.device, budget: Budget, settings: JudgeConfig) -> None:
    """Train the reader on the labelled ones among the first `count` scenes of the pool in `work`.

    State and weights go to `reader.pt` and `reader.safetensors`. Loading and reconstructing images takes no time of the
    budget.
    """
    data = _labelled(work, CELL_LABELS, count, device, settings)
    network = SceneReader().to(device)
    _train(work / READER, network, reader.ReaderLoss(network).to(device), data, reader.draw, budget, settings)


def train_dense(work: Path, count: int, device: torch.device, budget: Budget, settings: JudgeConfig) -> None:
    """The same for the dense probe: `dense.pt` and `dense.safetensors`."""
    data = _labelled(work, DENSE_LABELS, count, device, settings)
    network = DenseProbe().to(device)
    _train(work / DENSE, network, dense.DenseLoss(network), data, dense.draw, budget, settings)


def _labelled(
    work: Path, labels: Sequence[str], count: int, device: torch.device, settings: JudgeConfig
) -> LabelledImages:
    """The scenes with these labels, some of them also as the latest autoencoder reconstructs them."""
    data = LabelledImages.open(work / "pool", labels, count, device)
    if (vae := _autoencoder(work, device)) is not None:
        data.reconstruct(vae, settings.reconstructions)
    torch.manual_seed(settings.seed)
    return data


def _train(
    path: Path,
    network: nn.Module,
    loss: nn.Module,
    data: LabelledImages,
    draw: Callable[[LabelledImages, int, int], tuple[Tensor, ...]],
    budget: Budget,
    settings: JudgeConfig,
) -> None:
    """One training session; its state is beside `path`, which gets the EMA of the weights so far."""
    batches = partial(draw, data, settings.batch_size)
    train_session(path.stem, loss, batches, path.with_suffix(".pt"), budget, settings)
    save_judge(path, network)


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
        network = SceneReader()
    return _opened(network, path, device)


def open_dense(path: Path, device: torch.device) -> DenseProbe:
    """The dense probe of a file of `save_judge`, in fp32. Raises WeightsError where it has other shapes."""
    with torch.device("meta"):
        probe = DenseProbe()
    return _opened(probe, path, device)


def _opened(network: Judge, path: Path, device: torch.device) -> Judge:
    load(network, open_archive(path).entries, path, torch.float32)
    return network.to(device).eval().requires_grad_(False)
