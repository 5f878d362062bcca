"""What all samplers share: their steps, the timesteps that they are made of, and the noise of each image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cn.model.config import ScheduleConfig


@dataclass(frozen=True)
class Step:
    """One step of a sampler: from ᾱ at timestep `t` to `alpha_prev`; `index` counts from 0.

    `t` lies between two of the 1000 timesteps where the sampler has noise levels of its own.
    """

    index: int
    t: float
    alpha: float
    alpha_prev: float


Predict = Callable[[Tensor, Step], Tensor]
"""The guided network: latents (B, 4, H, W) and their step → the prediction, of the same shape."""
Keep = Callable[[Tensor, Step], Tensor]
"""What is done to the latents after a step: with a mask, the image outside of it is put back."""


def all_of_it(z: Tensor, _: Step) -> Tensor:
    """Without a mask, the latents stay as the sampler leaves them."""
    return z


def timesteps(config: ScheduleConfig, n: int) -> list[float]:
    """`n` timesteps in the spacing of the base, noisiest first; see `ddim_steps`. Some may lie above the last one."""
    total = config.steps
    if config.spacing == "leading":
        stride = max(1, total // n)
        return [i * stride + config.steps_offset for i in reversed(range(n))]
    if config.spacing == "linspace":
        # NumPy's, as in diffusers: its rounding decides ties, such as 166.5 of 31 timesteps.
        return [float(t) for t in np.linspace(0, total - 1, n)[::-1]]
    if config.spacing == "trailing":
        return [round(total - i * total / n) - 1 for i in range(n)]
    # The stride is rounded once, as in diffusers: this decides ties where n does not divide 1000 (n = 48).
    part = total - (total - total / n)
    return [round(total - i * part) - 1 for i in range(n)]


def check_count(total: int, n: int) -> None:
    """ValueError unless a sampler can make `n` steps."""
    if not 1 <= n <= total:
        raise ValueError(f"steps must be between 1 and {total}, not {n}")


def draw_noise(generators: Sequence[torch.Generator], shape: Sequence[int]) -> Tensor:
    """One standard normal draw of `shape` (4, H, W) from each image's own CPU generator → (B, 4, H, W)."""
    return torch.cat([torch.randn((1, *shape), generator=g) for g in generators])
