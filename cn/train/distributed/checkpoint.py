"""The state of a sharded run, by torch.distributed.checkpoint: each process writes and reads its part of the moments.

The weights, a third of a state, are written by rank 0 as one file each, because people sample with them while the run
goes on. The rest can be read by any number of processes, also by one.

What is needed of torch is imported late, because that takes a second.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cn.errors import InputError
from cn.train.distributed.sharded import like
from cn.train.networks import TrainingNetworks
from cn.train.world import World

if TYPE_CHECKING:
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

METADATA = ".metadata"
"""The file that says what is in the others; it is written last."""
Files = dict[str, dict[str, Tensor]]
"""What a state holds besides the weights: stem of a file → name → tensor; names are "PARAMETER/exp_avg" or so."""


def save_shards(folder: Path | None, files: Mapping[str, Mapping[str, Tensor]], world: World) -> None:
    """Write the parts of all processes into a folder that rank 0 has made and gives; all processes call this.

    Raises InputError, in all of them, where one cannot write.
    """
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.api import CheckpointException

    where = Path(world.broadcast(str(folder)))
    tensors = {f"{stem}:{name}": tensor for stem, named in files.items() for name, tensor in named.items()}
    try:
        dcp.save(tensors, checkpoint_id=where)
    except CheckpointException as error:
        rank, (cause, _) = min(error.failures.items())
        raise InputError(f"cannot be written by rank {rank}: {cause}", path=where) from error


def has_shards(folder: Path) -> bool:
    return (folder / METADATA).exists()


def load_shards(folder: Path, networks: TrainingNetworks, *, sharded: bool) -> Files:
    """This process's parts, or all of it where it holds whole weights. Raises InputError for damaged files."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    try:
        stored = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
        tensors: dict[str, Any] = {
            key: _empty(networks, key, entry)
            for key, entry in stored.items()
            if isinstance(entry, TensorStorageMetadata)
        }
        with warnings.catch_warnings():
            # That one process reads it alone is no news.
            warnings.filterwarnings("ignore", "torch.distributed is disabled")
            dcp.load(tensors, checkpoint_id=folder, no_dist=not sharded)
    except (CheckpointException, OSError, ValueError, RuntimeError, EOFError) as error:
        raise InputError(f"the optimizer's state is damaged ({error})", path=folder) from error
    files: Files = {}
    for key, tensor in tensors.items():
        stem, _, name = key.partition(":")
        files.setdefault(stem, {})[name] = tensor
    return files


def distributed(files: Mapping[str, Mapping[str, Tensor]], networks: TrainingNetworks) -> Files:
    """This process's parts of a state that one process, or processes with whole weights, have written."""
    return {
        stem: {name: like(tensor, networks.trainable.get(_parameter(name))) for name, tensor in named.items()}
        for stem, named in files.items()
    }


def _parameter(name: str) -> str:
    return name.partition("/")[0]


def _empty(networks: TrainingNetworks, key: str, entry: "TensorStorageMetadata") -> Tensor:
    """Where a tensor is read into: distributed as its parameter; a step count is whole."""
    parameter = networks.trainable.get(_parameter(key.partition(":")[2]))
    if parameter is not None and entry.size == parameter.shape:
        return torch.empty_like(parameter.detach(), dtype=entry.properties.dtype)
    return torch.empty(entry.size, dtype=entry.properties.dtype)
