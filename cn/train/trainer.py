"""What a step changes: weights, optimizer, loss scale; and the step itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cn.train import random_draws
from cn.train.config import TrainConfig
from cn.train.divergence import DivergedError
from cn.train.latent_batches import LatentBatch
from cn.train.loss import diffusion_loss
from cn.train.networks import TrainingNetworks
from cn.train.optimizer import make_optimizer
from cn.train.optimizer_state import load_optimizer_tensors, optimizer_tensors
from cn.train.random_draws import Stream, generator
from cn.train.schedule import learning_rate
from cn.train.world import ALONE, World


@dataclass(frozen=True)
class StepResult:
    """Step `step` (from 1): its loss, the smoothed loss, the norm of its gradient, its rate, its time in seconds."""

    step: int
    loss: float
    smoothed: float
    grad_norm: float
    lr: float
    seconds: float


@dataclass(frozen=True)
class PendingStep:
    """A step that was enqueued on the device; its numbers are still there."""

    step: int
    loss: Tensor
    grad_norm: Tensor
    lr: float
    scaled: bool

    def numbers(self) -> tuple[float, float]:
        """Loss and gradient norm, once the device has computed them.

        Raises DivergedError where one of them is not a finite number: the step has changed no weight then. With fp16 an
        infinite gradient only lowers the loss scale.
        """
        loss, norm = torch.stack([self.loss, self.grad_norm]).tolist()
        for name, value, counts in (("loss", loss, True), ("gradient", norm, not self.scaled)):
            if counts and not torch.isfinite(torch.tensor(value)):
                raise DivergedError(f"the {name} at step {self.step} is not a finite number", self.step - 2)
        return loss, norm


class Trainer:
    """The networks of a run with everything that an optimizer step changes. `step` counts those that were enqueued."""

    def __init__(self, networks: TrainingNetworks, config: TrainConfig, step: int = 0, world: World = ALONE):
        self.networks, self.config, self.step, self.world = networks, config, step, world
        self.optimizer = make_optimizer(networks, config)
        self.scaler = torch.amp.GradScaler(networks.device.type, enabled=networks.precision == "fp16")
        """Loss scaling, which only fp16 needs; it is disabled otherwise."""
        self.lr_factor = 1.0
        """The learning rate is the schedule's times this: less than 1 after a run was rolled back."""

    def state_tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a saved state holds besides the weights: {stem of the file: {name: tensor on the CPU}}.

        Called in every process, between two steps.
        """
        return {"optimizer": optimizer_tensors(self.networks, self.optimizer)}

    def load_state_tensors(self, files: Mapping[str, Mapping[str, Tensor]]) -> None:
        """The inverse of `state_tensors`; also in the middle of a run, which is then rolled back."""
        load_optimizer_tensors(self.networks, self.optimizer, files["optimizer"])

    def state_numbers(self) -> dict[str, Any]:
        """The rest of it, which is written as JSON."""
        return {"scaler": self.scaler.state_dict()}

    def load_state_numbers(self, numbers: Mapping[str, Any]) -> None:
        """The inverse of `state_numbers`."""
        if numbers.get("scaler"):
            self.scaler.load_state_dict(dict(numbers["scaler"]))

    def take_step(self, micro_batches: Iterator[LatentBatch]) -> PendingStep:
        """Enqueue one optimizer step over `accumulate` micro-batches, without waiting for the device."""
        self.optimizer.zero_grad(set_to_none=True)
        rate = self.lr_factor * learning_rate(self.config, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = []
        for micro in range(self.config.accumulate):
            loss = batch_loss(self.networks, self.config, next(micro_batches), self.step, micro)
            loss = loss / self.config.accumulate
            self.scaler.scale(loss).backward()
            losses.append(loss.detach())
        self.scaler.unscale_(self.optimizer)
        parameters = self.networks.trainable.values()
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        total = torch.stack(losses).sum()
        if torch.isfinite(total) and (torch.isfinite(norm) or self.scaler.is_enabled()):
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.step += 1
        return PendingStep(self.step, total, norm, rate, self.scaler.is_enabled())


def batch_loss(networks: TrainingNetworks, config: TrainConfig, batch: LatentBatch, step: int, micro: int) -> Tensor:
    """Eq. 10 for one micro-batch, with its random draws; the text is encoded without a graph."""

    def generator_for(stream: Stream) -> torch.Generator:
        return generator(config.seed, step, micro, stream)

    base = networks.base
    z0 = batch.sample(generator_for(Stream.POSTERIOR))
    with torch.no_grad():
        prompts = random_draws.drop_prompts(batch.prompts, config.prompt_drop, generator_for(Stream.PROMPT))
        text = batch.encode_text(prompts, base)
    t = random_draws.timesteps(len(z0), base.schedule.steps, generator_for(Stream.TIME)).to(z0.device)
    noise = random_draws.noise_like(z0, generator_for(Stream.NOISE))
    with networks.autocast():
        return diffusion_loss(base.unet, networks.control, base.schedule, z0, batch.hints(), text, t, noise)
