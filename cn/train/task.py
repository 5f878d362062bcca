"""A training run that is ready to go: a new one, or one that is resumed from its folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch

from cn import conditions, options
from cn.checkpoints.read.load import Control, open_base, open_control
from cn.data.examples import Source
from cn.data.folder import Findings, FolderDataset, stated_kind
from cn.data.pairs import Pairs, open_pairs
from cn.data.scenes import SceneDataset
from cn.data.seeds import check_training_seed
from cn.devices import choose_device
from cn.errors import UsageError, WeightsError
from cn.model.base import Base
from cn.model.config import Prediction
from cn.model.controlnet import ControlNet
from cn.train.cache.find import Found, find_cache
from cn.train.cache.reader import LatentCache
from cn.train.captions import cut_captions
from cn.train.config import TrainConfig, changed
from cn.train.given_file import check_hash
from cn.train.lock import check_not_in_use
from cn.train.networks import TrainingNetworks, assemble, choose_precision, continued_control, fresh_control
from cn.train.options.combinations import check_combination, combination_warnings, with_implied
from cn.train.options.defaults import default_lr, default_save_every, default_steps
from cn.train.request import KIND_REQUIRED, TrainRequest, check_folder, check_kind, check_request, check_steps
from cn.train.request import open_data as open_pairs_of
from cn.train.run_folder import State, find_state
from cn.weights.bundled import BASE_NAME, find, portable_name


@dataclass(frozen=True)
class Task:
    """A run's folder, options, networks and data; `state` is what it resumes from."""

    run: Path
    config: TrainConfig
    networks: TrainingNetworks
    source: Source
    findings: Findings = field(default_factory=Findings)
    """What is wrong with the data."""
    state: State | None = None
    overwrite: bool = False
    """Whether a new run replaces what is in its folder."""
    cache: LatentCache | None = None
    """The latents of the dataset, where they were encoded before."""

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
    given = options.normalized(TrainConfig, given)
    request = check_request(given, out=out, resume=resume, device=device, reconnect=reconnect, overwrite=overwrite)
    return open_task(request, device)


def open_task(request: TrainRequest, device: str = "auto") -> Task:
    """Set up a run that was checked by `check_request`: load its networks, look at its images."""
    where = choose_device(device)
    if request.state is not None:
        return reopen(request.run, request.given, where, reconnect=request.reconnect, pairs=request.pairs)
    return begin(request.run, request.given, where, overwrite=request.overwrite, pairs=request.pairs)


def begin(
    run: Path,
    given: Mapping[str, Any],
    device: torch.device,
    *,
    overwrite: bool = False,
    pairs: Pairs | None = None,
) -> Task:
    """Set up a new run; `pairs` are the records of its dataset, if they were read already. Nothing is written yet.

    Raises UsageError for options that exclude each other, InputError for bad data and for a folder that is not empty
    (unless `overwrite`), WeightsError for weights that are missing or do not fit.
    """
    check_not_in_use(run)
    check_folder(run, overwrite)
    given = with_implied(given)
    check_combination(given)
    expected = {role: given.pop(f"{role}_sha256", "") for role in ("base", "init")}
    base_name = portable_name(given.pop("base", BASE_NAME), role="base")
    base = open_base(find(base_name, role="base"), device, prediction=given.get("prediction") or None)
    init = open_control(find(given["init_from"], role="control"), device) if given.get("init_from") else None
    if init is not None:
        given["init_from"] = portable_name(given["init_from"], role="control")
        check_hash(given["init_from"], "--init-from", expected["init"], init.sha256)
    check_hash(base_name, "--base", expected["base"], base.sha256)
    size = given.pop("size", base.config.image_size)
    if size % base.config.size_multiple:
        raise UsageError(f"--size must be a multiple of {base.config.size_multiple} for this base, not {size}")
    if pairs is None:
        pairs = open_pairs_of(given.get("data", ()), given.get("cond"))
    kind = _kind(given.pop("cond", None), pairs, init)
    if init is not None and isinstance(init.model, ControlNet):
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
    source, findings, cache = open_data(config, base, pairs)
    networks = assemble(base, control.to(device), config)
    return Task(run, config, networks, source, findings, overwrite=overwrite, cache=cache)


def reopen(
    run: Path,
    given: Mapping[str, Any],
    device: torch.device,
    *,
    reconnect: bool = False,
    pairs: Pairs | None = None,
) -> Task:
    """Set up a run from its folder, to continue exactly from its last saved state.

    Raises UsageError for options that cannot change, InputError or WeightsError for a damaged folder and for a base
    that is no longer the one that the run was started with.
    """
    check_not_in_use(run)
    saved = TrainConfig.load(run)
    if "precision" in given:
        given = {**given, "precision": choose_precision(given["precision"], device)}
    state = find_state(run)
    config = changed(saved, given, state.step, reconnect=reconnect)
    check_steps(run, config, state)
    choose_precision(config.precision, device)
    prediction = cast("Prediction | None", config.prediction or None)
    base = open_base(state.base or find(config.base, role="base"), device, prediction=prediction)
    if state.base is None and base.sha256 != config.base_sha256:
        raise WeightsError(
            f"not the base that {run} was started with; restore that file, or start a new run", path=config.base
        )
    control = continued_control(open_control(state.control, device), base, config)
    source, findings, cache = open_data(config, base, pairs)
    networks = assemble(base, control, config, state.step)
    return Task(run, config, networks, source, findings, state, cache=cache)


def open_data(
    config: TrainConfig, base: Base, pairs: Pairs | None = None
) -> tuple[Source, Findings, LatentCache | None]:
    """The run's data, what is wrong with it, and the cache of its latents; then the base needs no encoder any more.

    Raises what `open_source` raises.
    """
    source, findings = open_source(config, pairs)
    unreached = combination_warnings(options.values(config))
    findings = replace(findings, warnings=(*findings.warnings, *unreached))
    if not isinstance(source, FolderDataset):
        return source, findings, None
    cut = cut_captions(findings.prompts, base.config.text)
    found = find_cache(source.pairs, config) if config.cache else Found()
    if found.cache is not None and not config.trains_base:
        # A base that is trained is saved, and all of it.
        base.vae.encoder.to("meta")
    return source, replace(findings, warnings=(*findings.warnings, *cut, *found.warnings)), found.cache


def open_source(config: TrainConfig, pairs: Pairs | None = None) -> tuple[Source, Findings]:
    """The run's data, and what is wrong with it.

    Raises InputError where most of the data is broken, UsageError for another kind of map and for a reserved seed.
    """
    if not config.data:
        random = config.random_thresholds and config.cond == "canny"
        seed = check_training_seed(config.seed)
        scenes = SceneDataset(config.cond, config.size, seed, random_thresholds=random, count=config.scenes or None)
        return scenes, Findings()
    dataset = FolderDataset(pairs or open_pairs(config.data[0], config.cond), config.size, config.cond)
    check_kind(config.cond, config.data, dataset.pairs)
    return dataset, dataset.check(config.data[0])


def _kind(cond: str | None, pairs: Pairs | None, init: Control | None) -> str:
    """The condition's kind: as given, as the maps of the dataset state it, or that of the control to start from."""
    name = cond or (stated_kind(pairs) if pairs is not None else None) or (init.kind if init is not None else None)
    if name is None:
        raise UsageError(KIND_REQUIRED)
    return conditions.get(name).kind if pairs is not None else conditions.scene_kind(name)
