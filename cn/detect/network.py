"""The networks that detectors use: a file looked into once, loaded where it computes."""

import functools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cn import files
from cn.detect import registry
from cn.precision import dtype_of, precision_of

if TYPE_CHECKING:
    import torch
    from torch import nn

GPU_BATCH = 8
"""Images that go through a GPU at once, unless it is said otherwise; a processor gains nothing by more than one."""

_loading = threading.Lock()


@dataclass(frozen=True)
class Running:
    """Where and how a network computes."""

    device: str = "cpu"
    """As torch names it."""
    precision: str = "fp32"
    """fp32, bf16 or fp16: the number format of weights and activations."""
    batch: int = 1
    """Images that go through at once."""

    @classmethod
    def chosen(cls, device: str = "auto", precision: str = "auto", batch: int | None = None) -> "Running":
        """From the words of the command line: `auto` is the first device that is there, and fp32 everywhere.

        Raises UsageError for a device that is not here, or words that are none.
        """
        from cn.devices import choose_device, sampling_dtype

        where = choose_device(device)
        dtype = sampling_dtype("fp32" if precision == "auto" else precision, where)
        return cls(str(where), precision_of(dtype), batch or (1 if where.type == "cpu" else GPU_BATCH))


@dataclass(frozen=True)
class Network:
    """A file of weights that has been looked into."""

    family: str
    """The family of `cn.detect.registry` that its network belongs to."""
    path: str
    sha256: str
    name: str
    """The class of `cn.detect.nets` that it holds."""
    running: Running = field(default_factory=Running)

    @property
    def spec(self) -> registry.NetworkSpec:
        return registry.spec_of(self.name)

    @property
    def title(self) -> str:
        return self.spec.title

    @property
    def device(self) -> str:
        return self.running.device

    @property
    def precision(self) -> str:
        return self.running.precision

    @property
    def batch(self) -> int:
        return self.running.batch

    def ready(self) -> "nn.Module":
        """The network, loaded once for all threads of this process."""
        with _loading:
            return _load(self.family, self.path, self.device, self.precision)


def open_network(family: str, path: str, running: Running | None = None) -> Network:
    """Load the weights once, so that a file that does not serve fails before any image is read.

    Raises WeightsError when it is missing or holds another network, InputError when it is damaged.
    """
    running = running or Running()
    with _loading:
        network = _load(family, path, running.device, running.precision)
    return Network(family, path, files.sha256(path), type(network).__name__, running)


# Two: a body's network and that of its hands.
@functools.lru_cache(maxsize=2)
def _load(family: str, path: str, device: str, precision: str) -> "nn.Module":
    import torch

    from cn.detect.nets.cpu import rearranged
    from cn.detect.nets.loading import open_net

    network = open_net(family, path)
    if device == "cpu" and precision == "fp32":
        return rearranged(network)
    # Some of cuDNN's convolutions add up in any order, and would give other last bits each time.
    torch.backends.cudnn.deterministic = True
    return _one_at_a_time(network.to(device, dtype_of(precision)))


def _one_at_a_time(network: "nn.Module") -> "nn.Module":
    """The same network, but threads wait for each other: what it needs for a batch is then in memory once."""
    turn, forward = threading.Lock(), network.forward

    def alone(*inputs: "torch.Tensor") -> Any:
        with turn:
            return forward(*inputs)

    network.forward = alone  # type: ignore[assignment]
    return network
