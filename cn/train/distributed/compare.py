"""That all processes train the same: checked once at the start, because other weights would spoil all in silence."""

import hashlib

import torch
from torch import Tensor

from cn import __version__, options
from cn.errors import UsageError
from cn.train.task import Task
from cn.train.world import World

_VIEWS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def check_same(task: Task, world: World) -> None:
    """Raises UsageError, in all processes, where one has other software, options, data or weights than rank 0."""
    if world.size == 1:
        return
    everything = world.exchange(_facts(task))
    for rank, facts in enumerate(everything):
        for name, value in facts.items():
            if value != everything[0][name]:
                raise UsageError(
                    f"rank {rank} has other {name} than rank 0 ({value}; {everything[0][name]}): "
                    "all machines need the same files, versions and options"
                )


def _facts(task: Task) -> dict[str, str]:
    base = task.networks.base
    networks = {"control": task.networks.control, **base.networks}
    weights = [f"{name}:{checksum(list(net.state_dict().values()))}" for name, net in networks.items()]
    settings = options.to_toml(task.config).encode()
    return {
        "versions": f"cn {__version__}, torch {torch.__version__}",
        "options": hashlib.sha256(settings).hexdigest()[:12],
        "data": f"{task.source.count} pairs",
        "precision": task.networks.precision,
        "weights": " ".join(weights),
        "step": str(task.step),
    }


def checksum(tensors: list[Tensor]) -> int:
    """The sum of all bits of tensors, read as whole numbers: it depends on neither the device nor an order of sums."""
    sums = [
        tensor.detach().contiguous().view(_VIEWS[tensor.element_size()]).sum(dtype=torch.int64)
        for tensor in tensors
        if not tensor.is_meta
    ]
    return int(torch.stack(sums).sum()) if sums else 0
