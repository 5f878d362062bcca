"""Training steps as CUDA graphs."""

from collections.abc import Iterable

from torch import Tensor, nn

from cn.model.graphs import Graphs
from cn.train.fast.engines import Engine
from cn.train.step_inputs import StepInputs


class Captured:
    """An engine that captures what another one does, for each shape of batch, with gradients at fixed addresses.

    Weights may change in place only. A shape beyond MAX_GRAPHS runs as it is, and so does all where capture fails.
    """

    keeps_gradients = True
    NAME = "step"

    def __init__(self, engine: Engine, parameters: Iterable[nn.Parameter], graphs: Graphs):
        self.engine, self.parameters, self.graphs = engine, list(parameters), graphs

    def gradient(self, inputs: StepInputs) -> Tensor:
        if not self.graphs.has(self.NAME, inputs.tensors) and self.graphs.may_add(self.NAME):
            self._add(inputs)
        if not self.graphs.has(self.NAME, inputs.tensors):
            return self.engine.gradient(inputs)
        return self.graphs.replay(self.NAME, inputs.tensors).clone()

    def _add(self, inputs: StepInputs) -> None:
        """Capture a shape; the gradients of the micro-batches before it are put aside meanwhile."""
        before = [None if p.grad is None else p.grad.clone() for p in self.parameters]
        self.graphs.add(self.NAME, lambda *tensors: self.engine.gradient(StepInputs(*tensors)), inputs.tensors)
        for parameter, gradient in zip(self.parameters, before, strict=True):
            if gradient is not None:
                parameter.grad.copy_(gradient)  # type: ignore[union-attr]
            elif parameter.grad is not None:
                parameter.grad.zero_()
