"""What a run keeps on disk, so that it can be killed at any instant and resume exactly.

`RUN/state/step-00000100/` holds the weights, the optimizer's moments and the numbers of the last saved step. A new
state is written under a temporary name and renamed when it is complete. The one before is kept until the next
steps have shown that the new weights are good.
`RUN/control.safetensors` (and `base.safetensors` where the base is unlocked) are hard links to the newest state's
files, or copies on file systems without hard links.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cn.errors import InputError
from cn.files import write_atomic
from cn.temporaries import link_or_copy, sweep

CONTROL, BASE = "control.safetensors", "base.safetensors"
NUMBERS = "numbers.json"
_NAME = re.compile(r"step-(\d{8})")


@dataclass(frozen=True)
class State:
    """A run after `step` optimizer steps, kept in `folder`. `loss` is the smoothed loss, `scaler` fp16's loss scale."""

    folder: Path
    step: int
    loss: float | None = None
    scaler: Mapping[str, Any] = field(default_factory=dict)
    start_norm: float | None = None
    """The norm of the trained weights at the start of the run; None in runs of earlier versions."""
    start_loss: float | None = None
    """The loss of the first step, where that was taken."""

    @property
    def control(self) -> Path:
        return self.folder / CONTROL

    @property
    def base(self) -> Path | None:
        """The unlocked base of large-scale training, if this is such a run."""
        path = self.folder / BASE
        return path if path.exists() else None


def find_state(run: Path) -> State:
    """The newest complete state of a run. Raises InputError where there is none."""
    found = _saved(run)
    if not found:
        raise InputError("nothing to resume: it has no saved state; start it again with --overwrite", path=run)
    step, folder = found[-1]
    try:
        return state_of(folder, step, json.loads((folder / NUMBERS).read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"the state is damaged ({error})", path=folder) from error


def kept(run: Path) -> str:
    """What is left of a run on the disk, in words."""
    try:
        state = find_state(run)
    except InputError:
        return "nothing of this run is left on the disk"
    return f"the state after step {state.step} is kept"


def keep_only(state: State) -> None:
    """Delete the other states of a run."""
    for path in state.folder.parent.iterdir():
        if path != state.folder:
            shutil.rmtree(path, ignore_errors=True)


def withdraw(run: Path, state: State) -> None:
    """Delete the newest state, whose weights proved to be bad, if there is an earlier one: that is the result now."""
    earlier = [path for step, path in _saved(run) if step < state.step]
    if earlier:
        shutil.rmtree(state.folder, ignore_errors=True)
        if not (earlier[-1] / BASE).exists():
            (run / BASE).unlink(missing_ok=True)  # The base was unlocked in between.
        link_results(run, earlier[-1])


def saved_bytes(run: Path) -> int:
    """What the states of a run take on the disk."""
    return sum(file.stat().st_size for _, folder in _saved(run) for file in folder.iterdir() if file.is_file())


def _saved(run: Path) -> list[tuple[int, Path]]:
    """(step, folder) of each complete state, the newest last."""
    found = ((path, _NAME.fullmatch(path.name)) for path in (run / "state").glob("step-*"))
    return sorted((int(match[1]), path) for path, match in found if match)


def state_of(folder: Path, step: int, numbers: Mapping[str, Any]) -> State:
    return State(
        folder,
        step,
        numbers.get("loss"),
        numbers.get("scaler") or {},
        numbers.get("start_norm"),
        numbers.get("start_loss"),
    )


def sweep_run(run: Path) -> None:
    """Remove the temporary files that a killed process left in a run's folder."""
    for folder in (run, run / "state", run / "previews"):
        sweep(folder)


def link_results(run: Path, folder: Path) -> None:
    """Make a state's weights the run's result: RUN/control.safetensors, complete at every instant."""
    for name in (CONTROL, BASE):
        if (folder / name).exists():
            link_or_copy(folder / name, run / name)


class Metrics:
    """`RUN/metrics.jsonl`: one line per step. A resumed run drops the lines written after its state was saved."""

    def __init__(self, file: Path, step: int):
        self.file = file
        if self.file.exists():
            complete = [line for line in self.file.read_bytes().splitlines(keepends=True) if _step_of(line) <= step]
            write_atomic(self.file, b"".join(complete))

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one line and flush it."""
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(dict(record)) + "\n")


def _step_of(line: bytes) -> float:
    """A line's step; infinity for an incomplete line."""
    try:
        return float(json.loads(line)["step"]) if line.endswith(b"\n") else float("inf")
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return float("inf")
