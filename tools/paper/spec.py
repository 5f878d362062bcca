"""What an experiment is made of: arms, which are run with several seeds, and what is measured of each run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FORMAT = 2
"""Of records; rises when they hold something else, so that earlier ones are made again."""
Words = tuple[str, ...]
"""Options of a command, as they are typed."""


VALIDATION, OF_TRAINING = "validation", "seen"
"""Data sets that are evaluated on: scenes that nothing is trained on, and some that everything is."""


@dataclass(frozen=True)
class Measured:
    """An evaluation of a run: `cn eval` of its weights, or of those of all its saved states.

    With `sampled`, images come from `cn sample`, which has options that `cn eval` has not (when a control acts).
    """

    name: str
    words: Words = ()
    data: str = VALIDATION
    states: bool = False
    sampled: bool = False

    @property
    def file_name(self) -> str:
        """Its name as a part of names of files."""
        return "".join(c if c.isalnum() or c in ".-" else "-" for c in self.name)


FINAL = Measured("final")
TRAJECTORY = Measured("trajectory", states=True)
SEEN = Measured("seen", data=OF_TRAINING)
NO_PROMPT = Measured("no prompt", ("--prompts", "none"))


@dataclass(frozen=True)
class Arm:
    """One setting of an experiment, with the seeds 0 … seeds - 1.

    `phases` are the options of each `cn train`: the first begins a run, the others resume it.
    """

    name: str
    phases: tuple[Words, ...]
    seeds: int
    kind: str = "canny"
    data: str = ""
    """A data set of `data.Datasets`."""
    base: str = ""
    """A base of `data.Bases`; "" is the one that all of the program uses."""
    evaluations: tuple[Measured, ...] = (FINAL,)
    alone: bool = False
    """Whether time and memory are measured, so that nothing else may run meanwhile."""
    needs_gpu: bool = False

    @property
    def runs(self) -> tuple["Run", ...]:
        return tuple(Run(self, seed) for seed in range(self.seeds))


@dataclass(frozen=True)
class Run:
    """An arm with a seed."""

    arm: Arm
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm.name}-{self.seed}"

    def identity(self, common: Mapping[str, Any]) -> dict[str, Any]:
        """All that decides its numbers, as plain values; `common` is what all runs depend on."""
        arm = {name: value for name, value in asdict(self.arm).items() if name not in ("seeds", "alone", "needs_gpu")}
        return {"format": FORMAT, "seed": self.seed, **arm, "common": dict(common)}


def key_of(identity: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def steps_of(words: Words) -> int:
    """The total of steps that the options of a `cn train` ask for."""
    return int(words[words.index("--steps") + 1])


def batch_of(words: Words) -> int:
    return int(words[words.index("--batch-size") + 1])
