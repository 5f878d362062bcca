"""Between the CPU and a device without waiting for what the device does meanwhile."""

from dataclasses import dataclass

import torch
from torch import Tensor


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on `device`.

    A copy to a GPU from ordinary memory waits until the GPU has finished all that it was given before; one from pinned
    memory takes its turn there, and the program goes on.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True)
class Download:
    """A tensor on its way from a device to the CPU; what the device is given afterwards does not delay it."""

    tensor: Tensor
    arrived: torch.cuda.Event | None = None

    @classmethod
    def of(cls, tensor: Tensor) -> "Download":
        """Start copying."""
        if tensor.device.type != "cuda":
            return cls(tensor.cpu())
        copy = tensor.to("cpu", non_blocking=True)  # Into pinned memory.
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream(tensor.device))
        return cls(copy, arrived)

    def wait(self) -> Tensor:
        """The tensor on the CPU, once it has arrived."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.tensor
