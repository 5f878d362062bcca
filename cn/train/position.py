"""Where a run is: the numbers that a saved state holds besides tensors, so that it goes on exactly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cn.train.config import TrainConfig
from cn.train.divergence import LossMonitor
from cn.train.run_folder import State

ROLL_BACK_FACTOR = 0.5
"""What the learning rate is multiplied with when a run is rolled back. A run that was well for long and then diverges
is a little too fast, and half the rate is enough (OPT-175B went on so, from an earlier checkpoint at a lower rate:
Zhang et al. 2022, §2.5). A rate that is far too high diverges again, and then a person should choose another."""


@dataclass(frozen=True)
class RollBack:
    """A run that diverged went back to the state after step `to`."""

    to: int
    lr_factor: float = ROLL_BACK_FACTOR


@dataclass
class Position:
    """After `step` finished steps: the smoothed loss, the norm of the weights at the start, the latest losses."""

    step: int
    smoothed: float | None
    start_norm: float | None
    losses: LossMonitor
    roll_back: RollBack | None = None

    @classmethod
    def of(cls, state: State | None, config: TrainConfig) -> "Position":
        """That of a saved state, or of a new run. With another learning rate a roll-back is forgotten."""
        numbers: Mapping[str, Any] = {} if state is None else state.numbers
        losses = LossMonitor(numbers.get("start_loss"), numbers.get("recent_losses") or ())
        roll_back = numbers.get("roll_back")
        if roll_back is not None and numbers.get("lr") != config.lr:
            roll_back = None
        return cls(
            step=0 if state is None else state.step,
            smoothed=numbers.get("loss"),
            start_norm=numbers.get("start_norm"),
            losses=losses,
            roll_back=None if roll_back is None else RollBack(**roll_back),
        )

    @property
    def lr_factor(self) -> float:
        """What the learning rate of the schedule is multiplied with."""
        return 1.0 if self.roll_back is None else self.roll_back.lr_factor

    def numbers(self, config: TrainConfig) -> dict[str, Any]:
        """As `numbers.json` holds them."""
        numbers: dict[str, Any] = {"step": self.step, "loss": self.smoothed, "start_norm": self.start_norm}
        numbers |= {"start_loss": self.losses.first, "recent_losses": self.losses.recent, "lr": config.lr}
        return numbers | ({} if self.roll_back is None else {"roll_back": vars(self.roll_back)})
