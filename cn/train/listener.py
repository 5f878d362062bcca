"""Who is told of the progress of a run."""

from collections.abc import Callable
from typing import Protocol

from cn.train.evaluation.records import Evaluation
from cn.train.trainer import StepResult


class Listener(Protocol):
    """Shows a run to a person."""

    def step(self, result: StepResult) -> None: ...

    def evaluated(self, evaluation: Evaluation) -> None: ...

    def note(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...


class SilentListener:
    """Shows nothing; gives each step to `on_step`, where that is set."""

    def __init__(self, on_step: Callable[[StepResult], None] | None = None):
        self._on_step = on_step

    def step(self, result: StepResult) -> None:
        if self._on_step is not None:
            self._on_step(result)

    def evaluated(self, evaluation: Evaluation) -> None: ...

    def note(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...
