"""Stage "reader": the network that reads what is in an image of the built-in world (`cn.caption.scene_reader`).

It captions images for the bundled base, and judges whether samples show what their prompts say.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn.caption.scene_labels import PARTS
from cn.caption.scene_reader import ANSWERS, SceneReader, shrink
from cn.pretrain.labelled import LabelledImages, degraded
from cn.pretrain.labels import CELL_LABELS, NONE

MAX_OWNERS = 16
BACKGROUND = 0.3
"""The weight of cells without a thing in the loss."""


class ReaderLoss(nn.Module):
    """Network and loss as one graph."""

    def __init__(self, reader: SceneReader):
        super().__init__()
        self.reader = reader
        weights = torch.ones(len(PARTS))
        weights[0] = BACKGROUND
        self.register_buffer("weights", weights)

    def forward(
        self, images: Tensor, parts: Tensor, colors: Tensor, across: Tensor, known: Tensor, whole: Tensor
    ) -> Tensor:
        """Mean cross-entropies of cells and of the whole, and the error of the middles, where they are known."""
        reading = self.reader(images.to(self.reader.stem.weight.dtype))
        weights = self.get_buffer("weights").float()
        loss = F.cross_entropy(reading.parts.float().flatten(0, 2), parts.flatten(), weights)
        colored = F.cross_entropy(
            reading.colors.float().flatten(0, 2), colors.flatten(), ignore_index=NONE, reduction="sum"
        )
        loss = loss + colored / (colors != NONE).sum().clamp_min(1)
        error = (reading.across.float() - across).abs() * known
        loss = loss + 5 * error.sum() / known.sum().clamp_min(1)
        for k, name in enumerate(ANSWERS):
            loss = loss + 0.3 * F.cross_entropy(getattr(reading, name).float(), whole[:, k])
        return loss


def across_of(owners: Tensor) -> tuple[Tensor, Tensor]:
    """How far right of each cell the middle of its thing is, in widths of the image, and where that is known.

    `owners` (n, h, w) are numbers of things, or NONE. Both results are float (n, h, w).
    """
    things = torch.arange(MAX_OWNERS, device=owners.device)
    own = (owners[..., None] == things).float()
    columns = ((torch.arange(owners.shape[2], device=owners.device) + 0.5) / owners.shape[2])[None, None]
    middles = (own * columns[..., None]).sum((1, 2)) / own.sum((1, 2)).clamp_min(1)
    known = own.sum(-1)
    return ((own * middles[:, None, None]).sum(-1) - columns) * known, known


def draw(data: LabelledImages, size: int, step: int) -> tuple[Tensor, ...]:
    """A batch for `ReaderLoss`, every second time mirrored."""
    images, true = data.draw(size)
    images, cells = degraded(shrink(images)), [true[name] for name in CELL_LABELS[:3]]
    if step % 2:
        images, cells = images.flip(3), [values.flip(2) for values in cells]
    parts, colors, owners = cells
    return images, parts.long(), colors.long(), *across_of(owners), true["whole"].long()
