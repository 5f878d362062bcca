"""How long a stage is trained, over all its sessions, and at which learning rate."""

import math
import time
from dataclasses import dataclass


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
    stopped: bool = False
    """Set by a signal: this session is over."""

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
        """Whether the deadline of this session has passed, or a signal came."""
        return self.stopped or time.monotonic() > self.deadline


def learning_rate(peak: float, step: int, fraction: float, *, warmup: int, decay_from: float) -> float:
    """Linear warm-up over `warmup` steps, flat, then a cosine to 1 % over the last part of the budget."""
    rate = peak * min(1.0, (step + 1) / warmup)
    if fraction <= decay_from:
        return rate
    done = (fraction - decay_from) / (1 - decay_from)
    return rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
