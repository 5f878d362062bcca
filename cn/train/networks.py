"""The networks of a run, what it trains of them and what stays locked: parameters and precision."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from cn.checkpoints.read.load import Control, check_fits
from cn.errors import UsageError, WeightsError
from cn.model.base import Base
from cn.model.concat import ConcatBaseline
from cn.model.config import UNetConfig
from cn.model.controlnet import ControlNet
from cn.model.schedule import Schedule
from cn.model.unet import Block, MiddleBlock
from cn.precision import Precision, check_precision, dtype_of
from cn.train.config import TrainConfig
from cn.train.fast.locked import half_norms, hold_locked
from cn.train.options.model import Unlock
from cn.train.prompt_embeddings import PromptEmbeddings
from cn.train.random_draws import Stream, generator

PROMPTS_TOGETHER = 64
"""Prompts that a GPU encodes at once: enough to be busy, and less memory than a training step takes."""


@dataclass(frozen=True)
class TrainingNetworks:
    """The base (locked, or unlocked in part), the control, and by name every parameter that the optimizer updates."""

    base: Base
    control: ControlNet | ConcatBaseline
    trainable: dict[str, nn.Parameter] = field(repr=False)
    precision: Precision = "fp32"
    replicas: dict[str, nn.Module] = field(default_factory=dict, repr=False)
    """What the training loss calls instead of a network: its replica, where several processes train it."""

    def unlock(self, part: Unlock) -> list[nn.Parameter]:
        """Train this part of the base's U-Net too; returns its parameters."""
        if part == "none":
            return []
        (self.base.unet if part == "all" else self.base.unet.decoder).train().requires_grad_(True)
        added = {f"unet.{name}": p for name, p in self.base.unet.named_parameters() if p.requires_grad}
        self.trainable.update(added)
        hold_locked(self.base, self.precision, keep_original=True)
        return list(added.values())

    @property
    def device(self) -> torch.device:
        return self.base.device

    @cached_property
    def schedule(self) -> Schedule:
        """The base's noise schedule, on the device."""
        return self.base.schedule.to(self.device)

    @cached_property
    def embeddings(self) -> PromptEmbeddings:
        """Embeddings of the prompts, in the precision in which the networks take them."""
        alone = self.device.type != "cuda" or torch.are_deterministic_algorithms_enabled()
        return PromptEmbeddings(dtype_of(self.precision), together=1 if alone else PROMPTS_TOGETHER)

    def autocast(self) -> AbstractContextManager:
        """The context that forward passes run in: half precision where configured, else none."""
        return torch.autocast(self.device.type, dtype_of(self.precision), enabled=self.precision != "fp32")


def choose_precision(requested: str, device: torch.device) -> Precision:
    """`auto` is bf16 on a GPU that supports it, fp16 with loss scaling on any other GPU, fp32 elsewhere.

    Raises UsageError for fp16 elsewhere: fp16 training is supported on CUDA only.
    """
    if requested == "auto":
        if device.type != "cuda":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if requested == "fp16" and device.type != "cuda":
        raise UsageError("--precision fp16: fp16 training is supported on CUDA only; use bf16 or fp32")
    return check_precision(requested)


def new_control(unet: UNetConfig, config: TrainConfig) -> ControlNet | ConcatBaseline:
    """A control of the run's architecture, with torch's initial weights."""
    if config.baseline == "concat":
        return ConcatBaseline(unet)
    return ControlNet(unet, condition_encoder=config.condition_encoder, links=config.links)


def fresh_control(base: Base, config: TrainConfig) -> ControlNet | ConcatBaseline:
    """A trainable copy of the base's encoder, or the baseline; Gaussian weights come from the run's seed."""
    if config.baseline == "concat":
        return new_control(base.config.unet, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.seed, 0, 0, Stream.WEIGHTS).initial_seed())
        control = ControlNet.from_unet(base.unet, condition_encoder=config.condition_encoder, links=config.links)
        return control.gaussian_zero_convolutions() if config.zero_init == "gaussian" else control


def continued_control(control: Control, base: Base, config: TrainConfig) -> ControlNet | ConcatBaseline:
    """A control to start from, as the paper's Hough and scribble models start from Canny's (§3.5).

    Raises WeightsError where it belongs to a U-Net of other shapes, or is the baseline without a ControlNet.
    """
    name = config.init_from or "the run's control"
    check_fits(control, base, name)
    if isinstance(control.model, ControlNet):
        control.model.links = config.links
    elif config.baseline == "none":
        raise WeightsError(
            "is the baseline without a ControlNet (--baseline concat): nothing can start from it", path=name
        )
    return control.model


def assemble(base: Base, control: ControlNet | ConcatBaseline, config: TrainConfig, step: int = 0) -> TrainingNetworks:
    """Lock the base and unlock what is trained after `step` steps (§3.1; §3.4 for the two special cases).

    Small-scale training leaves out the zero convolutions of the decoder connections; large-scale training adds the
    U-Net's decoder or all of it. What is trained stays in fp32 and runs under autocast; what is locked is held in the
    run's precision. Where the base is saved with the run, its weights are kept in fp32 too.
    """
    base.lock()
    control.train().requires_grad_(True)
    if isinstance(control, ControlNet):
        control.zero_convolutions.requires_grad_(control.links == "full")
    trainable = {f"control.{name}": p for name, p in control.named_parameters() if p.requires_grad}
    networks = TrainingNetworks(base, control, trainable, config.precision)
    networks.unlock(config.unlocked_at(step))
    if config.checkpoint_activations:
        for network in (control, base.unet):
            checkpoint_blocks(network)
    hold_locked(base, config.precision, keep_original=config.trains_base)
    if config.precision != "fp32":
        half_norms(control, dtype_of(config.precision))
    return networks


def checkpoint_blocks(network: nn.Module) -> None:
    """Save only each block's input for the backward pass and recompute the rest there: less memory, more time."""
    for block in network.modules():
        if isinstance(block, Block | MiddleBlock):
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]
