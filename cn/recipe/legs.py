"""What the training stages share: budgets, learning rates, averaged weights, resumable state."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from cn.files import open_atomic


@dataclass
class Budget:
    """How far a stage goes: to `steps`, or as many as fit in `minutes` summed over all its legs.

    `leg_minutes` ends one call early, leaving the rest to the next. `step` and `seconds` are what is done so far.
    """

    steps: int | None = None
    minutes: float | None = None
    leg_minutes: float = 9.0
    step: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ValueError("a budget needs steps or minutes")
        self._leg_start = self._mark = time.monotonic()

    def tick(self) -> None:
        """Count one step and the time since the last."""
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
    def leg_over(self) -> bool:
        return time.monotonic() - self._leg_start > 60 * self.leg_minutes

    def learning_rate(self, peak: float, *, warmup: int, decay_from: float) -> float:
        """Linear warm-up over `warmup` steps, flat, then a cosine to 1 % over the last part of the budget."""
        rate = peak * min(1.0, (self.step + 1) / warmup)
        if self.fraction <= decay_from:
            return rate
        done = (self.fraction - decay_from) / (1 - decay_from)
        return rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True)
class Rates:
    """What every stage needs to be told: the optimiser's settings and the seed."""

    batch_size: int = 256
    rate: float = 1e-3
    warmup: int = 400
    decay_from: float = 0.5
    average: float = 0.999
    seed: int = 0


class AveragedWeights:
    """An exponential moving average of parameters, with a short memory at the beginning."""

    def __init__(self, parameters: list[nn.Parameter], decay: float):
        self.decay = decay
        self.parameters = parameters
        self.average = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], weight)

    @torch.no_grad()
    def apply(self) -> None:
        """Put the averages in place of the weights."""
        for p, a in zip(self.parameters, self.average, strict=True):
            p.copy_(a)


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU; on a CPU single precision, which was faster there for the U-Net."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def train_leg(
    name: str,
    module: nn.Module,
    draw: Callable[[int], tuple[Tensor, ...]],
    state_path: Path,
    budget: Budget,
    rates: Rates,
    *,
    compiled: bool = False,
) -> None:
    """Train the parameters of `module` that require gradients until the budget or the leg is over.

    `module(*draw(step))` is the loss. `state_path` is read if there and written at the end, whole or not at all:
    weights, averages, optimiser, step, time and random state. Leaves the averaged weights in the module.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    device = parameters[0].device
    torch.manual_seed(rates.seed)
    averaged = AveragedWeights(parameters, rates.average)
    optimizer = torch.optim.AdamW(parameters, lr=rates.rate, weight_decay=0.01, fused=device.type == "cuda")
    _restore(state_path, parameters, averaged, optimizer, budget)
    run = torch.compile(module) if compiled else module
    total = torch.zeros((), device=device)
    while budget.fraction < 1 and not budget.leg_over:
        rate = budget.learning_rate(rates.rate, warmup=rates.warmup, decay_from=rates.decay_from)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = draw(budget.step)
        with autocast(device):
            loss = run(*batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        averaged.update(budget.step)
        budget.tick()
        total += loss.detach()
        if budget.step % 200 == 0:
            done = f"{name} step {budget.step} ({100 * budget.fraction:.0f} %), {budget.seconds:.0f} s"
            print(f"{done}, loss {float(total) / 200:.4f}", flush=True)
            total.zero_()
    _save(state_path, parameters, averaged, optimizer, budget)
    averaged.apply()


def _save(
    path: Path,
    parameters: list[nn.Parameter],
    averaged: AveragedWeights,
    optimizer: torch.optim.Optimizer,
    budget: Budget,
) -> None:
    device = parameters[0].device
    with open_atomic(path) as file:
        torch.save(
            {
                "parameters": [p.detach() for p in parameters],
                "average": averaged.average,
                "optimizer": optimizer.state_dict(),
                "step": budget.step,
                "seconds": budget.seconds,
                "random": torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state(),
            },
            file,
        )


@torch.no_grad()
def _restore(
    path: Path,
    parameters: list[nn.Parameter],
    averaged: AveragedWeights,
    optimizer: torch.optim.Optimizer,
    budget: Budget,
) -> None:
    if not path.exists():
        return
    device = parameters[0].device
    state = torch.load(path, map_location=device, weights_only=True)
    for p, saved in zip(parameters, state["parameters"], strict=True):
        p.copy_(saved)
    averaged.average = state["average"]
    optimizer.load_state_dict(state["optimizer"])
    budget.step, budget.seconds = state["step"], state["seconds"]
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["random"].cpu(), device)
    else:
        torch.set_rng_state(state["random"].cpu())
