"""An exponential moving average of the trained weights: what a run with `--ema` previews, evaluates and writes."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from cn.errors import WeightsError
from cn.train.distributed.sharded import local


def decay_at(decay: float, step: int) -> float:
    """The decay of the update after step `step` (from 1): min(decay, (1 + step) / (10 + step)), as in LDM's ema.py.

    It rises to `decay`, so that the average soon forgets where the run started.
    """
    return min(decay, (1 + step) / (10 + step))


class Ema:
    """Averages, in fp32, of exactly the parameters that a run trains; at the start those are the averages."""

    def __init__(self, trainable: Mapping[str, nn.Parameter], decay: float):
        self.decay = decay
        self._trainable = trainable
        self._averages: dict[str, Tensor] = {}
        self.follow()

    def follow(self) -> None:
        """Average what has been added to the trained parameters too, from its present weights on."""
        for name, parameter in self._trainable.items():
            if name not in self._averages:
                self._averages[name] = parameter.detach().to(torch.float32, copy=True)

    def distribute(self, like: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Let the averages be distributed over the processes as the weights are now; `like` does so with one."""
        self._averages = {name: like(average, self._trainable[name]) for name, average in self._averages.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the averages toward the weights after step `step` (from 1); enqueued, nothing waits for the device."""
        averages = [local(average) for average in self._averages.values()]
        weights = [local(weight) for weight in self._trainable.values()]
        torch._foreach_lerp_(averages, weights, 1 - decay_at(self.decay, step))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the networks have the averages for weights, in the same memory; after it exactly their own."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def weights(self) -> dict[str, Tensor]:
        """The weights themselves, by the parameters' names, for resuming exactly."""
        return {name: p.detach() for name, p in self._trainable.items()}

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Return to a saved state, whose averages the networks hold, and whose weights these are.

        A parameter that is not among them (a connection that was added) keeps its value. Raises WeightsError where a
        shape differs.
        """
        self._averages.clear()
        self.follow()
        for name, parameter in self._trainable.items():
            if name not in weights:
                continue
            if weights[name].shape != parameter.shape:
                raise WeightsError(f"the weights {name} have another shape than the run's")
            parameter.copy_(weights[name])

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, average in self._averages.items():
            parameter = self._trainable[name]
            own = parameter.clone()
            parameter.copy_(average)
            average.copy_(own)
