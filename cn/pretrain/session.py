"""One training session of a stage: budget, learning-rate schedule, EMA of the weights, resumable state.

A stage is trained in one or more sessions; each resumes from the state that the last one saved.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cn.files import open_atomic
from cn.model.graphs import Graphs
from cn.pretrain.gpu import Gradient, choose_memory_format, prepare, warn


@dataclass
class Budget:
    """How long a stage is trained: `steps`, or as many steps as fit in `minutes`, summed over all its sessions.

    `deadline` (of time.monotonic) ends this session early; the next session resumes. `step` and `seconds` count all
    sessions so far.
    """

    steps: int | None = None
    minutes: float | None = None
    deadline: float = math.inf
    step: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ValueError("a budget needs steps or minutes")
        self._mark = time.monotonic()

    def start(self) -> None:
        """Start the clock of this session."""
        self._mark = time.monotonic()

    def tick(self) -> None:
        """Count one step and the time since the last one."""
        now = time.monotonic()
        self.step += 1
        self.seconds += now - self._mark
        self._mark = now

    @property
    def fraction(self) -> float:
        """0 at the beginning, 1 when the stage is complete."""
        by_steps = self.step / self.steps if self.steps else 0.0
        by_time = self.seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    @property
    def session_over(self) -> bool:
        """Whether the deadline of this session has passed."""
        return time.monotonic() > self.deadline

    def learning_rate(self, peak: float, *, warmup: int, decay_from: float) -> float:
        """Linear warm-up over `warmup` steps, flat, then a cosine to 1 % over the last part of the budget."""
        rate = peak * min(1.0, (self.step + 1) / warmup)
        if self.fraction <= decay_from:
            return rate
        done = (self.fraction - decay_from) / (1 - decay_from)
        return rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True)
class StageConfig:
    """The settings that all stages share. `ema_decay` is the decay of the exponential moving average of the weights."""

    batch_size: int = 256
    learning_rate: float = 1e-3
    warmup: int = 400
    decay_from: float = 0.5
    ema_decay: float = 0.999
    seed: int = 0


class MasterWeights:
    """The trained parameters of a module in fp32, their EMA, and the optimizer.

    On a GPU, or where `half` says so, the module itself computes in bf16 (twice as fast as autocast, which keeps every
    normalization in fp32); on a CPU it computes in fp32, and master weights and module parameters are the same tensors.
    """

    def __init__(self, module: nn.Module, settings: StageConfig, *, half: bool | None = None):
        self.module = module
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.master = list(self.parameters)
        if self.device.type == "cuda" if half is None else half:
            self.master = [nn.Parameter(p.detach().float().clone()) for p in self.parameters]
            self.gradients = [torch.zeros_like(p) for p in self.master]
            module.to(torch.bfloat16)
        self.ema_decay = settings.ema_decay
        self.ema = [p.detach().clone() for p in self.master]
        self.optimizer = torch.optim.AdamW(
            self.master, lr=settings.learning_rate, weight_decay=0.01, fused=self.device.type == "cuda"
        )

    @torch.no_grad()
    def update(self, learning_rate: float, step: int) -> None:
        """One optimizer step from the module's gradients, which are cleared; then the EMA is updated."""
        if self.master[0] is not self.parameters[0]:
            self._take_gradients()
        nn.utils.clip_grad_norm_(self.master, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._publish(self.master)
        # The decay starts low, so that the EMA soon forgets the initial weights.
        weight = 1 - min(self.ema_decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.ema, [p.detach() for p in self.master], weight)

    def _take_gradients(self) -> None:
        """In fp32, all at once: they are hundreds."""
        taken = [(p, master, own) for p, master, own in zip(self.parameters, self.master, self.gradients, strict=True)]
        for p, master, own in taken:
            master.grad = None if p.grad is None else own
        used = [(own, p.grad) for p, _, own in taken if p.grad is not None]
        torch._foreach_copy_([own for own, _ in used], [grad for _, grad in used])
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def finish(self) -> None:
        """Leave the EMA in the module, in fp32, and in torch's default layout."""
        self.module.float().to(memory_format=torch.contiguous_format)
        self._publish(self.ema)

    def _publish(self, tensors: Sequence[Tensor]) -> None:
        if tensors[0] is not self.parameters[0]:
            torch._foreach_copy_([p.detach() for p in self.parameters], [t.detach() for t in tensors])

    def state(self) -> dict[str, Any]:
        """Everything that a later session needs, for `restore`."""
        cuda = self.device.type == "cuda"
        return {
            "master": [p.detach() for p in self.master],
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
            "random": torch.cuda.get_rng_state(self.device) if cuda else torch.get_rng_state(),
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the `state` of an earlier session."""
        for p, saved in zip(self.master, state["master"], strict=True):
            p.copy_(saved)
        self._publish(self.master)
        self.ema = [torch.empty_like(p.detach()).copy_(t) for p, t in zip(self.master, state["ema"], strict=True)]
        self.optimizer.load_state_dict(state["optimizer"])
        # The fused optimizer takes moments in the layout of the weights, which may not be that of an earlier session.
        for weight in self.master:
            moments = self.optimizer.state[weight]
            for name in moments.keys() & {"exp_avg", "exp_avg_sq"}:
                moments[name] = torch.empty_like(weight.detach()).copy_(moments[name])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random"].cpu(), self.device)
        else:
            torch.set_rng_state(state["random"].cpu())


def autocast(device: torch.device) -> torch.autocast:
    """For passes without gradients: bf16 on a GPU, fp32 on a CPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def train_session(
    name: str,
    module: nn.Module,
    draw: Callable[[int], tuple[Tensor, ...]],
    state_path: Path,
    budget: Budget,
    settings: StageConfig,
) -> None:
    """Train the parameters of `module` that require gradients until the budget is used up or the session is over.

    `module(*draw(step))` is the loss. `state_path` is read if it exists and written atomically at the end: weights,
    EMA, optimizer, step, time and random state. Leaves the EMA of the weights in the module.
    """
    torch.manual_seed(settings.seed)
    with_kernels = prepare(module, next(module.parameters()).device)
    weights = MasterWeights(module, settings)
    on_gpu = weights.device.type == "cuda"
    if state_path.exists():
        state = torch.load(state_path, map_location=weights.device, weights_only=True)
        budget.step, budget.seconds = state["step"], state["seconds"]
        weights.restore(state["weights"])
    if on_gpu and not with_kernels:
        choose_memory_format(module, draw(1))
    gradient = Gradient(module, weights.parameters, Graphs(warn) if on_gpu else None)
    total, since = torch.zeros((), device=weights.device), budget.step
    budget.start()
    while budget.fraction < 1 and not budget.session_over:
        loss = gradient(*draw(budget.step))
        learning_rate = budget.learning_rate(
            settings.learning_rate, warmup=settings.warmup, decay_from=settings.decay_from
        )
        weights.update(learning_rate, budget.step)
        budget.tick()
        total += loss
        if budget.step in (1, 20, 100) or budget.step % 500 == 0:
            done = f"{name} step {budget.step} ({100 * budget.fraction:.0f} %), {budget.seconds:.1f} s"
            print(f"{done}, loss {float(total) / (budget.step - since):.4f}", flush=True)
            total, since = torch.zeros_like(total), budget.step
    with open_atomic(state_path) as file:
        torch.save({"weights": weights.state(), "step": budget.step, "seconds": budget.seconds}, file)
    weights.finish()
