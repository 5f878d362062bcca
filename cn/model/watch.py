"""Previews while sampling: the clean image that the network expects at a step, and its colors without the decoder."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cn.model.decoding import decode, to_pixels
from cn.model.samplers.step import Predict, Step
from cn.model.schedule import Schedule
from cn.model.vae import AutoencoderKL

FIT_CELLS = 24
"""The side, in latent cells, of the image that a map from latents to colors is fitted to."""
FIT_BLOCK = 2
"""Cells of one value beside each other in it: the decoder mixes neighbours (single cells fit 2 dB worse)."""
FIT_SPREAD = 1.5
"""The standard deviation of its latents. Those of images have 1, but colors change slower in them: fitted to 1,
previews are 20 to 30 of 255 too dark."""


@dataclass(frozen=True)
class Watch:
    """Every so many steps, `show` gets the estimates of the clean latents, (B, 4, H, W); sampling is not changed."""

    every: int
    show: Callable[[Tensor], object]

    def of(self, predict: Predict, schedule: Schedule) -> Predict:
        """The same function, watched."""

        def watched(z: Tensor, step: Step) -> Tensor:
            prediction = predict(z, step)
            if (step.index + 1) % self.every == 0:
                # New tensors: what a CUDA graph or a sampler overwrites next is not what is shown.
                self.show(schedule.split(prediction, z, step.alpha)[0])
            return prediction

        return watched


@dataclass(frozen=True)
class LatentColors:
    """Latents → colors by a linear map, (C + 1, 3) with the constant last: a pixel of the image for each cell.

    Decoding takes as long as one to three steps, this next to nothing; composition and colors can be told (14.5 dB to
    twelve renderings at that size, with the bundled base; the best linear map for just these has 17.2).
    """

    weights: Tensor
    factor: int

    @classmethod
    @torch.inference_mode()
    def fit(cls, vae: AutoencoderKL) -> "LatentColors":
        """By least squares, to what the decoder makes of random latents; always the same."""
        side = FIT_CELLS // FIT_BLOCK
        shape = (1, vae.config.latent_channels, side, side)
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        latents = F.interpolate(FIT_SPREAD * drawn, scale_factor=FIT_BLOCK, mode="nearest")
        like = next(vae.parameters())
        decoded = decode(vae, latents.to(like.device, like.dtype)).float().cpu().clamp(-1, 1)
        colors = F.avg_pool2d(decoded, vae.config.factor)
        found = torch.linalg.lstsq(_rows(latents), colors.permute(0, 2, 3, 1).reshape(-1, 3)).solution
        return cls(found, vae.config.factor)

    @torch.inference_mode()
    def __call__(self, latents: Tensor) -> Tensor:
        """(B, C, H, W) on any device → uint8 (B, 8H, 8W, 3) on the CPU; black where latents are not finite."""
        latents = latents.float().cpu()
        batch, _, height, width = latents.shape
        colors = (_rows(latents) @ self.weights).reshape(batch, height, width, 3).permute(0, 3, 1, 2)
        large = F.interpolate(colors, scale_factor=self.factor, mode="bilinear")
        return to_pixels(large.nan_to_num(-1, 1, -1))


def _rows(latents: Tensor) -> Tensor:
    """(B, C, H, W) → (BHW, C + 1), a row for each cell, with 1 in the end."""
    flat = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)
