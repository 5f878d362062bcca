"""The networks that detectors use: a weights file, checked once, and loaded where it is needed."""

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
"""The default batch size on a GPU; a CPU gains nothing from more than one image."""

_loading = threading.Lock()


@dataclass(frozen=True)
class ComputeSettings:
    """Where and how a network computes."""

    device: str = "cpu"
    """As torch names it."""
    precision: str = "fp32"
    """fp32, bf16 or fp16: the dtype of weights and activations."""
    batch_size: int = 1
    """Batch size."""

    @classmethod
    def from_options(
        cls, device: str = "auto", precision: str = "auto", batch_size: int | None = None
    ) -> "ComputeSettings":
        """From the values of the command line: `auto` is the first device that is available, and fp32 everywhere.

        Raises UsageError for a device that is not available, and for unknown values.
        """
        from cn.devices import choose_device, sampling_dtype

        where = choose_device(device)
        dtype = sampling_dtype("fp32" if precision == "auto" else precision, where)
        return cls(str(where), precision_of(dtype), batch_size or (1 if where.type == "cpu" else GPU_BATCH))


@dataclass(frozen=True)
class Network:
    """A weights file that has been identified."""

    family: str
    """The family of `cn.detect.registry` that its network belongs to."""
    path: str
    sha256: str
    class_name: str
    """The class of `cn.detect.nets` that it holds."""
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    stamp: tuple[int, ...] = ()
    """Of the file when it was identified (`cn.files.stamp`)."""

    @property
    def spec(self) -> registry.NetworkSpec:
        return registry.spec_of(self.class_name)

    @property
    def title(self) -> str:
        return self.spec.title

    @property
    def device(self) -> str:
        return self.compute.device

    @property
    def precision(self) -> str:
        return self.compute.precision

    @property
    def batch_size(self) -> int:
        return self.compute.batch_size

    def module(self) -> "nn.Module":
        """The network, loaded once for all threads of this process."""
        with _loading:
            return _load(self.family, self.path, self.stamp, self.device, self.precision)


def open_network(family: str, path: str, compute: ComputeSettings | None = None) -> Network:
    """Load the weights once, so that an unsuitable file fails before any image is read.

    Raises WeightsError when it is missing or holds another network, InputError when it is damaged.
    """
    compute, stamp = compute or ComputeSettings(), files.stamp(path)
    with _loading:
        network = _load(family, path, stamp, compute.device, compute.precision)
    return Network(family, path, files.sha256(path), type(network).__name__, compute, stamp)


# A dataset may be built with all kinds in one pass.
@functools.lru_cache(maxsize=8)
def _load(family: str, path: str, stamp: tuple[int, ...], device: str, precision: str) -> "nn.Module":
    import torch

    from cn.detect.nets.cpu import optimize_for_cpu
    from cn.detect.nets.loading import load_net

    network = load_net(family, path)
    if device == "cpu" and precision == "fp32":
        return optimize_for_cpu(network)
    # Some of cuDNN's convolutions sum in any order, so that the last bits would differ from run to run.
    torch.backends.cudnn.deterministic = True
    return _serialized(network.to(device, dtype_of(precision)))


def _serialized(network: "nn.Module") -> "nn.Module":
    """The same network, called by one thread at a time, so that the memory for a batch is needed once."""
    turn, forward = threading.Lock(), network.forward

    def locked(*inputs: "torch.Tensor") -> Any:
        with turn:
            return forward(*inputs)

    network.forward = locked  # type: ignore[assignment]
    return network
