"""The memory that a training step needs, from one forward pass with fake tensors (shapes without values)."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from cn.model.base import Base
from cn.model.concat import ConcatBaseline
from cn.model.config import ModelConfig
from cn.model.controlnet import ControlNet
from cn.model.unet import Block, MiddleBlock
from cn.train.config import TrainConfig
from cn.train.loss import diffusion_loss
from cn.train.networks import new_control

FP32_BYTES = 4
_AUTOCAST_FACTOR = 0.6
"""Under autocast most saved tensors are half as large; norms and their inputs are not."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes: all weights; gradients and AdamW's two moments of the trained ones; what autograd saves for one step."""

    weights: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.optimizer + self.activations


def estimate_memory(base_config: ModelConfig, config: TrainConfig) -> MemoryEstimate:
    """The memory of one step of this run besides torch itself; the networks are never created."""
    with FakeTensorMode():
        base = Base.create(base_config).lock()
        control = new_control(base_config.unet, config)
        unlocked = {"none": None, "decoder": base.unet.decoder, "all": base.unet}[config.unlocked_at(config.steps)]
        trained = list(control.parameters())
        if unlocked is not None:
            trained += list(unlocked.requires_grad_(True).parameters())
        everything = [*control.parameters(), *(p for net in base.networks.values() for p in net.parameters())]
        kept = _kept_bytes(base, control, config)
    return MemoryEstimate(
        weights=FP32_BYTES * sum(p.numel() for p in everything),
        optimizer=3 * FP32_BYTES * sum(p.numel() for p in trained),
        activations=round(kept * (1.0 if config.precision == "fp32" else _AUTOCAST_FACTOR)),
    )


def _kept_bytes(base: Base, control: ControlNet | ConcatBaseline, config: TrainConfig) -> int:
    """Compute the loss and add up what autograd saves for its backward pass."""
    saved = _SavedBytes([*base.unet.parameters(), *control.parameters()])
    if config.checkpoint_activations:
        for network in (control, base.unet):
            for module in network.modules():
                if isinstance(module, Block | MiddleBlock):
                    module.register_forward_pre_hook(saved.enter)
                    module.register_forward_hook(saved.leave)
    n, cells = config.batch_size, config.size // base.config.vae.factor
    z = torch.empty(n, base.config.vae.latent_channels, cells, cells)
    text = torch.empty(n, base.config.text.context_length, base.config.unet.context_dim)
    hint = torch.empty(n, control.condition_channels, config.size, config.size)
    t = torch.zeros(n, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(saved.keep, lambda tensor: tensor):
        diffusion_loss(base.unet, control, base.schedule, z, hint, text, t, torch.empty_like(z))
    return saved.total + saved.largest


class _SavedBytes:
    """Counts the bytes that autograd saves, each storage once, without the parameters."""

    def __init__(self, parameters: Iterable[nn.Parameter]):
        # Keeps the tensors alive, so that no other storage gets the same id.
        self.seen: dict[int, Tensor] = {_storage_id(p): p for p in parameters}
        self.total = 0
        self.inside: int | None = None
        self.largest = 0

    def keep(self, tensor: Tensor) -> Tensor:
        """Autograd's pack hook: count a saved tensor."""
        if _storage_id(tensor) not in self.seen:
            self.seen[_storage_id(tensor)] = tensor
            size = tensor.untyped_storage().nbytes()
            if self.inside is None:
                self.total += size
            else:
                self.inside += size
        return tensor

    def enter(self, block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Before a checkpointed block: only its input stays saved."""
        self.total += inputs[0].numel() * inputs[0].element_size()
        self.inside = 0

    def leave(self, block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """After it: what was saved inside exists for one block at a time during the backward pass."""
        self.largest = max(self.largest, self.inside or 0)
        self.inside = None


def _storage_id(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
