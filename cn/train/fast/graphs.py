"""CUDA graphs: the kernels of a small network's step are launched as one, where each launch costs more than it runs."""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from cn.train.fast.engines import Plain
from cn.train.step_inputs import Shapes, StepInputs

MAX_GRAPHS = 8
"""Shapes of batches that are captured: the buckets of a small base. Each keeps the memory of its activations."""
WARM_UP = 3
"""Runs before a capture, in which libraries choose their algorithms and allocate their workspaces (as torch's do)."""


class Replay(Protocol):
    """Compute again what was captured, from the values that its inputs have now; the same tensor each time."""

    def __call__(self) -> Tensor: ...


Capture = Callable[[Callable[[], Tensor]], Replay]
"""Runs a function, which may leave gradients behind, and captures it."""


class Captured:
    """Loss and backward pass as one graph for each shape of batch, with inputs and gradients at fixed addresses.

    Weights may change in place only. A shape beyond MAX_GRAPHS runs plainly, and so does all where capture fails.
    """

    keeps_gradients = True

    def __init__(
        self,
        plain: Plain,
        parameters: Iterable[nn.Parameter],
        warn: Callable[[str], None],
        capture: Capture | None = None,
    ):
        self.plain, self.parameters, self.warn = plain, list(parameters), warn
        self.capture = capture or cuda_capture
        self.graphs: dict[Shapes, tuple[StepInputs, Replay]] = {}
        self.failed = False

    def gradient(self, inputs: StepInputs) -> Tensor:
        if inputs.shapes not in self.graphs and not self.failed and len(self.graphs) < MAX_GRAPHS:
            self._add(inputs)
        if inputs.shapes not in self.graphs:
            return self.plain.gradient(inputs)
        static, replay = self.graphs[inputs.shapes]
        static.copy_(inputs)
        return replay().clone()

    def _add(self, inputs: StepInputs) -> None:
        """Capture a shape; the gradients of the micro-batches before it are put aside meanwhile."""
        static = inputs.clone()
        before = [None if p.grad is None else p.grad.clone() for p in self.parameters]
        try:
            replay = self.capture(lambda: self.plain.gradient(static))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # Of the driver, while it captures: what it says differs between versions.
            self.failed = True
            self.warn(f"the step cannot be captured in a CUDA graph ({str(error).splitlines()[0]}): it runs slower")
        else:
            self.graphs[inputs.shapes] = static, replay
        for parameter, gradient in zip(self.parameters, before, strict=True):
            if gradient is not None:
                parameter.grad.copy_(gradient)  # type: ignore[union-attr]
            elif parameter.grad is not None:
                parameter.grad.zero_()


def cuda_capture(run: Callable[[], Tensor]) -> Replay:
    """Capture `run` in a CUDA graph. The threads that fetch images may use the GPU meanwhile."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = run()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay
