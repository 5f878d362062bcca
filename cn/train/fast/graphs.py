"""Training steps as CUDA graphs."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cn.model.graphs import Graphs
from cn.train.fast.engines import Engine
from cn.train.step_inputs import StepInputs


class Captured:
    """An engine that captures what another one does, for each shape of batch.

    Weights may change in place only. A shape beyond MAX_GRAPHS runs as it is, and so does all where capture fails.
    A graph writes its gradients into the memory that the graphs share: they hold until the next graph runs. Those of a
    step of several micro-batches, which `accumulates`, are added up outside of it.
    """

    NAME = "step"

    def __init__(self, engine: Engine, parameters: Iterable[nn.Parameter], graphs: Graphs, *, accumulates: bool):
        self.engine, self.parameters, self.graphs, self.accumulates = engine, list(parameters), graphs, accumulates

    def gradient(self, inputs: StepInputs) -> Tensor:
        if not self.graphs.has(self.NAME, inputs.tensors) and self.graphs.may_add(self.NAME):
            self.graphs.add(self.NAME, self._computed, inputs.tensors)
        if self.graphs.has(self.NAME, inputs.tensors):
            loss, gradients = self.graphs.replay(self.NAME, inputs.tensors)
        else:
            loss, gradients = self.graphs.give_way(lambda: self._computed(*inputs.tensors))
        self._add(gradients)
        return loss.clone()

    def _computed(self, *tensors: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """A micro-batch's loss and gradients alone: those before it are put aside meanwhile."""
        before = self._taken()
        try:
            loss = self.engine.gradient(StepInputs(*tensors))
            return loss, self._taken()
        finally:
            self._put(before)

    def _taken(self) -> list[Tensor | None]:
        """The gradients, which the parameters no longer hold."""
        gradients = [p.grad for p in self.parameters]
        self._put([None] * len(gradients))
        return gradients

    def _put(self, gradients: list[Tensor | None]) -> None:
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient

    def _add(self, gradients: list[Tensor | None]) -> None:
        """To what the micro-batches before have left, if there are any."""
        sums, more = list[Tensor](), list[Tensor]()
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            if gradient is None:
                continue
            if parameter.grad is None:
                parameter.grad = gradient.clone() if self.accumulates else gradient
            else:
                sums.append(parameter.grad)
                more.append(gradient)
        if sums:
            torch._foreach_add_(sums, more)
