"""When a run has left all bounds, so that its weights are not worth keeping."""

from collections import deque
from collections.abc import Iterable
from statistics import median

import torch

from cn.errors import InputError
from cn.train.distributed.sharded import added, local, total_norm
from cn.train.networks import TrainingNetworks

MAX_LOSS = 1.2
"""Predicting nothing has a loss of 1 (the variance of the noise), an untrained network somewhat more. A run whose
losses are mostly above this, or above this many times its first loss where that is more than 1, is worse than that."""
WINDOW = 10
"""Steps whose median is compared: a spike of a run that recovers does not move it."""
MAX_GROWTH = 3.0
"""Weights whose norm is this many times that at the start of the run have diverged. AdamW moves a weight by about the
learning rate in a step, so a useful rate stays far below this: the bundled controls have 1.0 times their start."""


class DivergedError(InputError):
    """Loss or weights have left all bounds. `since` is the last step whose weights may be good."""

    def __init__(self, what: str, since: int):
        super().__init__(what)
        self.since = since


class LossMonitor:
    """Follows the losses of a run: `first` is that of its first step, `recent` the last WINDOW before a resumption."""

    def __init__(self, first: float | None = None, recent: Iterable[float] = ()):
        self.first = first
        self._recent: deque[float] = deque(recent, maxlen=WINDOW)

    @property
    def recent(self) -> list[float]:
        return list(self._recent)

    def add(self, loss: float, step: int) -> None:
        """Raises DivergedError where the median of the last WINDOW losses is out of bounds."""
        self.first = loss if self.first is None else self.first
        self._recent.append(loss)
        bound = MAX_LOSS * max(1.0, self.first)
        if len(self._recent) == WINDOW and (middle := median(self._recent)) > bound:
            raise DivergedError(
                f"the loss is about {middle:.3g} at step {step}, where predicting nothing has 1", step - WINDOW
            )


def trained_norm(networks: TrainingNetworks) -> float:
    """The Euclidean norm of all trained weights."""
    return float(total_norm(parameter.detach() for parameter in networks.trainable.values()))


def check_weights(networks: TrainingNetworks, step: int, start_norm: float | None) -> None:
    """Raises DivergedError for weights that are not finite, or whose norm is above MAX_GROWTH times `start_norm`."""
    weights = [parameter.detach() for parameter in networks.trainable.values()]
    broken = added(torch.stack([~torch.isfinite(local(weight)).all() for weight in weights]).int(), weights)
    for name, wrong in zip(networks.trainable, broken.tolist(), strict=True):
        if wrong:
            raise DivergedError(f"the weights {name} are no longer finite after step {step}", step - 1)
    if start_norm and (growth := trained_norm(networks) / start_norm) > MAX_GROWTH:
        raise DivergedError(f"the weights are {growth:.3g} times as large after step {step} as at the start", step - 1)
