"""Classifier-free guidance, control strength, control window, guess mode."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import torch
from torch import Tensor

from cn.model.attention import Context, context_of
from cn.model.concat import ConcatBaseline
from cn.model.config import PAPER_SCALE, ScheduleConfig
from cn.model.controlnet import ControlNet
from cn.model.layers import repeated
from cn.model.samplers.step import Step
from cn.model.unet import UNet

Residuals = list[Tensor | None]

GUESS_DECAY = 0.825
"""Guess mode multiplies residual i of 13 by 0.825^(12 - i) (official release, gradio_canny2image.py)."""


@dataclass(frozen=True)
class ControlInput:
    """A control, its condition (B, 3, 8H, 8W) in [0, 1], its strength, and the range of steps it is active in."""

    model: ControlNet | ConcatBaseline
    hint: Tensor
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    encoded: Tensor | None = None
    """(B, C0, H, W): what the condition encoder makes of the hint, where that is known already."""
    context: Context | None = None
    """What its cross-attentions make of the text, where that is known already: for as many rows as it is given."""

    def with_encoded(self, cells: tuple[int, int]) -> "ControlInput":
        """The same with its encoded hint, for latents of (H, W) cells. Row by row: it is the same in any batch."""
        return replace(self, encoded=torch.cat([self.model.encode(row, cells) for row in self.hint.split(1)]))

    def rows(self, first: int, count: int) -> "ControlInput":
        """The part for some images of a batch; a hint of one row is for all of them."""
        encoded = None if self.encoded is None else _rows(self.encoded, first, count)
        return replace(self, hint=_rows(self.hint, first, count), encoded=encoded)

    def residuals(self, z: Tensor, t: Tensor, text: Context) -> Residuals:
        """Those of the model for z and t of B rows and a text of R·B; without the strength. The hint may be encoded."""
        text = text if self.context is None else self.context
        if self.encoded is None:
            return self.model(z, t, text, self.hint)
        return self.model.residuals(z, t, text, self.encoded)

    def is_active(self, step: Step, steps: int) -> bool:
        """Whether the control is active at this step: active if start ≤ i/n and (i+1)/n ≤ end, as in diffusers."""
        return not (step.index / steps < self.start or (step.index + 1) / steps > self.end)


def _rows(tensor: Tensor, first: int, count: int) -> Tensor:
    return tensor.expand(count, -1, -1, -1) if tensor.shape[0] == 1 else tensor[first : first + count]


def classifier_free_guidance(uncond: Tensor, cond: Tensor, scale: float, rescale: float = 0.0) -> Tensor:
    """u + s·(c - u); `rescale` φ mixes in the result with the std of c (Lin et al. 2023, Eq. 15 and 16)."""
    guided = uncond + scale * (cond - uncond)
    if rescale == 0:
        return guided
    dims = tuple(range(1, cond.ndim))
    matched = guided * (cond.std(dim=dims, keepdim=True) / guided.std(dim=dims, keepdim=True))
    return rescale * matched + (1 - rescale) * guided


def residual_scales(count: int, strength: float, guess: bool) -> list[float]:
    """The factor of each residual: `strength`, which in guess mode decreases towards the first skip connection."""
    return [strength * (GUESS_DECAY ** (count - 1 - i) if guess else 1.0) for i in range(count)]


def control_residuals(
    controls: Sequence[ControlInput], z: Tensor, t: Tensor, text: Context, *, guess: bool = False
) -> Residuals | None:
    """The sum of all controls' 13 scaled residuals, or None without controls."""
    total: Residuals | None = None
    for control in controls:
        residuals = control.residuals(z, t, text)
        scales = residual_scales(len(residuals), control.strength, guess and not control.model.pooled)
        total = _sum(total, [r if r is None or s == 1 else r * s for r, s in zip(residuals, scales, strict=True)])
    return total


def _sum(a: Residuals | None, b: Residuals | None) -> Residuals | None:
    if a is None or b is None:
        return b if a is None else a
    return [_add(x, y) for x, y in zip_longest(a, b)]


def _add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    rows = max(len(a), len(b))
    return repeated(a, rows) + repeated(b, rows)


def batch_timesteps(step: Step, z: Tensor) -> Tensor:
    """The step's timestep for each of the latents (B, …): (B,) float32, since there are fractions of timesteps."""
    return torch.full((z.shape[0],), step.t, device=z.device, dtype=torch.float32)


@dataclass(frozen=True)
class GuidedUNet:
    """U-Net, controls and guidance as one function `(z, step) -> prediction` for the sampler.

    With guidance, the networks get the latents once and both texts, the unconditional ones first; at scale 1 there is
    only the conditional one. In guess mode the unconditional half gets no control, otherwise both halves get the same.
    A pooled control is applied to the conditional half only, at full strength (official release 1.1:
    gradio_shuffle.py).
    """

    unet: UNet
    schedule: ScheduleConfig
    cond: Tensor
    uncond: Tensor
    controls: tuple[ControlInput, ...]
    steps: int
    scale: float = PAPER_SCALE
    guess: bool = False
    extra: Tensor | None = None
    """Further channels (B, 5, H, W) of what the U-Net takes, but not the controls: see `Beginning`."""
    context: Context | None = None
    """What the U-Net's cross-attentions make of `text`, where that is known already."""

    def with_contexts(self) -> "GuidedUNet":
        """The same with what all its cross-attentions make of their texts: it is the same at each step."""
        controls = tuple(
            replace(c, context=context_of(c.model, self.cond if self._is_conditional_only(c) else self.text))
            for c in self.controls
        )
        return replace(self, controls=controls, context=context_of(self.unet, self.text))

    @property
    def text(self) -> Tensor:
        """Those of both halves, or the conditional one alone where there is no guidance."""
        return self.cond if self.scale == 1 else torch.cat([self.uncond, self.cond])

    def __call__(self, z: Tensor, step: Step) -> Tensor:
        return self.predict(z, batch_timesteps(step, z), self.active(step))

    def active(self, step: Step) -> tuple[ControlInput, ...]:
        """The controls that are active at this step."""
        return tuple(c for c in self.controls if c.is_active(step, self.steps))

    def predict(self, z: Tensor, t: Tensor, active: Sequence[ControlInput]) -> Tensor:
        """The guided prediction (B, 4, H, W) at timesteps t (B,)."""
        text = self.text if self.context is None else self.context
        if self.scale == 1:
            control = control_residuals(active, z, t, text, guess=self.guess)
            return self.unet(self._input(z), t, text, control)
        two_sided = [c for c in active if not self._is_conditional_only(c)]
        cond_only = control_residuals(
            [c for c in active if self._is_conditional_only(c)], z, t, self.cond, guess=self.guess
        )
        padded = cond_only and [r if r is None else torch.cat([torch.zeros_like(r), r]) for r in cond_only]
        control = _sum(control_residuals(two_sided, z, t, text), padded)
        uncond, cond = self.unet(self._input(z), t, text, control).chunk(2)
        return classifier_free_guidance(uncond, cond, self.scale, self.schedule.guidance_rescale)

    def _input(self, z: Tensor) -> Tensor:
        return z if self.extra is None else torch.cat([z, self.extra], dim=1)

    def _is_conditional_only(self, control: ControlInput) -> bool:
        return self.guess or control.model.pooled
