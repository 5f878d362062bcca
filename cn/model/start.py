"""Where sampling starts: from noise, or from an image and noise; and what a mask keeps of that image at every step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from cn.model.base import Base
from cn.model.samplers.choose import Sampler
from cn.model.samplers.settings import steps_made
from cn.model.samplers.step import Keep, Step, all_of_it, draw_noise
from cn.model.transfers import upload


@dataclass(frozen=True, eq=False)
class StartImage:
    """An image (1, 3, 8H, 8W) in [-1, 1] to start from, and how much of the steps it goes through; on the CPU.

    `denoise` is the share of the steps that are made (SDEdit, Meng et al. 2022; `strength` in diffusers). Where `mask`,
    (1, 1, 8H, 8W) of 0 and 1, is 0, the latents are those of the image again after each step (RePaint, Lugmayr et al.
    2022, Eq. 8, without resampling; diffusers' StableDiffusionControlNetInpaintPipeline).
    """

    image: Tensor
    denoise: float = 1.0
    mask: Tensor | None = None

    @property
    def from_noise_alone(self) -> bool:
        """Whether nothing of the image is in the latents that a masked run begins with."""
        return self.mask is not None and self.denoise == 1


@dataclass(frozen=True)
class Beginning:
    """The first latents (B, 4, H, W), the steps that are made, and what is done after each of them.

    `extra` (B, 5, H, W) are the further channels of an inpainting base: the mask, and the latents of the rest.
    """

    z: Tensor
    steps: Sequence[Step]
    keep: Keep = all_of_it
    extra: Tensor | None = None


def begin(
    base: Base,
    sampler: Sampler,
    generators: Sequence[torch.Generator],
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    start: StartImage | None = None,
) -> Beginning:
    """The beginning of one image for each generator, of latents of `shape` (4, H, W).

    From each generator are drawn, as in diffusers: the latents of the image within their posterior, the noise, and,
    with a mask, the latents of the image without what is masked. ValueError where no step would be made.
    """

    def noise() -> Tensor:
        return upload(draw_noise(generators, shape), base.device).to(dtype)

    def encoded(image: Tensor) -> Tensor:
        posterior = base.vae.encode(upload(image, base.device).to(base.dtype))
        return posterior.mean.to(dtype) + posterior.std.to(dtype) * noise()

    if start is None:
        return Beginning(noise() * sampler.noise_scale, sampler.steps)
    made = steps_made(len(sampler.steps), start.denoise)
    if made == 0:
        raise ValueError(f"denoise {start.denoise:g} of {len(sampler.steps)} steps is no step")
    steps = [replace(step, index=i) for i, step in enumerate(sampler.steps[-made:])]
    inpaints = base.config.unet.has_mask
    z0 = None if inpaints and start.from_noise_alone else encoded(start.image)
    drawn = noise()
    z = drawn * sampler.noise_scale if z0 is None or start.from_noise_alone else _noisy(z0, drawn, steps[0].alpha)
    if start.mask is None:
        return Beginning(z, steps)
    cells = upload(mask_cells(start.mask, base.config.vae.factor), base.device).to(dtype)
    known = encoded(start.image * (1 - start.mask))
    if inpaints:
        return Beginning(z, steps, extra=torch.cat([cells.expand(len(z), -1, -1, -1), known], dim=1))
    assert z0 is not None
    return Beginning(z, steps, _put_back(z0, drawn, cells, steps))


def hide(hint: Tensor, mask: Tensor) -> Tensor:
    """A hint (B, 3, 8H, 8W) with -1 where `mask` (1, 1, 8H, 8W; on the CPU) of 0 and 1 is 1: inpainting's condition.

    ControlNet 1.1, gradio_inpaint.py: `detected_map[mask > 0.5] = -1.0`.
    """
    return hint.masked_fill(upload(mask, hint.device) > 0.5, -1.0)


def mask_cells(mask: Tensor, factor: int) -> Tensor:
    """(1, 1, 8H, 8W) → (1, 1, H, W): 1 for each latent cell that the mask touches, so that all of it is redrawn."""
    return F.max_pool2d(mask, factor)


def _noisy(z0: Tensor, noise: Tensor, alpha: float) -> Tensor:
    return alpha**0.5 * z0 + (1 - alpha) ** 0.5 * noise


def _put_back(z0: Tensor, noise: Tensor, mask: Tensor, steps: Sequence[Step]) -> Keep:
    """After a step, the image with as much noise as the next step begins with, where the mask is 0."""
    levels = [*(step.alpha for step in steps[1:]), 1.0]

    def keep(z: Tensor, step: Step) -> Tensor:
        return (1 - mask) * _noisy(z0, noise, levels[step.index]) + mask * z

    return keep
