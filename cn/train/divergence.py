"""When a run has left all bounds, so that its weights are not worth keeping."""

import math

import torch

from cn.errors import InputError
from cn.train.networks import TrainingNetworks

MAX_LOSS = 3.0
"""A network that predicts nothing has a loss of 1 (the variance of the noise). A smoothed loss of three times that is
that of weights which are destroyed; a single spike of a run that recovers does not reach it, being weighted by 0.05."""
MAX_GROWTH = 5.0
"""Weights whose norm is this many times that at the start of the run have diverged. AdamW moves a weight by about the
learning rate in a step: with the paper's 1e-5, hundreds of thousands of steps stay far below this."""


class DivergedError(InputError):
    """Loss or weights have left all bounds."""


def check_loss(loss: float, smoothed: float, step: int) -> None:
    """Raises DivergedError for a loss that is not a finite number, or a smoothed loss above MAX_LOSS."""
    if not math.isfinite(loss):
        raise DivergedError(f"the loss at step {step} is not a finite number")
    if smoothed > MAX_LOSS:
        raise DivergedError(f"the loss has reached {smoothed:.3g} at step {step}, where predicting nothing has 1")


def trained_norm(networks: TrainingNetworks) -> float:
    """The Euclidean norm of all trained weights."""
    weights = (parameter.detach() for parameter in networks.trainable.values())
    norms = [torch.linalg.vector_norm(weight, dtype=torch.float32) for weight in weights]
    return float(torch.linalg.vector_norm(torch.stack(norms)))


def check_weights(networks: TrainingNetworks, step: int, start_norm: float | None) -> None:
    """Raises DivergedError for weights that are not finite, or whose norm is above MAX_GROWTH times `start_norm`."""
    for name, parameter in networks.trainable.items():
        if not torch.isfinite(parameter).all():
            raise DivergedError(f"the weights {name} are no longer finite after step {step}")
    if start_norm and (growth := trained_norm(networks) / start_norm) > MAX_GROWTH:
        raise DivergedError(f"the weights are {growth:.3g} times as large after step {step} as at the start")
