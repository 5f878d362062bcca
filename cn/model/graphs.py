"""CUDA graphs: the kernels of a network are launched as one, where launching each costs more time than it takes."""

import gc
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

MAX_GRAPHS = 8
"""Shapes of batches, or other variants, for which the same function is captured: the buckets of a training run."""
WARM_UP = 3
"""Runs before a capture, in which libraries choose their algorithms and allocate their workspaces (as torch's do)."""
MIN_FREE = 0.5
"""The share of a GPU's memory that is free where its graphs keep theirs while images are sampled."""

R = TypeVar("R")
Key = tuple[str, Hashable, tuple[tuple[int, ...], ...]]
"""The name of a function, what else decides what it computes, and the shapes of the tensors that it takes."""
Replay = Callable[[], Any]
"""Computes again what was captured, from the values that its inputs have now, into the same tensors."""
Capture = Callable[[Callable[[], Any]], Replay]
"""Runs a function, which may leave gradients behind, and captures it."""


@dataclass
class _Graph:
    """What was captured, and the tensors that it reads."""

    inputs: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]
    given: tuple[Tensor, ...]
    """Whose values the constants have; kept, so that no other tensor is taken for one of them."""
    replay: Replay
    function: Callable[..., Any]
    """Kept, so that the networks which a variant names by their identity live as long as the graph."""


class Graphs:
    """Graphs of functions of tensors. They never run at once and therefore share their memory: what one of them returns
    has to be copied before the next one runs.

    Where a capture fails, nothing is captured any more, and `warn` is told once.
    """

    def __init__(
        self,
        warn: Callable[[str], None],
        capture: Capture | None = None,
        free: Callable[[], float] | None = None,
    ):
        self._warn, self._given, self._free = warn, capture, free or self._free_share
        self._capture = capture or CudaCapture()
        self._graphs: dict[Key, _Graph] = {}
        self.failed = False

    def has(
        self, name: str, tensors: tuple[Tensor, ...], variant: Hashable = None, constants: tuple[Tensor, ...] = ()
    ) -> bool:
        """Whether the function of this name is captured for tensors of these shapes."""
        return _key(name, (*tensors, *constants), variant) in self._graphs

    def may_add(self, name: str) -> bool:
        """Whether one more shape may be captured."""
        return not self.failed and sum(kept == name for kept, _, _ in self._graphs) < MAX_GRAPHS

    def add(
        self,
        name: str,
        function: Callable[..., Any],
        tensors: tuple[Tensor, ...],
        variant: Hashable = None,
        constants: tuple[Tensor, ...] = (),
    ) -> bool:
        """Capture a function of tensors, then constants; False where that is not possible."""
        inputs, own = (tuple(tensor.clone() for tensor in given) for given in (tensors, constants))
        try:
            # Streams and graphs are those of the current GPU, which need not be that of the tensors.
            with torch.cuda.device_of(tensors[0]):
                replay = self._capture(lambda: function(*inputs, *own))
        except RuntimeError as error:
            # Of the driver, while it captures, or for want of memory, which the function may have enough of by itself.
            self.failed = True
            self.clear()
            reason = str(error).splitlines()[0]
            self._warn(f"the {name} cannot be captured in a CUDA graph ({reason}): it runs slower")
            return False
        graph = _Graph(inputs, own, constants, replay, function)
        self._graphs[_key(name, (*tensors, *constants), variant)] = graph
        return True

    def replay(
        self, name: str, tensors: tuple[Tensor, ...], variant: Hashable = None, constants: tuple[Tensor, ...] = ()
    ) -> Any:
        """What the captured function computes from these tensors, until the next graph runs.

        `constants` are tensors whose values never change: they are copied only where other ones are given.
        """
        graph = self._graphs[_key(name, (*tensors, *constants), variant)]
        for mine, given in zip(graph.inputs, tensors, strict=True):
            mine.copy_(given, non_blocking=True)
        for mine, given, before in zip(graph.constants, constants, graph.given, strict=True):
            if given is not before:
                mine.copy_(given, non_blocking=True)
        graph.given = constants
        with torch.cuda.device_of(tensors[0]):
            return graph.replay()

    def clear(self) -> None:
        """Forget all graphs, and give back their memory."""
        self._graphs.clear()
        self._capture = self._given or CudaCapture()
        torch.cuda.empty_cache()

    def make_room(self) -> None:
        """Called before images are sampled: on a small GPU the graphs give way, and are captured again later."""
        if self._graphs and self._free() < MIN_FREE:
            self.clear()

    def _free_share(self) -> float:
        """The part of the memory of the graphs' GPU that nothing holds."""
        graph = next(iter(self._graphs.values()))
        free, total = torch.cuda.mem_get_info(graph.inputs[0].device)
        return free / total

    def give_way(self, function: Callable[[], R]) -> R:
        """What a function returns that may be called again; where memory runs out for it, graphs are given up."""
        try:
            return function()
        except torch.OutOfMemoryError:
            if not self._graphs:
                raise
        self.failed = True
        self.clear()
        self._warn("memory ran out: CUDA graphs are given up, the run goes on slower")
        return function()


class CudaCapture:
    """Captures functions in graphs that share one pool of memory. Threads may use the GPU meanwhile."""

    def __init__(self) -> None:
        self._pool: Any = None
        self._stream: Any = None

    def __call__(self, run: Callable[[], Any]) -> Replay:
        # One stream for all: cuBLAS keeps a workspace for each. What others have freed is of no use to it.
        self._stream = stream = self._stream or torch.cuda.Stream()
        torch.cuda.empty_cache()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        # Recomputed activations are in reference cycles: their memory would be missing in the capture, which returns
        # to the GPU what is free before it allocates its own.
        gc.collect()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
            result = run()
        self._pool = graph.pool()

        def replay() -> Any:
            graph.replay()
            return result

        return replay


def _key(name: str, tensors: tuple[Tensor, ...], variant: Hashable) -> Key:
    return name, variant, tuple(tuple(tensor.shape) for tensor in tensors)
