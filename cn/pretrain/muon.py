"""Muon (Jordan et al. 2024): each matrix of weights moves by its momentum with all singular values brought near 1.

Own code, because `torch.optim.Muon` takes two-dimensional weights only, one after the other: the few hundred small
matrices of a U-Net are orthogonalized here in one batch for each shape.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Of the quintic iteration, which raises small singular values as fast as possible."""
ITERATIONS = 5
RMS = 0.2
"""The root mean square of an update at a learning rate of 1, about that of AdamW (Liu et al. 2025, Eq. 4)."""


def orthogonalize(matrices: Tensor) -> Tensor:
    """(K, M, N) → nearly U Vᵀ of the singular value decompositions U S Vᵀ, in bf16 on a GPU (Newton-Schulz)."""
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else torch.float32)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """For weights of two or more dimensions, taken as (outputs, all others) matrices."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step with the weights' gradients; weights without one stay as they are."""
        for group in self.param_groups:
            shapes = defaultdict[tuple[int, int], list[Tensor]](list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape[0], p[0].numel()].append(p)
            for weights in shapes.values():
                self._move(weights, group)

    def _move(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """All weights of one shape."""
        states = [self.state[p] for p in weights]
        for p, state in zip(weights, states, strict=True):
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(p)
        moments, gradients = [state["momentum"] for state in states], [p.grad for p in weights if p.grad is not None]
        torch._foreach_lerp_(moments, gradients, 1 - group["momentum"])
        # Nesterov's: the gradient of where the momentum leads.
        ahead = torch._foreach_lerp(gradients, moments, group["momentum"])
        size = weights[0].shape[0], weights[0][0].numel()
        updates = orthogonalize(torch.stack([one.reshape(size) for one in ahead]))
        updates *= -group["lr"] * RMS * max(size) ** 0.5
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, [update.reshape(p.shape) for update, p in zip(updates, weights, strict=True)])
