"""The training loop: random draws, the loss of Eq. 10, AdamW."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cn.train import random_draws
from cn.train.config import TrainConfig
from cn.train.divergence import DivergedError
from cn.train.latent_batches import LatentBatch
from cn.train.loss import diffusion_loss
from cn.train.networks import TrainingNetworks
from cn.train.random_draws import Stream, generator

SMOOTHING = 0.05
"""Weight of a step's loss in the smoothed loss that is shown and written to the metrics."""


@dataclass(frozen=True)
class StepResult:
    """Step `step` (from 1): its loss, the smoothed loss, the norm of its gradient, its time in seconds."""

    step: int
    loss: float
    smoothed: float
    grad_norm: float
    seconds: float


class Listener(Protocol):
    """Shows a run to a person."""

    def step(self, result: StepResult) -> None: ...

    def note(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...


class SilentListener:
    """Shows nothing; gives each step to `on_step`, where that is set."""

    def __init__(self, on_step: Callable[[StepResult], None] | None = None):
        self._on_step = on_step

    def step(self, result: StepResult) -> None:
        if self._on_step is not None:
            self._on_step(result)

    def note(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...


def make_scaler(networks: TrainingNetworks) -> torch.amp.GradScaler:
    """Loss scaling, which only fp16 needs; it is disabled otherwise."""
    return torch.amp.GradScaler(networks.device.type, enabled=networks.precision == "fp16")


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


def optimize(
    networks: TrainingNetworks,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    config: TrainConfig,
    micro_batches: Iterator[LatentBatch],
    step: int,
) -> tuple[float, float]:
    """One optimizer step over `accumulate` micro-batches → (mean loss, gradient norm).

    Raises DivergedError, before any weight is touched, when loss or gradient is not a finite number (with fp16 an
    infinite gradient only lowers the loss scale).
    """
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for micro in range(config.accumulate):
        loss = batch_loss(networks, config, next(micro_batches), step, micro) / config.accumulate
        total += loss.item()
        if not math.isfinite(total):
            raise DivergedError(f"the loss at step {step + 1} is not a finite number", step - 1)
        scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    # Clipped at infinity: this only measures. The paper does not clip.
    norm = float(torch.nn.utils.clip_grad_norm_(networks.trainable.values(), math.inf))
    if not math.isfinite(norm) and not scaler.is_enabled():
        raise DivergedError(f"the gradient at step {step + 1} is not a finite number", step - 1)
    scaler.step(optimizer)
    scaler.update()
    return total, norm


def steps(
    networks: TrainingNetworks,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    config: TrainConfig,
    micro_batches: Iterator[LatentBatch],
    start: int,
    smoothed: float | None,
) -> Iterator[StepResult]:
    """Train from `start` steps on to `config.steps`, yielding after each. Raises DivergedError."""
    for step in range(start, config.steps):
        began = time.perf_counter()
        loss, norm = optimize(networks, optimizer, scaler, config, micro_batches, step)
        smoothed = loss if smoothed is None else smoothed + SMOOTHING * (loss - smoothed)
        yield StepResult(step + 1, loss, smoothed, norm, time.perf_counter() - began)
