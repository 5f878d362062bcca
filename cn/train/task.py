"""A training run that is ready to go: a new one, or one that is resumed from its folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from cn import conditions
from cn.checkpoints.read.load import Control, open_base, open_control
from cn.data.examples import Source
from cn.data.folder import FolderDataset, stated_kind
from cn.data.records import read_records
from cn.data.scenes import SceneDataset, check_training_seed
from cn.devices import choose_device
from cn.errors import InputError, UsageError, WeightsError
from cn.model.config import Prediction
from cn.train.config import CONFIG_FILE, TrainConfig, changed, default_lr, default_save_every, default_steps
from cn.train.lock import HOLDER, LOCK, check_not_in_use, check_one_process
from cn.train.networks import TrainingNetworks, assemble, choose_precision, continued_control, fresh_control
from cn.train.state import State, find_state
from cn.weights.bundled import BASE_NAME, find, portable_name

_KIND_REQUIRED = "--cond KIND is required; only datasets whose maps carry the metadata of cn state it themselves"
_CHECKED_PAIRS = 256
"""Pairs of a dataset that are read before training starts."""


@dataclass(frozen=True)
class Task:
    """A run's folder, options, networks and data; `state` is what it resumes from."""

    run: Path
    config: TrainConfig
    networks: TrainingNetworks
    source: Source
    state: State | None = None
    overwrite: bool = False
    """Whether a new run replaces what is in its folder."""

    @property
    def step(self) -> int:
        """Optimizer steps that are done."""
        return self.state.step if self.state is not None else 0


def prepare(
    given: Mapping[str, Any],
    *,
    out: Path | None = None,
    resume: Path | None = None,
    device: str = "auto",
    reconnect: bool = False,
    overwrite: bool = False,
) -> Task:
    """Set up a new run in `out` (default: runs/KIND), or the run `resume`, with the options that are `given`.

    `given` are fields of TrainConfig by name; those that are missing get their defaults. Nothing is written yet.
    Raises what `begin` and `reopen` raise.
    """
    if reconnect and resume is None:
        raise UsageError("--reconnect continues a small-scale run: give it with --resume RUN")
    if resume is not None and (out is not None or overwrite):
        raise UsageError("--resume RUN continues in RUN: it takes no --out and no --overwrite")
    check_one_process()
    where = choose_device(device)
    if resume is not None:
        return reopen(resume, given, where, reconnect=reconnect)
    if out is None:
        name = given.get("cond") or _stated_kind(given.get("data", ""))
        if name is None:
            raise UsageError(_KIND_REQUIRED)
        out = Path("runs") / conditions.get(name).kind
    return begin(out, given, where, overwrite=overwrite)


def begin(run: Path, given: Mapping[str, Any], device: torch.device, *, overwrite: bool = False) -> Task:
    """Set up a new run. Nothing is written yet.

    Raises UsageError for a folder that is not empty (unless `overwrite`) and for options that exclude each other,
    InputError for bad data, WeightsError for weights that are missing or do not fit.
    """
    check_not_in_use(run)
    check_folder(run, overwrite)
    given = dict(given)
    base_name = portable_name(given.pop("base", BASE_NAME), role="base")
    base = open_base(find(base_name, role="base"), device, prediction=given.get("prediction") or None)
    init = open_control(find(given["init_from"], role="control"), device) if given.get("init_from") else None
    if init is not None:
        given["init_from"] = portable_name(given["init_from"], role="control")
    size = given.pop("size", base.config.image_size)
    if size % base.config.size_multiple:
        raise UsageError(f"--size must be a multiple of {base.config.size_multiple} for this base, not {size}")
    kind = _kind(given.pop("cond", None), given.get("data", ""), init)
    if init is not None:
        encoder = init.model.condition_encoder_kind
        if given.setdefault("condition_encoder", encoder) != encoder:
            raise UsageError(
                f"{given['init_from']} has the {encoder} condition encoder; --cond-encoder cannot change it"
            )
    config = TrainConfig(
        cond=kind,
        base=base_name,
        base_sha256=base.sha256,
        init_sha256=init.sha256 if init is not None else "",
        size=size,
        steps=given.pop("steps", default_steps(base.config)),
        lr=given.pop("lr", default_lr(base.config)),
        save_every=given.pop("save_every", default_save_every(base.config)),
        precision=choose_precision(given.pop("precision", "auto"), device),
        **given,
    )
    control = fresh_control(base, config) if init is None else continued_control(init, base, config)
    return Task(run, config, assemble(base, control.to(device), config), open_source(config), overwrite=overwrite)


def reopen(run: Path, given: Mapping[str, Any], device: torch.device, *, reconnect: bool = False) -> Task:
    """Set up a run from its folder, to continue exactly from its last saved state.

    Raises UsageError for options that cannot change, InputError or WeightsError for a damaged folder and for a base
    that is no longer the one that the run was started with.
    """
    check_not_in_use(run)
    saved = TrainConfig.load(run)
    if "precision" in given:
        given = {**given, "precision": choose_precision(given["precision"], device)}
    config = changed(saved, given, reconnect=reconnect)
    choose_precision(config.precision, device)
    state = find_state(run)
    if config.steps < state.step:
        raise UsageError(f"{run} already has {state.step} steps; --steps is the total number of steps")
    prediction = cast("Prediction | None", config.prediction or None)
    base = open_base(state.base or find(config.base, role="base"), device, prediction=prediction)
    if state.base is None and base.sha256 != config.base_sha256:
        raise WeightsError(
            f"not the base that {run} was started with; restore that file, or start a new run", path=config.base
        )
    control = continued_control(open_control(state.control, device), base, config)
    return Task(run, config, assemble(base, control, config), open_source(config), state)


def open_source(config: TrainConfig) -> Source:
    """The run's data. Raises InputError for wrong records, images or kinds of map, UsageError for a reserved seed."""
    if not config.data:
        random = config.random_thresholds and config.cond == "canny"
        seed = check_training_seed(config.seed)
        return SceneDataset(config.cond, config.size, seed, random_thresholds=random, count=config.scenes or None)
    pairs = FolderDataset.open(Path(config.data), config.size, conditions.get(config.cond).geometry)
    stated = pairs.stated_kind()
    if stated not in (None, config.cond):
        raise UsageError(f"{config.data} holds {stated} maps, not {config.cond}; give --cond {stated}")
    # A dataset that is wrong as a whole fails here; a single bad file later on is skipped with a warning.
    for place in range(min(pairs.count, _CHECKED_PAIRS)):
        _ = pairs[place * pairs.count // min(pairs.count, _CHECKED_PAIRS)]
    return pairs


def _kind(cond: str | None, data: str, init: Control | None) -> str:
    """The condition's kind: as given, as the maps of the dataset state it, or that of the control to start from."""
    name = cond or _stated_kind(data) or (init.kind if init is not None else None)
    if name is None:
        raise UsageError(_KIND_REQUIRED)
    return conditions.get(name).kind if data else conditions.scene_kind(name)


def _stated_kind(data: str) -> str | None:
    """The kind that the first map of a dataset states."""
    return stated_kind(read_records(Path(data))) if data else None


def check_folder(run: Path, overwrite: bool) -> None:
    """UsageError unless the folder of a new run is empty or may be overwritten; InputError if it is a file."""
    if run.exists() and not run.is_dir():
        raise InputError("is a file, but a folder is needed there", path=run)
    if run.exists() and not overwrite and any(path.name not in (LOCK, HOLDER) for path in run.iterdir()):
        how = f"continue with --resume {run}, or " if (run / CONFIG_FILE).exists() else ""
        raise UsageError(f"{run} is not empty; {how}give another --out, or start again with --overwrite")
