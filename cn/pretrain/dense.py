"""Stage "dense": a network that reads depth, normals, classes and keypoints off images of the built-in world.

It measures how well samples follow conditions for which there is no detector of renderings: published ones were trained
on photographs. It is trained on renderings with their exact labels, and is no part of the package.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn.caption.scene_reader import Block
from cn.pretrain.labelled import LabelledImages, degraded
from cn.pretrain.labels import DENSE_LABELS, DENSE_STRIDE, NONE

WIDTHS = (32, 64, 96, 128, 160)
OUTPUTS = {"depth": 1, "normals": 3, "ade20k": 150, "coco": 171, "keypoints": 18}
"""What is said of each place, and in how many channels."""
SPREAD = 1.2
"""Of a keypoint in its map, in places: the standard deviation of a Gaussian."""
MIN_PEAK, MAX_PEAKS = 0.25, 12


class DenseReading(NamedTuple):
    """What the network says of each place, (n, channels, h, w): depth as in condition maps, 0 to 1; normals; logits."""

    depth: Tensor
    normals: Tensor
    ade20k: Tensor
    coco: Tensor
    keypoints: Tensor


class DenseProbe(nn.Module):
    """float (n, 3, h, w) from -1 to 1, sides divisible by 32 → `DenseReading` at a quarter of the sides: a U-Net."""

    def __init__(self) -> None:
        super().__init__()
        stem, *widths = WIDTHS
        self.stem = nn.Conv2d(3, stem, 5, 2, 2)
        pairs = list(zip(WIDTHS[:-1], widths, strict=True))
        self.down = nn.ModuleList(Block(before, after, 2) for before, after in pairs)
        self.context = Block(widths[-1], widths[-1])
        below = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.up = nn.ModuleList(nn.Conv2d(deep, fine, 1) for deep, fine in below)
        self.merged = nn.ModuleList(Block(fine, fine) for _, fine in below)
        self.heads = nn.Conv2d(widths[0], sum(OUTPUTS.values()), 1)
        assert self.heads.bias is not None
        nn.init.constant_(self.heads.bias[-OUTPUTS["keypoints"] :], -4.0)

    def forward(self, images: Tensor) -> DenseReading:
        return DenseReading(*self.heads(self.features(images)[0]).split(tuple(OUTPUTS.values()), 1))

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What it has seen of each place (n, c, h/4, w/4), and of the whole (n, d): means of the deepest features."""
        x, levels = F.relu(self.stem(images)), []
        for block in self.down:
            x = block(x)
            levels.append(x)
        deep = x = self.context(x)
        for up, merged, level in zip(self.up, self.merged, levels[-2::-1], strict=True):
            x = merged(level + F.interpolate(up(x), scale_factor=2, mode="nearest"))
        return x, deep.mean((2, 3))


class DenseLoss(nn.Module):
    """Network and loss as one graph."""

    def __init__(self, probe: DenseProbe):
        super().__init__()
        self.probe = probe

    def forward(
        self, images: Tensor, depth: Tensor, normals: Tensor, ade20k: Tensor, coco: Tensor, heat: Tensor
    ) -> Tensor:
        """Errors of depth and of normals (where there is a surface), cross-entropies, the focal loss of keypoints."""
        found = DenseReading(*(part.float() for part in self.probe(images.to(self.probe.stem.weight.dtype))))
        loss = 4 * F.l1_loss(found.depth[:, 0], depth)
        surface = normals.abs().sum(1) > 0.5
        cosine = F.cosine_similarity(found.normals, normals, dim=1)
        loss = loss + ((1 - cosine) * surface).sum() / surface.sum().clamp_min(1)
        for logits, ids in ((found.ade20k, ade20k), (found.coco, coco)):
            loss = loss + 0.5 * F.cross_entropy(logits, ids, ignore_index=NONE)
        return loss + 0.5 * focal_loss(found.keypoints, heat)


def focal_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """That of CornerNet (Law and Deng 2018, eq. 1) for maps whose peaks are 1, by keypoint."""
    share, peaks = logits.sigmoid(), (heat > 0.99).to(logits)
    missed = (1 - share) ** 2 * F.logsigmoid(logits) * peaks
    wrong = (1 - heat) ** 4 * share**2 * F.logsigmoid(-logits) * (1 - peaks)
    return -(missed + wrong).sum() / peaks.sum().clamp_min(1)


def heat_maps(keypoints: Tensor, height: int, width: int) -> Tensor:
    """Keypoints (n, people, 18, 3) in shares of the sides → (n, 18, height, width), 1 at the places of those inside."""
    places = (keypoints[..., :2].float() * torch.tensor((width, height), device=keypoints.device)).floor()
    rows, columns = (torch.arange(side, device=keypoints.device) for side in (height, width))
    down = torch.exp(-((rows - places[..., 1:]) ** 2) / (2 * SPREAD**2))
    across = torch.exp(-((columns - places[..., :1]) ** 2) / (2 * SPREAD**2))
    inside = keypoints[..., 2] > 0
    return (down[..., :, None] * across[..., None, :] * inside[..., None, None]).amax(1)


def peaks(logits: Tensor) -> list[Tensor]:
    """Where keypoints are, by image: (m, 18, 3) as x, y in shares of the sides and 1, or zeros.

    `logits` are (n, 18, h, w). Row m holds the m-th surest place of each joint: rows are no people.
    """
    share = logits.float().sigmoid()
    tops = torch.where(F.max_pool2d(share, 3, 1, 1) == share, share, 0).flatten(2)
    values, index = tops.topk(min(MAX_PEAKS, tops.shape[2]), dim=2)
    height, width = logits.shape[2:]
    x, y = (index % width + 0.5) / width, (index // width + 0.5) / height
    sure = (values >= MIN_PEAK).to(x)
    found = (torch.stack([x, y, torch.ones_like(x)], -1) * sure[..., None]).transpose(1, 2).cpu()
    return [image[image[..., 2].amax(1) > 0] for image in found]


def draw(data: LabelledImages, size: int, step: int) -> tuple[Tensor, ...]:
    """A batch for `DenseLoss`."""
    images, true = data.draw(size)
    depth, normals, ade20k, coco, keypoints = (true[name] for name in DENSE_LABELS)
    sides = images.shape[2] // DENSE_STRIDE, images.shape[3] // DENSE_STRIDE
    surfaces = depth.float() / 255, normals.permute(0, 3, 1, 2).float() / 127
    return degraded(images), *surfaces, ade20k.long(), coco.long(), heat_maps(keypoints, *sides)
