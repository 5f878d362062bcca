"""Examples to tensors: what the networks are trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cn.data.examples import Example, Source


@dataclass(frozen=True)
class Batch:
    """Images (B, 3, H, W) float32 in [-1, 1], hints (B, 3, H, W) float32 in [0, 1], and B prompts."""

    target: Tensor
    hint: Tensor
    prompts: list[str]

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.target.to(device), self.hint.to(device), self.prompts)


def _stack(pictures: Sequence[np.ndarray]) -> Tensor:
    """uint8 (h, w, 3) each → float32 (B, 3, h, w), 0 … 255."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous().float()


def collate(examples: Sequence[Example]) -> Batch:
    """Examples of one size → a batch; the autoencoder's and the ControlNet's ranges are settled here."""
    return Batch(
        _stack([e.target for e in examples]) / 127.5 - 1,
        _stack([e.condition for e in examples]) / 255,
        [e.prompt for e in examples],
    )


class PairDataset(torch.utils.data.Dataset[tuple[Tensor, Tensor, str]]):
    """Any source as a map-style dataset for torch's DataLoader: item i is (target, hint, prompt), unbatched."""

    def __init__(self, source: Source, length: int | None = None):
        self.source = source
        self.length = source.count if length is None else length

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("these scenes never end; give PairDataset a length")
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, str]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        batch = collate([self.source.fetch(index).example])
        return batch.target[0], batch.hint[0], batch.prompts[0]
