"""The request of `cn train`, checked before any network, or torch itself, is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cn import conditions
from cn.data.folder import stated_kind
from cn.data.pairs import Pairs, open_pairs
from cn.data.seeds import check_training_seed
from cn.errors import InputError, UsageError
from cn.options import check_device
from cn.train.config import CONFIG_FILE, TrainConfig, changed
from cn.train.lock import HOLDER, LOCK, check_not_in_use, check_one_process
from cn.train.options.combinations import check_combination, with_implied
from cn.train.run_folder import State, find_state
from cn.weights.bundled import BASE_NAME, find

KIND_REQUIRED = "--cond KIND is required; only datasets whose maps carry the metadata of cn state it themselves"


@dataclass(frozen=True)
class TrainRequest:
    """A run that is wanted: a new one in `run`, or the one there that is continued from `state`."""

    run: Path
    given: Mapping[str, Any]
    """Fields of TrainConfig by name; those that are missing get their defaults."""
    state: State | None = None
    reconnect: bool = False
    overwrite: bool = False
    pairs: Pairs | None = None
    """Those of the dataset, where there is one."""


def check_request(
    given: Mapping[str, Any],
    *,
    out: Path | None = None,
    resume: Path | None = None,
    device: str = "auto",
    reconnect: bool = False,
    overwrite: bool = False,
) -> TrainRequest:
    """Check what can be checked without networks: options, folders, the dataset's lines, whether its images exist.

    Raises UsageError for options that exclude each other, InputError for bad data or folders and while another process
    trains there, WeightsError for weights that are missing.
    """
    if reconnect and resume is None:
        raise UsageError("--reconnect continues a small-scale run: give it with --resume RUN")
    check_combination(with_implied(given))
    if resume is not None and (out is not None or overwrite):
        raise UsageError("--resume RUN continues in RUN: it takes no --out and no --overwrite")
    check_one_process()
    if device != "auto":
        check_device(device)
    if resume is not None:
        return _resumed(resume, given, reconnect)
    pairs = open_data(given.get("data", ()), given.get("cond"))
    name = given.get("cond") or (stated_kind(pairs) if pairs is not None else None)
    if out is None:
        if name is None:
            raise UsageError(KIND_REQUIRED)
        out = Path("runs") / conditions.get(name).kind
    check_not_in_use(out)
    check_folder(out, overwrite)
    find(given.get("base") or BASE_NAME, role="base")
    if given.get("init_from"):
        find(given["init_from"], role="control")
    elif name is None:
        raise UsageError(KIND_REQUIRED)
    if name is not None:
        check_kind(conditions.get(name).kind, given.get("data", ()), pairs)
    if pairs is None:
        check_training_seed(given.get("seed", 0))
    return TrainRequest(out, given, overwrite=overwrite, pairs=pairs)


def open_data(data: tuple[str, ...], kind: str | None) -> Pairs | None:
    """The pairs of a run's dataset; None for the built-in scenes."""
    if len(data) > 1:
        raise UsageError("give one --data")
    return open_pairs(data[0], kind) if data else None


def check_kind(kind: str, data: tuple[str, ...], pairs: Pairs | None) -> None:
    """UsageError if the scenes have no maps of this kind, or the dataset states another one."""
    if pairs is None:
        conditions.scene_kind(kind)
        return
    stated = stated_kind(pairs)
    if stated not in (None, kind):
        raise UsageError(f"{data[0]} holds {stated} maps, not {kind}; give --cond {stated}")


def check_folder(run: Path, overwrite: bool) -> None:
    """InputError unless the folder of a new run is empty or may be overwritten, and for a file in its place."""
    if run.exists() and not run.is_dir():
        raise InputError("is a file, but a folder is needed there", path=run)
    if run.exists() and not overwrite and any(path.name not in (LOCK, HOLDER) for path in run.iterdir()):
        how = f"continue with --resume {run}, or " if (run / CONFIG_FILE).exists() else ""
        raise InputError(f"is not empty; {how}give another --out, or start again with --overwrite", path=run)


def check_steps(run: Path, config: TrainConfig, state: State) -> None:
    """UsageError if a run has more steps than are wanted."""
    if config.steps < state.step:
        raise UsageError(f"{run} already has {state.step} steps; --steps is the total number of steps")


def _resumed(run: Path, given: Mapping[str, Any], reconnect: bool) -> TrainRequest:
    check_not_in_use(run)
    saved, state = TrainConfig.load(run), find_state(run)
    # What "auto" stands for depends on the device.
    given_now = {name: value for name, value in given.items() if name != "precision"}
    config = changed(saved, given_now, state.step, reconnect=reconnect)
    check_steps(run, config, state)
    if state.base is None:
        find(config.base, role="base")
    pairs = open_data(config.data, config.cond)
    return TrainRequest(run, given, state, reconnect, pairs=pairs)
