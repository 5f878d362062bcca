"""What a run keeps on disk, so that it can be killed at any instant and resume exactly.

`RUN/state/step-00000100/` holds the weights, the optimizer's moments and the numbers of a saved step. A new state is
written under a temporary name and renamed when all of it is on the disk. `retention` says which ones stay.
`RUN/control.safetensors` (and `base.safetensors` where the base is unlocked) are hard links to the newest state's
files, or copies on file systems without hard links.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import NoneType
from typing import Any

from cn.errors import InputError
from cn.temporaries import link_or_copy, remove_folder, sweep

CONTROL, BASE = "control.safetensors", "base.safetensors"
OPTIMIZER = "optimizer.safetensors"
NUMBERS = "numbers.json"
_NAME = re.compile(r"step-(\d{8})")
_NUMBER = (int, float, NoneType)
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("loss", "start_norm", "start_loss", "lr"), _NUMBER),
    **dict.fromkeys(("scaler", "roll_back", "computed_by", "files"), (dict, NoneType)),
    "recent_losses": (list, NoneType),
}
"""What `numbers.json` holds, as far as this package reads it; runs of earlier versions have less."""


@dataclass(frozen=True)
class State:
    """A run after `step` optimizer steps, kept in `folder`."""

    folder: Path
    step: int
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """What `numbers.json` holds: `cn.train.position` writes and reads it."""
    damaged: tuple[str, ...] = ()
    """What is wrong with newer states, which cannot be used."""

    @property
    def control(self) -> Path:
        return self.folder / CONTROL

    @property
    def base(self) -> Path | None:
        """The unlocked base of large-scale training, if this is such a run."""
        path = self.folder / BASE
        return path if path.exists() else None

    @property
    def start_norm(self) -> float | None:
        """The norm of the trained weights at the start of the run; None in runs of earlier versions."""
        return self.numbers.get("start_norm")


def find_state(run: Path) -> State:
    """The newest state of a run that is whole. Raises InputError where there is none."""
    damaged: list[str] = []
    for step in reversed(saved_steps(run)):
        try:
            return replace(read_state(run, step), damaged=tuple(damaged))
        except InputError as error:
            damaged.append(str(error))
    if damaged:
        raise InputError(f"nothing to resume, and no earlier state is kept: {damaged[0]}", path=run)
    raise InputError("nothing to resume: it has no saved state; start it again with --overwrite", path=run)


def read_state(run: Path, step: int) -> State:
    """The state after `step` steps. Raises InputError for one that is damaged, as far as sizes and numbers show it."""
    folder = state_folder(run, step)
    try:
        numbers = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
        _check(numbers)
        for name, size in (numbers.get("files") or {}).items():
            if (found := (folder / name).stat().st_size) != size:
                raise ValueError(f"{name} has {found:,} of {size:,} bytes")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the state is damaged ({error})", path=folder) from error
    return State(folder, step, numbers)


def _check(numbers: Any) -> None:
    """ValueError for what `numbers.json` cannot hold."""
    if not isinstance(numbers, dict):
        raise ValueError(f"{NUMBERS} is no table")
    wrong = [name for name, types in _TYPES.items() if not isinstance(numbers.get(name), types)]
    if not wrong:
        values = [*(numbers.get("recent_losses") or ()), *(numbers.get("roll_back") or {}).values()]
        wrong = [str(value) for value in values if not isinstance(value, int | float)]
    if wrong:
        raise ValueError(f"{NUMBERS} has a wrong {wrong[0]}")


def kept(run: Path) -> str:
    """What is left of a run on the disk, in words."""
    try:
        state = find_state(run)
    except InputError:
        return "nothing of this run is left on the disk"
    return f"the state after step {state.step} is kept"


def remove_states(run: Path, steps: Iterable[int]) -> None:
    """Delete the states after these steps."""
    for step in steps:
        remove_folder(state_folder(run, step))


def saved_bytes(run: Path) -> int:
    """What the states of a run take on the disk."""
    return sum(state_size(run, step) for step in saved_steps(run))


def state_size(run: Path, step: int) -> int:
    """What one of them takes."""
    return sum(file.stat().st_size for file in state_folder(run, step).iterdir() if file.is_file())


def saved_steps(run: Path) -> list[int]:
    """The steps whose states are there, ascending."""
    return sorted(int(match[1]) for path in (run / "state").glob("step-*") if (match := _NAME.fullmatch(path.name)))


def state_folder(run: Path, step: int) -> Path:
    return run / "state" / f"step-{step:08d}"


def sweep_run(run: Path) -> None:
    """Remove the temporary files that a killed process left in a run's folder."""
    for folder in (run, run / "state", run / "previews", *(run / "state").glob("step-*")):
        sweep(folder)


def link_results(run: Path, folder: Path) -> None:
    """Make a state's weights the run's result: RUN/control.safetensors, complete at every instant."""
    for name in (CONTROL, BASE):
        if (folder / name).exists():
            link_or_copy(folder / name, run / name)
        else:
            # The state is from before the base was unlocked.
            (run / name).unlink(missing_ok=True)
