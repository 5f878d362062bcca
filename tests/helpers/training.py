"""Training runs on the tiny base, in this process: short, on one thread, without previews unless asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from cn.train import run
from cn.train import task as tasks
from cn.train.evaluation.records import Evaluation
from cn.train.run import Result
from cn.train.task import Task
from cn.train.trainer import StepResult

CPU = torch.device("cpu")
QUICK = {"batch_size": 2, "preview_every": 0, "lr": 1e-3}


class Listener:
    """Records what it gets; `at_step` may act in the middle of a run."""

    def __init__(self, at_step: Callable[[StepResult], None] | None = None):
        self.results: list[StepResult] = []
        self.evaluations: list[Evaluation] = []
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.at_step = at_step

    def step(self, result: StepResult) -> None:
        self.results.append(result)
        if self.at_step is not None:
            self.at_step(result)

    def evaluated(self, evaluation: Evaluation) -> None:
        self.evaluations.append(evaluation)

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def begin(folder: Path, base: Path, data: Path | str | tuple[Path, ...], **given: Any) -> Task:
    """A new run on a dataset of depth maps, or on several, or with "" on the built-in scenes."""
    sets = data if isinstance(data, tuple) else (data,) if data else ()
    options = {"cond": "depth", "base": str(base), "data": tuple(map(str, sets)), **QUICK, **given}
    return tasks.begin(folder, options, CPU)


def resume(folder: Path, *, reconnect: bool = False, **given: Any) -> Task:
    return tasks.reopen(folder, given, CPU, reconnect=reconnect)


def train(task: Task, listener: Listener | None = None, workers: int = 0) -> Result:
    return run.train(task, workers=workers, listener=listener or Listener())


def weights(folder: Path, name: str = "control") -> dict[str, Tensor]:
    return load_file(folder / f"{name}.safetensors")


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two sets of weights are bitwise equal."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
