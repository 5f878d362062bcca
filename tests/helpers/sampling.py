"""A random control on the tiny base, and condition images."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cn import images
from cn.checkpoints.read.load import describe_base
from cn.checkpoints.write.native import save_control
from cn.conditions import ConditionInfo
from cn.files import sha256
from cn.model.config import ModelConfig
from cn.model.controlnet import ControlNet
from tests.helpers.model_helpers import fill, tiny_base

QUICK = ["--steps", "2", "--prompt", "a house"]
"""Options of a short `cn sample`."""
QUICK_SWEEP = ["--steps", "2", "--size", "64x64", "--prompt", "a house"]
"""The same for the fixture `sweep`."""
CONTROLLED = ["--cond", "canny.png", "--control", "run"]
"""A condition and a control of the folder that the fixture `sample` runs in."""


def write_control(path: Path, base: Path, config: ModelConfig | None = None, kind: str = "canny") -> Path:
    """A control whose zero convolutions are not zero, so that it has an effect; without `config`, for the base."""
    control = fill(ControlNet.from_unet(tiny_base(config or describe_base(base).config()).unet))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_control(path, control, kind=kind, base_sha256=sha256(base))
    return path


def blocks(height: int = 64, width: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """Black and white blocks of 8 pixels, (height, width, 3)."""
    cells = np.random.default_rng(seed).integers(0, 2, (-(-height // 8), -(-width // 8), 1), dtype=np.uint8) * 255
    return cells.repeat(8, axis=0).repeat(8, axis=1).repeat(3, axis=2)[:height, :width]


def write_condition(path: Path, kind: str | None = "canny", height: int = 64, width: int = 64, seed: int = 0) -> Path:
    """A condition image that states its kind, or does not."""
    images.write(path, blocks(height, width, seed), ConditionInfo(kind, "test").to_text() if kind else None)
    return path


def is_finite(tensors: dict[str, torch.Tensor]) -> bool:
    return all(bool(t.isfinite().all()) for t in tensors.values())
