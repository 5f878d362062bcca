"""Engines: each adds the gradient of a micro-batch to the parameters, and returns its loss on the device."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from cn.model.compiled import MAX_SHAPES, compile_errors, reason_of
from cn.train.step_inputs import Shapes, StepInputs

LossOf = Callable[..., Tensor]
"""The loss of the tensors of `StepInputs`."""
Backward = Callable[[Tensor], Tensor]
"""Adds the gradient of a loss to the parameters, weighted as the step needs it; the weighted loss, detached."""


class Engine(Protocol):
    """How gradients are computed."""

    def gradient(self, inputs: StepInputs) -> Tensor:
        """Add the gradient of a micro-batch to the parameters; its share of the loss."""
        ...


class Plain:
    """Kernel by kernel, as the networks are written."""

    def __init__(self, loss_of: LossOf, backward: Backward):
        self.loss_of, self.backward = loss_of, backward

    def gradient(self, inputs: StepInputs) -> Tensor:
        return self.backward(self.loss_of(*inputs.tensors))


class Compiled:
    """Loss and backward pass compiled by torch, for each shape of batch; plain where that is not possible."""

    def __init__(self, plain: Plain, warn: Callable[[str], None], backend: str = "inductor"):
        self.plain, self.warn = plain, warn
        self.compiled: Plain | None = Plain(
            torch.compile(plain.loss_of, dynamic=False, backend=backend), plain.backward
        )
        self.shapes: set[Shapes] = set()

    def gradient(self, inputs: StepInputs) -> Tensor:
        if inputs.shapes not in self.shapes and len(self.shapes) < MAX_SHAPES:
            self.shapes.add(inputs.shapes)
        if self.compiled is None or inputs.shapes not in self.shapes:
            return self.plain.gradient(inputs)
        try:
            return self.compiled.gradient(inputs)
        except compile_errors() as error:
            self.compiled = None
            self.warn(f"the step cannot be compiled here ({reason_of(error)}): it runs as it is, slower")
            return self.plain.gradient(inputs)
