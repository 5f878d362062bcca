"""The report that is kept with the weights: figures, stages of training, judges and hardware."""

import json
import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from cn.eval.bootstrap import Figure
from cn.files import sha256, write_atomic
from cn.pretrain.hardware import hardware
from cn.pretrain.judges import DENSE, READER

Figures = dict[str, Any]


class Clock:
    """How long the parts of an evaluation take."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._mark = time.monotonic()

    def lap(self, name: str) -> None:
        """Print and keep how long the part that has just ended took."""
        now = time.monotonic()
        self.seconds[name] = round(now - self._mark, 1)
        self._mark = now
        print(f"evaluate: {name}, {self.seconds[name]:.1f} s", flush=True)


def number(value: float, digits: int = 3) -> float | None:
    """Rounded; None for what is not defined."""
    return round(float(value), digits) if math.isfinite(value) else None


def interval(figure: Figure) -> list[float] | None:
    """The 95 % interval of a figure, by the bootstrap."""
    return None if figure.interval is None else [round(bound, 3) for bound in figure.interval]


def with_interval(figure: Figure) -> Figures:
    """A figure with its interval."""
    return {"value": number(figure.value), "interval": interval(figure)}


def stages_of(work: Path) -> Figures:
    """The records of the stages trained so far, by the name of the stage."""
    paths = sorted(work.glob("stage-*.json"))
    return {path.stem.removeprefix("stage-"): json.loads(path.read_text()) for path in paths}


def is_complete(work: Path, stage: str) -> bool:
    """Whether a stage was completed in this folder (weights copied into it do not count)."""
    records = stages_of(work).get(stage, [])
    return bool(records) and records[-1]["complete"] and (work / f"{stage}.pt").exists()


def write_report(work: Path, figures: Figures, device: torch.device) -> None:
    """Write `report.json` into the work folder."""
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "evaluated_on": hardware(device),
        "torch": torch.__version__.split("+")[0],
        "stages": stages_of(work),
        "judges": {Path(name).stem: {"sha256": sha256(work / name)} for name in (READER, DENSE)},
        "figures": figures,
    }
    write_atomic(work / "report.json", (json.dumps(report, indent=2) + "\n").encode())
