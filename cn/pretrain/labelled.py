"""Rendered images with their labels, in the memory of the device on which judges are trained; and worse copies of them.

Judges read samples, which are softer than renderings: so they are trained on copies that are blurred, noisy, compressed
and reconstructed by the VAE.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cn.model.vae import AutoencoderKL
from cn.pretrain.pool import SHARD, as_input
from cn.pretrain.session import autocast

SHARE_RECONSTRUCTED = 0.4


@dataclass
class LabelledImages:
    """`rgb` uint8 (N, 3, h, w), labels by name (see `cn.pretrain.labels`), and reconstructions of the first images."""

    rgb: Tensor
    labels: dict[str, Tensor]
    reconstructed: Tensor | None = None

    @classmethod
    def open(cls, folder: Path, names: Sequence[str], count: int, device: torch.device) -> "LabelledImages":
        """Those of the pool's first `count` scenes (whole shards) that have the labels `names`.

        Raises ValueError where the first shard has none.
        """
        found: dict[str, list[Tensor]] = {name: [] for name in ("rgb", *names)}
        for number in range(-(-count // SHARD)):
            paths = {name: folder / f"{number:06d}.{name}.npy" for name in found}
            if not (folder / f"{number:06d}.json").exists() or not all(path.exists() for path in paths.values()):
                break
            for name, path in paths.items():
                found[name].append(torch.from_numpy(np.load(path)).to(device))
        if not found["rgb"]:
            raise ValueError(f"{folder}: no rendered scenes with the labels {', '.join(names)}")
        rgb = torch.cat(found.pop("rgb")).permute(0, 3, 1, 2).contiguous()
        return cls(rgb, {name: torch.cat(parts) for name, parts in found.items()})

    @torch.no_grad()
    def reconstruct(self, vae: AutoencoderKL, count: int) -> None:
        """Add what the VAE makes of the first `count` images."""
        parts = []
        for part in self.rgb[:count].split(64 if self.rgb.device.type == "cuda" else 2):
            with autocast(self.rgb.device):
                decoded = vae.decode(vae.encode(as_input(part)).mean)
            parts.append(((decoded.float().clamp(-1, 1) + 1) * 127.5).round().byte())
        self.reconstructed = torch.cat(parts)

    def draw(self, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        """A random batch: images (size, 3, h, w) float32 from -1 to 1, some reconstructed, and their labels."""
        index = torch.randint(0, len(self.rgb), (size,), device=self.rgb.device)
        images = self.rgb[index]
        if self.reconstructed is not None:
            soft = torch.rand(size, device=index.device) < SHARE_RECONSTRUCTED
            index = torch.where(soft, index % len(self.reconstructed), index)
            choice = soft[:, None, None, None]
            images = torch.where(choice, self.reconstructed[index % len(self.reconstructed)], self.rgb[index])
        return as_input(images), {name: values[index] for name, values in self.labels.items()}


def degraded(images: Tensor) -> Tensor:
    """Some of the images (n, 3, h, w) from -1 to 1 blurred or compressed, all with a little noise and contrast."""
    for side, chance in ((2, 0.5), (4, 0.2)):
        soft = F.interpolate(F.avg_pool2d(images, side), scale_factor=side, mode="bilinear", align_corners=False)
        share = _random(images) * (_random(images) < chance)
        images = images * (1 - share) + soft * share
    images = torch.where(_random(images) < 0.25, compressed(images, 0.02 + 0.2 * _random(images)), images)
    gain = 1 + 0.15 * (_random(images) - 0.5)
    noise = 0.05 * _random(images) * torch.randn_like(images)
    return images * gain + 0.1 * (_random(images) - 0.5) + noise


def compressed(images: Tensor, step: Tensor) -> Tensor:
    """What JPEG does to (n, 3, h, w), sides divisible by 8: coefficients of the DCT of 8×8 pixels are rounded.

    To multiples of `step` (n, 1, 1, 1) for the mean, and of up to eight times as much for the finest details.
    """
    n, channels, height, width = images.shape
    matrix = _dct(images.device)
    blocks = images.reshape(n, channels, height // 8, 8, width // 8, 8).permute(0, 1, 2, 4, 3, 5)
    order = torch.arange(8, device=images.device)
    steps = step[..., None, None] * (1 + (order[:, None] + order[None]) / 2)
    coefficients = matrix @ blocks @ matrix.T
    blocks = matrix.T @ ((coefficients / steps).round() * steps) @ matrix
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(images.shape)


def _dct(device: torch.device) -> Tensor:
    """The orthonormal DCT-II of 8 numbers."""
    k, x = torch.arange(8, device=device)[:, None], torch.arange(8, device=device)[None]
    matrix = torch.cos(torch.pi * k * (2 * x + 1) / 16) / 2
    matrix[0] /= 2**0.5
    return matrix


def _random(images: Tensor) -> Tensor:
    """One number from 0 to 1 for each image."""
    return torch.rand(len(images), 1, 1, 1, device=images.device)
