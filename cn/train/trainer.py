"""What a step changes: weights, optimizer, loss scale; and the step itself."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cn.model.engine import PLAIN, SamplingEngine
from cn.model.graphs import Graphs
from cn.train.config import TrainConfig
from cn.train.distributed.checkpoint import distributed
from cn.train.distributed.parallel import Parallel, make_parallel
from cn.train.distributed.sharded import is_sharded, like
from cn.train.divergence import DivergedError
from cn.train.ema import Ema
from cn.train.fast.choice import PLAIN as AS_WRITTEN
from cn.train.fast.choice import Way, choose_way, may_capture
from cn.train.fast.choose import choose_encode, choose_engine
from cn.train.fast.engines import Engine, Plain
from cn.train.fast.kernels import prepare_kernels
from cn.train.fast.update import Numbers, clip_gradient, gradient_norm, update
from cn.train.feed import Encode
from cn.train.latent_batches import LatentBatch
from cn.train.loss import diffusion_loss
from cn.train.networks import TrainingNetworks
from cn.train.optimizer import make_optimizer
from cn.train.optimizer_state import load_optimizer_tensors, optimizer_tensors
from cn.train.schedule import learning_rate
from cn.train.step_inputs import step_inputs
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
    values: Numbers
    """Loss and gradient norm."""
    lr: float
    scaled: bool

    def numbers(self) -> tuple[float, float]:
        """Loss and gradient norm, once the device has computed them.

        Raises DivergedError where one of them is not a finite number: the step has changed no weight then. With fp16 an
        infinite gradient only lowers the loss scale.
        """
        loss, norm = self.values.wait()
        for name, value, counts in (("loss", loss, True), ("gradient", norm, not self.scaled)):
            if counts and not math.isfinite(value):
                raise DivergedError(f"the {name} at step {self.step} is not a finite number", self.step - 2)
        return loss, norm


class Trainer:
    """The networks of a run with everything that an optimizer step changes. `step` counts those that were enqueued."""

    def __init__(
        self,
        networks: TrainingNetworks,
        config: TrainConfig,
        step: int = 0,
        world: World = ALONE,
        warn: Callable[[str], None] = lambda message: None,
    ):
        self.networks, self.config, self.step, self.world = networks, config, step, world
        prepare_kernels(networks, config, warn, local=self.local)
        self.parallel = self._make_parallel()
        self.optimizer = make_optimizer(networks, config)
        self.scaler = torch.amp.GradScaler(networks.device.type, enabled=networks.precision == "fp16")
        """Loss scaling, which only fp16 needs; it is disabled otherwise."""
        self._warn, self.graphs = warn, Graphs(warn)
        self.engine = self._choose_engine()
        """How gradients are computed."""
        self.ema = Ema(networks.trainable, config.ema) if config.ema else None
        self.lr_factor = 1.0
        """The learning rate is the schedule's times this: less than 1 after a run was rolled back."""

    @property
    def local(self) -> bool:
        """Whether this process computes gradients without waiting for others in between, or could do so."""
        return self.world.is_local and not is_sharded(self.config, self.world, self.step)

    def _way(self) -> Way:
        left = self.config.steps - self.step
        return choose_way(self.networks, self.config, left, self.networks.device, local=self.local)

    def _make_parallel(self) -> Parallel:
        local = self.local and self._way() != AS_WRITTEN
        return make_parallel(self.networks, self.config, self.world, self.step, local=local)

    def _choose_engine(self) -> Engine:
        loss = partial(loss_of, self.networks, self.config)
        self.graphs.clear()
        if self.parallel.sharded:
            if self.config.compile:
                self._warn("the step is not compiled: the weights are distributed over the processes")
            return Plain(loss, self._backward)
        return choose_engine(self.networks, self.config, self._way(), loss, self._backward, self.graphs, self._warn)

    @property
    def sampling_engine(self) -> SamplingEngine:
        """What computes previews and evaluations: on a GPU their steps are captured, as those of training may be."""
        captured = may_capture(self.config, self.networks.device, local=self.local)
        return SamplingEngine(self.graphs) if captured else PLAIN

    def encode(self, kept: int | None) -> Encode:
        """What encodes the images of the remaining steps: `kept` ones once, or each batch anew."""
        left = self.config.steps - self.step
        return choose_encode(self.networks, self.config, left, kept, self.graphs, self._warn, local=self.local)

    def averaged(self) -> AbstractContextManager:
        """The context in which the networks are those that the run writes: averaged, where that is asked for."""
        return self.ema.applied() if self.ema is not None else nullcontext()

    @contextmanager
    def sampling(self, *, averaged: bool = True) -> Iterator[TrainingNetworks | None]:
        """Networks to sample with, in the first process: those that the run writes. All processes call this."""
        if not self.parallel.sharded and not self.world.is_main:
            yield None
            return
        self.graphs.make_room()
        with self.averaged() if averaged else nullcontext():
            if not self.parallel.sharded:
                yield self.networks
                return
            copied = self.parallel.whole(self.networks, self.world)
        yield copied

    def state_tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a saved state holds besides the weights: {stem of the file: {name: tensor on the CPU}}.

        Called in every process, between two steps.
        """
        files = {"optimizer": optimizer_tensors(self.networks, self.optimizer)}
        if self.ema is not None:
            files["weights"] = {name: tensor.cpu().contiguous() for name, tensor in self.ema.weights().items()}
        return files

    def load_state_tensors(self, files: Mapping[str, Mapping[str, Tensor]]) -> None:
        """The inverse of `state_tensors`; also in the middle of a run, which is then rolled back."""
        load_optimizer_tensors(self.networks, self.optimizer, files["optimizer"])
        if self.ema is not None:
            # The networks hold what the state's files of weights hold: the averages.
            self.ema.load(files["weights"])

    def _distribute(self) -> None:
        """Each process has a part of the weights from now on: now the moments of the base would take its memory."""
        moments = optimizer_tensors(self.networks, self.optimizer)
        self.parallel = self._make_parallel()
        self.optimizer = make_optimizer(self.networks, self.config)
        parts = distributed({"optimizer": moments}, self.networks)
        load_optimizer_tensors(self.networks, self.optimizer, parts["optimizer"])
        if self.ema is not None:
            self.ema.distribute(like)

    def state_numbers(self) -> dict[str, Any]:
        """The rest of it, which is written as JSON."""
        return {"scaler": self.scaler.state_dict()}

    def load_state_numbers(self, numbers: Mapping[str, Any]) -> None:
        """The inverse of `state_numbers`."""
        if numbers.get("scaler"):
            self.scaler.load_state_dict(dict(numbers["scaler"]))

    def unlock(self) -> None:
        """Train the base too from the next step on, as large-scale training does later in a run (§3.4).

        Its parameters join the optimizer with fresh moments, as those of a run that is resumed there.
        """
        added = self.networks.unlock(self.config.unlocked_at(self.step))
        if self.world.size > 1:
            self._distribute()
        else:
            self.optimizer.add_param_group({"params": added})
        if self.ema is not None:
            self.ema.follow()
        self.engine = self._choose_engine()

    def take_step(self, micro_batches: Iterator[LatentBatch]) -> PendingStep:
        """Enqueue one optimizer step over `accumulate` micro-batches of this process, without waiting for the device.

        Loss and gradient are the means over those of all processes.
        """
        self.optimizer.zero_grad()
        rate = self.lr_factor * learning_rate(self.config, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = []
        for micro in range(self.config.accumulate):
            with self.parallel.accumulating(last=micro == self.config.accumulate - 1):
                losses.append(self._gradient(next(micro_batches), self.world.number(micro)))
        parameters = self.networks.trainable.values()
        self.parallel.average(parameters)
        self.scaler.unscale_(self.optimizer)
        norm = gradient_norm(parameters)
        if self.config.max_grad_norm:
            clip_gradient(parameters, norm, self.config.max_grad_norm)
        total = self.world.mean(torch.stack(losses).sum())
        # The first one allocates the moments.
        self.graphs.give_way(lambda: update(self.optimizer, self.scaler, norm, total))
        self.step += 1
        if self.ema is not None:
            self.ema.update(self.step)
        return PendingStep(self.step, Numbers.of(total, norm), rate, self.scaler.is_enabled())

    def _gradient(self, batch: LatentBatch, micro: int) -> Tensor:
        """Add a micro-batch's share of the gradient; its share of the loss."""
        if isinstance(self.engine, Plain):
            return self._backward(batch_loss(self.networks, self.config, batch, self.step, micro))
        return self.engine.gradient(step_inputs(self.networks, self.config, batch, self.step, micro))

    def _backward(self, loss: Tensor) -> Tensor:
        share = loss / self.config.accumulate
        self.scaler.scale(share).backward()
        return share.detach()


def batch_loss(networks: TrainingNetworks, config: TrainConfig, batch: LatentBatch, step: int, micro: int) -> Tensor:
    """Eq. 10 for one micro-batch, with its random draws; the text is encoded without a graph."""
    return loss_of(networks, config, *step_inputs(networks, config, batch, step, micro).tensors)


def loss_of(
    networks: TrainingNetworks, config: TrainConfig, z0: Tensor, hint: Tensor, text: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Eq. 10 for the tensors of `StepInputs`, in the run's precision."""
    with networks.autocast():
        return diffusion_loss(
            networks.base.unet,
            networks.replicas.get("control", networks.control),
            networks.schedule,
            z0,
            hint.float() / 255,
            text,
            t,
            noise,
            min_snr=config.min_snr,
        )
