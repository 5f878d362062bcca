"""FSDP2: each process holds a part of the weights, gradients and moments, and of a block all weights while it computes.

For large-scale training (§3.4), whose moments of the whole U-Net are the largest part of the memory, and with
`--shard-base` for a locked base.
"""

import copy
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeGuard, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cn.errors import UsageError
from cn.model.concat import ConcatBaseline
from cn.model.controlnet import ControlNet
from cn.model.unet import Block, MiddleBlock, UNet
from cn.precision import dtype_of
from cn.train.config import TrainConfig
from cn.train.networks import TrainingNetworks
from cn.train.world import World

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

Network = TypeVar("Network", bound=nn.Module)

GROUP_PARAMETERS = 200_000_000
"""Parameters that are gathered at once, 0.4 GB in half precision. Each gathering keeps the CPU busy for milliseconds:
two H200 take 0.40 s for a large-scale step of Stable Diffusion so, batch 8 each, 0.45 s in groups of 48 million and
0.52 s with a group for each block, which needs 0.6 GiB less."""


def is_sharded(config: TrainConfig, world: World, step: int) -> bool:
    """Whether the weights are distributed over the processes after `step` steps."""
    return world.size > 1 and (config.unlocked_at(step) != "none" or config.shard_base)


def check_sharded(config: TrainConfig, world: World) -> None:
    """UsageError for what sharded weights cannot be trained with."""
    if world.size == 1 or not (config.trains_base or config.shard_base):
        return
    why = "training the base" if config.trains_base else "--shard-base"
    if config.precision == "fp16":
        raise UsageError(f"{why} in several processes cannot be done with --precision fp16; give bf16 or fp32")
    if config.optimizer == "adamw8bit":
        raise UsageError(f"{why} in several processes needs --optimizer adamw: the moments are distributed")
    if config.shard_base and config.large_scale_after:
        raise UsageError("--shard-base cannot be had with --large-scale-after, which distributes the base by itself")


@dataclass(frozen=True)
class Templates:
    """The sharded networks as they are without sharding, and without memory."""

    control: ControlNet | ConcatBaseline
    unet: UNet


def shard(networks: TrainingNetworks, world: World) -> Templates:
    """Distribute the control and the U-Net, in place; `networks.trainable` then holds the distributed parameters.

    The text encoder and the autoencoder stay whole: they are small, and used without gradients.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    unet, control = networks.base.unet, networks.control
    templates = Templates(_on_meta(control), _on_meta(unet))
    mesh = init_device_mesh(networks.device.type, (world.size,))
    half = None if networks.precision == "fp32" else dtype_of(networks.precision)
    # The halves of the U-Net on their own, because one of them may be locked and held in half precision.
    for network in (control, unet.encoder, unet.decoder):
        for group in (*_groups(network), network):
            modules = group if isinstance(group, list) else [group]
            trained = any(p.requires_grad for module in modules for p in module.parameters())
            policy = MixedPrecisionPolicy(
                param_dtype=half if trained else None,
                reduce_dtype=torch.float32 if trained and half else None,
                cast_forward_inputs=False,
            )
            fully_shard(group, mesh=mesh, mp_policy=policy)
    parts: dict[str, nn.Module] = {"control": control, "unet": unet}
    for name in list(networks.trainable):
        part, _, inner = name.partition(".")
        networks.trainable[name] = parts[part].get_parameter(inner)
    return templates


def _groups(network: nn.Module) -> list[list[nn.Module]]:
    """The blocks of a network in the order in which they run, together as many as have GROUP_PARAMETERS."""
    groups, filled = list[list[nn.Module]](), GROUP_PARAMETERS
    for block in (module for module in network.modules() if isinstance(module, Block | MiddleBlock)):
        size = sum(p.numel() for p in block.parameters())
        if filled + size > GROUP_PARAMETERS:
            groups.append([])
            filled = 0
        groups[-1].append(block)
        filled += size
    return groups


def _on_meta(network: Network) -> Network:
    """A copy with all that was done to the network, whose weights take no memory."""
    tensors = [*network.parameters(), *network.buffers()]
    known: dict[int, object] = {id(tensor): torch.empty_like(tensor, device="meta") for tensor in tensors}
    known |= {id(p): nn.Parameter(torch.empty_like(p, device="meta"), False) for p in network.parameters()}
    # The weights in full precision of parts that are held in half, which stay what they are.
    known |= {id(m.held): m.held for m in network.modules() if hasattr(m, "held")}
    return copy.deepcopy(network, known)


def is_distributed(tensor: Tensor | None) -> "TypeGuard[DTensor]":
    """Without importing what `shard` does, which takes a second: before that no tensor is distributed."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def whole(tensor: Tensor) -> Tensor:
    """All of a distributed tensor, in every process; any other tensor as it is."""
    return tensor.full_tensor() if is_distributed(tensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """This process's part of a distributed tensor; any other tensor as it is."""
    return tensor.to_local() if is_distributed(tensor) else tensor


def total_norm(tensors: Iterable[Tensor]) -> Tensor:
    """The Euclidean norm of all tensors together, the same in all processes, with one exchange."""
    tensors = list(tensors)
    norm = torch.nn.utils.get_total_norm([local(tensor) for tensor in tensors])
    return added(norm.square(), tensors).sqrt() if _distributed(tensors) else norm


def added(value: Tensor, tensors: Iterable[Tensor]) -> Tensor:
    """What each process has found in its part of `tensors`, added up; `value` itself where they are not distributed."""
    if not _distributed(tensors):
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total


def _distributed(tensors: Iterable[Tensor]) -> bool:
    return any(is_distributed(tensor) for tensor in tensors)


def like(tensor: Tensor, parameter: Tensor | None) -> Tensor:
    """This process's part of a whole tensor, distributed as `parameter` is; no process sends anything."""
    if not is_distributed(parameter) or tensor.shape != parameter.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = parameter.device_mesh, parameter.placements
    return distribute_tensor(tensor.to(parameter.device), mesh, placements, src_data_rank=None)


def load_whole(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put whole weights into a network, sharded or not."""
    network.load_state_dict({name: like(weights[name], own) for name, own in network.state_dict().items()})


def gathered(
    networks: TrainingNetworks, templates: Templates, world: World, device: torch.device, *, base: bool = True
) -> TrainingNetworks | None:
    """A copy of sharded networks with all their weights on a device of rank 0, to be written or sampled with.

    All processes take part, one parameter after the other; None in all but rank 0. Without `base`, only the control is
    copied.
    """
    control = _gathered(networks.control, templates.control, world, device)
    unet = _gathered(networks.base.unet, templates.unet, world, device) if base else networks.base.unet
    if not world.is_main:
        return None
    return replace(networks, base=replace(networks.base, unet=unet), control=control)


def _gathered(network: Network, template: Network, world: World, device: torch.device) -> Network:
    found = {}
    for name, tensor in network.state_dict().items():
        full = whole(tensor)
        if world.is_main:
            found[name] = full.to(device)
    if not world.is_main:
        return network
    written = _on_meta(template)
    written.load_state_dict(found, assign=True)
    return written.requires_grad_(False)
