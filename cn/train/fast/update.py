"""The optimizer's update without waiting for the device: whether a step counts is decided there."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cn.model.transfers import Download
from cn.train.distributed.sharded import local, total_norm


@dataclass(frozen=True)
class Numbers:
    """Scalars on their way from the device to the CPU."""

    values: Download

    @classmethod
    def of(cls, *scalars: Tensor) -> "Numbers":
        """Start copying."""
        return cls(Download.of(torch.stack([scalar.detach().float() for scalar in scalars])))

    def wait(self) -> list[float]:
        """The numbers, once they have arrived."""
        return self.values.wait().tolist()


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The Euclidean norm of the gradient, on its device; not finite where a part of the gradient is not."""
    return total_norm(p.grad for p in parameters if p.grad is not None)


def clip_gradient(parameters: Iterable[nn.Parameter], norm: Tensor, most: float) -> None:
    """Shorten a gradient of this norm to `most`, as torch's `clip_grads_with_norm_` does, in each process its own part.

    As distributed tensors, hundreds at once would keep torch busy for many seconds at the first step.
    """
    gradients = [local(p.grad) for p in parameters if p.grad is not None]
    torch._foreach_mul_(gradients, torch.clamp(most / (norm + 1e-6), max=1.0))


def update(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, norm: Tensor, loss: Tensor) -> None:
    """Take the optimizer's step, with gradients that `scaler` has unscaled, unless loss or norm are not finite.

    Then neither weights nor moments nor step counts change; infinite gradients of fp16 lower the loss scale. Fused
    optimizers of torch are told so by a tensor. Any other (AdamW in 8 bits) is asked on the CPU, which waits for the
    device once in a step.
    """
    skip = ~(norm.isfinite() & loss.isfinite())
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = skip.float()  # type: ignore[attr-defined]
        optimizer.step()
        del optimizer.found_inf  # type: ignore[attr-defined]
    elif not skip:
        optimizer.step()
    # Its own `step` would replace `found_inf`; `unscale_` has told it already which gradients are infinite.
    scaler.update()
