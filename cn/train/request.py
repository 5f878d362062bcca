"""The request of `cn train`, checked before any network, or torch itself, is loaded."""

from collections.abc import Mapping, Sequence
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
from cn.train.distributed.environment import was_restarted
from cn.train.lock import HOLDER, LOCK, check_not_in_use
from cn.train.moved import with_absolute_paths
from cn.train.options.checks import check_installed
from cn.train.options.combinations import check_combination, with_implied
from cn.train.preview_conditions import read_preview_conditions
from cn.train.run_folder import State, find_state
from cn.train.trackers.installed import check_wandb
from cn.units import parse_bytes
from cn.weights.bundled import BASE_NAME, find

_RESOLVED = ("base", "init_from", "precision", "accumulate")
"""Options that a run keeps in another form than they are given: as a file, for a device, for a number of processes."""
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
    pairs: tuple[Pairs, ...] = ()
    """Those of each dataset; none for the built-in scenes."""
    fit: str | None = None
    """The memory that the run may take: a number of bytes, or "auto"."""


def check_request(
    given: Mapping[str, Any],
    *,
    out: Path | None = None,
    resume: Path | None = None,
    device: str = "auto",
    reconnect: bool = False,
    overwrite: bool = False,
    fit: str | None = None,
) -> TrainRequest:
    """Check what can be checked without networks: options, folders, the dataset's lines, whether its images exist.

    Raises UsageError for options that exclude each other, InputError for bad data or folders and while another process
    trains there, WeightsError for weights that are missing.
    """
    given = with_absolute_paths(given)
    if reconnect and resume is None:
        raise UsageError("--reconnect continues a small-scale run: give it with --resume RUN")
    check_combination(with_implied(given))
    if resume is not None and (out is not None or overwrite):
        raise UsageError("--resume RUN continues in RUN: it takes no --out and no --overwrite")
    if fit is not None and fit != "auto":
        parse_bytes(fit)
    if resume is not None and fit is not None:
        raise UsageError("--fit is for a new run; a run that is resumed keeps its batches and its optimizer")
    check_wandb(given.get("wandb", ""))
    if device != "auto":
        check_device(device)
    check_installed(given.get("optimizer", "adamw"))
    if resume is not None:
        return _resumed(resume, given, reconnect)
    pairs = open_pairs_of(given.get("data", ()), given.get("cond"))
    name = given.get("cond") or stated_kinds(pairs)
    if out is None:
        if name is None:
            raise UsageError(KIND_REQUIRED)
        out = Path("runs") / conditions.get(name).kind
    check_not_in_use(out)
    if was_restarted() and (again := _begun(out, given)) is not None:
        return again
    check_folder(out, overwrite)
    find(given.get("base") or BASE_NAME, role="base")
    if given.get("init_from"):
        find(given["init_from"], role="control")
    elif name is None:
        raise UsageError(KIND_REQUIRED)
    if name is not None:
        check_kind(conditions.get(name).kind, given.get("data", ()), pairs)
    if not pairs:
        check_training_seed(given.get("seed", 0))
    read_preview_conditions(given.get("preview_cond", ()), given.get("preview_prompt", ()), name)
    return TrainRequest(out, given, overwrite=overwrite, pairs=pairs, fit=fit)


def open_pairs_of(data: Sequence[str], kind: str | None) -> tuple[Pairs, ...]:
    """The pairs of each dataset of a run; none for the built-in scenes.

    Where the kind is not given, that of the first dataset that states one decides which maps the next ones give.
    """
    found = list[Pairs]()
    for path in data:
        found.append(open_pairs(path, kind))
        kind = kind or stated_kind(found[-1])
    return tuple(found)


def stated_kinds(pairs: Sequence[Pairs]) -> str | None:
    """The kind that the first dataset which states one states."""
    return next((kind for each in pairs if (kind := stated_kind(each)) is not None), None)


def check_kind(kind: str, data: Sequence[str], pairs: Sequence[Pairs]) -> None:
    """UsageError if a dataset states another kind of maps."""
    for path, each in zip(data, pairs, strict=True):
        stated = stated_kind(each)
        if stated not in (None, kind):
            instead = f"give --cond {stated}" if len(data) == 1 else "all --data of a run hold maps of one kind"
            raise UsageError(f"{path} holds {stated} maps, not {kind}; {instead}")


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


def _begun(run: Path, given: Mapping[str, Any]) -> TrainRequest | None:
    """The run to go on with, where torchrun starts the command of a new run again, which has saved a state already.

    None where there is none, or one of other options: that is not the run that this command has begun.
    """
    same = {name: value for name, value in given.items() if name not in _RESOLVED}
    try:
        return _resumed(run, same, False)
    except (InputError, UsageError):
        return None


def _resumed(run: Path, given: Mapping[str, Any], reconnect: bool) -> TrainRequest:
    check_not_in_use(run)
    saved, state = TrainConfig.load(run), find_state(run)
    # What "auto" stands for depends on the device.
    given_now = {name: value for name, value in given.items() if name != "precision"}
    config = changed(saved, given_now, state.step, reconnect=reconnect)
    check_steps(run, config, state)
    if state.base is None:
        find(config.base, role="base")
    read_preview_conditions(config.preview_cond, config.preview_prompt, config.cond)
    pairs = open_pairs_of(config.data, config.cond)
    return TrainRequest(run, given, state, reconnect, pairs=pairs)
