"""Data-parallel pretraining: each of several processes has a GPU, its own images and the same weights."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from cn.train.distributed.environment import launched


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process writes files and talks."""
    return rank() == 0


def launched_device(device: torch.device) -> torch.device:
    """The GPU of this process, where a launcher started several; otherwise `device`."""
    place = launched()
    return device if place is None or device.type != "cuda" else torch.device("cuda", place.local_rank)


def same_start(tensors: Sequence[Tensor]) -> None:
    """Give all processes the tensors of the first one."""
    if count() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def average(gradients: Tensor) -> None:
    """The mean over all processes, in place."""
    if count() > 1:
        dist.all_reduce(gradients)
        gradients /= count()


def agree(value: float) -> float:
    """The first process's number, for all: when a session ends depends on its clock."""
    if count() == 1:
        return value
    said = torch.tensor([value], dtype=torch.float64)
    dist.broadcast(said, 0)
    return float(said)


def wait() -> None:
    """Until all processes are here."""
    agree(0.0)
