"""Batches of tensors, as the networks are trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cn.data.examples import Example


@dataclass(frozen=True)
class Batch:
    """Images (B, 3, H, W) float32 in [-1, 1], hints (B, 3, H, W) float32 in [0, 1], and B prompts."""

    target: Tensor
    hint: Tensor
    prompts: list[str]

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        return Batch(self.target.to(device), self.hint.to(device), self.prompts)


def to_images(images: Sequence[np.ndarray]) -> Tensor:
    """uint8 (h, w, 3) each → float32 (B, 3, h, w) in [-1, 1], as the autoencoder takes them."""
    return scaled(to_bytes(images))


def scaled(pixels: Tensor) -> Tensor:
    """uint8 → float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def to_bytes(images: Sequence[np.ndarray]) -> Tensor:
    """uint8 (h, w, 3) each → uint8 (B, 3, h, w)."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def collate(examples: Sequence[Example]) -> Batch:
    """Examples of one size → a batch, scaled to the ranges of the autoencoder and of the ControlNet."""
    return Batch(
        to_images([e.target for e in examples]),
        to_bytes([e.condition for e in examples]).float() / 255,
        [e.prompt for e in examples],
    )
