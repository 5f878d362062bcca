"""The loop that all samplers share; a method makes one step."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from cn.model.samplers.step import Keep, Predict, Step, all_of_it
from cn.model.schedule import Schedule

Method = Callable[[Tensor, Tensor, Tensor, Step], Tensor]
"""Latents z, the clean latents z_0 and the noise ε in them as predicted, all (B, 4, H, W), and the step → the next z.

A method is for one run: it may remember the steps before, and draw noise from the generators of its images.
"""


def sample(
    schedule: Schedule,
    predict: Predict,
    z: Tensor,
    steps: Sequence[Step],
    method: Method,
    keep: Keep = all_of_it,
) -> Iterator[Tensor]:
    """Yield the latents (B, 4, H, W) after each of the steps; `predict(z, step)` is the guided network."""
    for step in steps:
        z0, eps = schedule.split(predict(z, step), z, step.alpha)
        z = keep(method(z, z0, eps, step), step)
        yield z
