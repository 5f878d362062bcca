"""Samples of the bundled base with the paper's settings, seeds 0, 1, 2, …"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cn.model.base import Base
from cn.model.concat import ConcatBaseline
from cn.model.controlnet import ControlNet
from cn.model.generate import Request, Sampling, generate, to_images
from cn.model.guidance import ControlInput
from cn.pretrain.evaluation.held_out import Images
from cn.pretrain.pool import as_input
from cn.pretrain.session import autocast

Model = ControlNet | ConcatBaseline


@dataclass(frozen=True)
class Sampler:
    """A base in fp32, which computes in bf16 on a GPU; `batch_size` images at a time."""

    base: Base
    settings: Sampling
    batch_size: int

    def sample(
        self, prompts: Sequence[str], controls: Sequence[tuple[Model, Images]] = (), seeds: Sequence[int] | None = None
    ) -> Images:
        """One image (N, h, w, 3) for each prompt; condition maps are (N, h, w, 3)."""
        numbers = range(len(prompts)) if seeds is None else seeds
        requests = [Request(prompt, seed) for prompt, seed in zip(prompts, numbers, strict=True)]
        made = []
        with autocast(self.base.device):
            # Batch by batch, so that only its own hints are in memory.
            for first in range(0, len(requests), self.batch_size):
                part = slice(first, first + self.batch_size)
                inputs = [ControlInput(model, self._hints(maps[part])) for model, maps in controls]
                made += list(generate(self.base, requests[part], self.settings, inputs, batch_size=self.batch_size))
        return np.stack(made)

    @torch.inference_mode()
    def reconstruct(self, images: Images) -> Images:
        """What the VAE makes of images (N, h, w, 3): the decoded means of their posteriors."""
        vae, made = self.base.vae, []
        with autocast(self.base.device):
            for first in range(0, len(images), self.batch_size):
                part = torch.from_numpy(images[first : first + self.batch_size]).to(self.base.device)
                made.append(to_images(vae.decode(vae.encode(as_input(part.permute(0, 3, 1, 2))).mean).float()))
        return np.concatenate(made)

    def _hints(self, maps: Images) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(maps)).to(self.base.device).permute(0, 3, 1, 2).float() / 255


def psnr(images: Images, others: Images) -> np.ndarray:
    """PSNR in dB of each pair of images (N, h, w, 3): (N,)."""
    errors = [np.square(a.astype(np.float32) - b).mean() for a, b in zip(images, others, strict=True)]
    return 10 * np.log10(255**2 / np.maximum(errors, 1e-9))
