"""An experiment: where it stands in the paper, what is run for it, and what its numbers are asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tools.paper.results import Results
from tools.paper.spec import Arm, Run
from tools.paper.verdicts import Claim

Plot = Literal["scores", "losses", "distances", "dots"]


@dataclass(frozen=True)
class Sweep:
    """A line of a plot: a number of an arm over an option of sampling."""

    label: str
    axis: str
    field: Literal["gain", "distance", "prompt_wins"]
    arm: Arm
    evaluations: Mapping[float, str]
    """Value of the option → name of the evaluation."""


@dataclass(frozen=True)
class Experiment:
    """`name` is what `ONLY` calls it. `asked` gives its claims for what has been measured so far."""

    name: str
    place: str
    """Figure or section of the paper."""
    title: str
    what: str
    """What is run, in a few sentences."""
    arms: tuple[Arm, ...]
    asked: Callable[[Results], list[Claim]]
    plots: tuple[Plot, ...] = ("dots",)
    sheets: tuple[str, ...] = ()
    """Names of image sheets: ARM-EVALUATION."""
    sweeps: tuple[Sweep, ...] = ()
    evaluations: tuple[str, ...] = ()
    """Those that its table shows; all of its arms where none is named."""

    @property
    def runs(self) -> list[Run]:
        return [run for arm in self.arms for run in arm.runs]
