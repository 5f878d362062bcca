"""How a stage computes gradients: on a GPU with kernels of its own, in the faster layout, as one CUDA graph."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from cn.model.graphs import Graphs
from cn.model.kernel_choice import use_training_kernels

NAME = "training step"


def warn(message: str) -> None:
    """Tell what makes a stage slower, on stderr."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


@cache
def _warn_once(message: str) -> None:
    warn(message)


def prepare(module: nn.Module, device: torch.device) -> bool:
    """On a GPU: lay out the weights for the kernels that train in bf16. Whether these work; if not, a warning says why.

    Before weights are copied (`MasterWeights`), so that the copies have the same layout.
    """
    if device.type != "cuda":
        return False
    torch.backends.cudnn.benchmark = True
    reason = use_training_kernels([module], device, torch.bfloat16)
    if reason is not None:
        _warn_once(f"GPU kernels cannot be compiled here ({reason}): training takes longer")
    return reason is None


def choose_memory_format(module: nn.Module, batch: tuple[Tensor, ...]) -> None:
    """Convert the convolution weights to the faster of the two memory formats, as measured on `batch`."""
    times = {}
    for memory_format in (torch.channels_last, torch.contiguous_format):
        module.to(memory_format=memory_format)
        for repeat in range(8):
            if repeat == 4:
                torch.cuda.synchronize()
                start = time.monotonic()
            module(*batch).backward()
            module.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        times[memory_format] = time.monotonic() - start
    best = min(times, key=lambda memory_format: times[memory_format])
    module.to(memory_format=best)
    fast, slow = (1000 * seconds / 4 for seconds in sorted(times.values()))
    print(f"{best}: {fast:.1f} ms per pass, the other {slow:.1f} ms", flush=True)


class Gradient:
    """The loss of `module(*tensors)`, whose gradient it leaves in `parameters`.

    With `graphs` both are captured in a CUDA graph, in whose memory they stay until the next call; where that fails,
    they are computed as they are.
    """

    def __init__(self, module: Callable[..., Tensor], parameters: Sequence[nn.Parameter], graphs: Graphs | None):
        self.module, self.parameters, self.graphs = module, parameters, graphs

    def __call__(self, *tensors: Tensor) -> Tensor:
        if self.graphs is None:
            loss, gradients = self._computed(*tensors)
        else:
            loss, gradients = self._captured(self.graphs, tensors)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss

    def _captured(self, graphs: Graphs, tensors: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor | None]]:
        if not graphs.has(NAME, tensors) and graphs.may_add(NAME):
            graphs.add(NAME, self._computed, tensors)
        if graphs.has(NAME, tensors):
            return graphs.replay(NAME, tensors)
        return graphs.give_way(lambda: self._computed(*tensors))

    def _computed(self, *tensors: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """Loss and gradients, which the parameters no longer hold."""
        for parameter in self.parameters:
            parameter.grad = None
        loss = self.module(*tensors)
        loss.backward()
        gradients = [parameter.grad for parameter in self.parameters]
        for parameter in self.parameters:
            parameter.grad = None
        return loss.detach(), gradients
