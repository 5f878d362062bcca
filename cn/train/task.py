"""A training run that is ready to go: a new one, or one that is resumed from its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from cn import conditions, options
from cn.checkpoints.read.load import Control, open_base, open_control
from cn.data.examples import Source
from cn.data.folder import Findings
from cn.data.mixture import pair_counts
from cn.data.pairs import Pairs
from cn.devices import choose_device
from cn.errors import UsageError, WeightsError
from cn.model.base import Base
from cn.model.config import Prediction
from cn.model.controlnet import ControlNet
from cn.train.cache.several import Caches
from cn.train.config import TrainConfig, changed
from cn.train.distributed.global_batch import shared_out, with_global_batch
from cn.train.distributed.sharded import check_sharded, is_sharded
from cn.train.evaluation.setup import Evaluations, resumed, set_up
from cn.train.fit import budget_of, fitted
from cn.train.given_file import check_hash
from cn.train.latent_batches import cache_bytes
from cn.train.lock import check_not_in_use
from cn.train.memory import encoded_at_once
from cn.train.moved import check_moved
from cn.train.networks import TrainingNetworks, assemble, choose_precision, continued_control, fresh_control
from cn.train.options.combinations import check_combination, with_implied
from cn.train.options.defaults import default_lr, default_save_every, default_steps
from cn.train.request import (
    KIND_REQUIRED,
    TrainRequest,
    check_folder,
    check_request,
    check_steps,
    open_pairs_of,
    stated_kinds,
)
from cn.train.run_data import open_data
from cn.train.run_folder import State, find_state
from cn.train.world import ALONE, World
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
    cache: Caches | None = None
    """The latents of the datasets, where they were encoded before."""
    fits: str | None = None
    """What was chosen for a memory budget."""
    evaluations: Evaluations = field(default_factory=Evaluations)
    world: World = ALONE
    """The processes that train it together."""

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
    fit: str | None = None,
) -> Task:
    """Set up a new run in `out` (default: runs/KIND), or the run `resume`, with the options that are `given`.

    `given` are fields of TrainConfig by name; those that are missing get their defaults, or with `fit` (a number of
    bytes as "12GB", or "auto") what keeps a new run within that memory. Nothing is written yet.
    Raises what `begin` and `reopen` raise.
    """
    given = options.normalized(TrainConfig, given)
    request = check_request(
        given, out=out, resume=resume, device=device, reconnect=reconnect, overwrite=overwrite, fit=fit
    )
    return open_task(request, device)


def open_task(request: TrainRequest, device: str = "auto", world: World = ALONE) -> Task:
    """Set up a run that was checked by `check_request`: load its networks, look at its images.

    Each process of `world` does so.
    """
    where = choose_device(world.device or device)
    if request.state is not None:
        return reopen(request.run, request.given, where, reconnect=request.reconnect, pairs=request.pairs, world=world)
    return begin(
        request.run,
        request.given,
        where,
        overwrite=request.overwrite,
        pairs=request.pairs,
        fit=request.fit,
        world=world,
    )


def begin(
    run: Path,
    given: Mapping[str, Any],
    device: torch.device,
    *,
    overwrite: bool = False,
    pairs: Sequence[Pairs] = (),
    fit: str | None = None,
    world: World = ALONE,
) -> Task:
    """Set up a new run; `pairs` are the records of its datasets, if they were read already. Nothing is written yet.

    Raises UsageError for options that exclude each other and where nothing fits into the memory `fit`, InputError for
    bad data and for a folder that is not empty (unless `overwrite`), WeightsError for weights that are missing or do
    not fit.
    """
    check_not_in_use(run)
    check_folder(run, overwrite)
    chosen, budget = set(given), budget_of(fit, device) if fit is not None else None
    given = with_implied(given)
    check_combination(given)
    every, images = given.get("eval_every"), given.get("eval_images")
    expected = {role: given.pop(f"{role}_sha256", "") for role in ("base", "init")}
    base_name = portable_name(given.pop("base", BASE_NAME), role="base")
    base_file = find(base_name, role="base")
    base = open_base(base_file, device, prediction=given.get("prediction") or None)
    init_file = find(given["init_from"], role="control") if given.get("init_from") else None
    init = open_control(init_file, device, base=base_file) if init_file is not None else None
    if init is not None:
        given["init_from"] = portable_name(given["init_from"], role="control")
        check_hash(given["init_from"], "--init-from", expected["init"], init.sha256)
    check_hash(base_name, "--base", expected["base"], base.sha256)
    pairs = pairs or open_pairs_of(given.get("data", ()), given.get("cond"))
    config = _configured(given, base_name, base, init, pairs, device)
    if config.shard_base and world.size == 1:
        raise UsageError("--shard-base is for several processes: start them with --nproc N or torchrun")
    control = fresh_control(base, config) if init is None else continued_control(init, base, config)
    source, findings, cache = open_data(config, base, pairs)
    fits = None
    if budget is not None:
        kept = cache_bytes(source, base, config)
        encoded = partial(encoded_at_once, kept, cache=cache)
        local = world.is_local and not is_sharded(config, world, config.steps)
        config, fits = fitted(base.config, config, chosen, budget, device, kept=kept, encoded=encoded, local=local)
    config = with_global_batch(config, given, world.size)
    check_sharded(config, world)
    networks = assemble(base, control.to(device), config)
    no_encoder = cache is not None and cache.complete
    config, evaluations = set_up(config, networks, source, every=every, images=images, cached=no_encoder)
    return Task(run, config, networks, source, findings, None, overwrite, cache, fits, evaluations, world)


def _configured(
    given: dict[str, Any],
    base_name: str,
    base: Base,
    init: Control | None,
    pairs: Sequence[Pairs],
    device: torch.device,
) -> TrainConfig:
    """The configuration of a new run: what is `given`, and defaults that suit the base, the data and the device."""
    given = dict(given)
    size = given.pop("size", base.config.image_size)
    if size % base.config.size_multiple:
        raise UsageError(f"--size must be a multiple of {base.config.size_multiple} for this base, not {size}")
    kind = _kind(given.pop("cond", None), pairs, init)
    if init is not None and isinstance(init.model, ControlNet):
        encoder = init.model.condition_encoder_kind
        if given.setdefault("condition_encoder", encoder) != encoder:
            raise UsageError(
                f"{given['init_from']} has the {encoder} condition encoder; --cond-encoder cannot change it"
            )
    return TrainConfig(
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


def reopen(
    run: Path,
    given: Mapping[str, Any],
    device: torch.device,
    *,
    reconnect: bool = False,
    pairs: Sequence[Pairs] = (),
    world: World = ALONE,
    ours: bool = False,
) -> Task:
    """Set up a run from its folder, to continue exactly from its last saved state; with any number of processes.

    `ours`: this process has the lock on it.

    Raises UsageError for options that cannot change, InputError or WeightsError for a damaged folder and for a base
    that is no longer the one that the run was started with.
    """
    if not ours:
        check_not_in_use(run)
    saved = TrainConfig.load(run)
    if "precision" in given:
        given = {**given, "precision": choose_precision(given["precision"], device)}
    state = find_state(run)
    config = shared_out(changed(saved, given, state.step, reconnect=reconnect), world.size)
    check_steps(run, config, state)
    choose_precision(config.precision, device)
    check_sharded(config, world)
    prediction = cast("Prediction | None", config.prediction or None)
    base = open_base(state.base or find(config.base, role="base"), device, prediction=prediction)
    if state.base is None and base.sha256 != config.base_sha256:
        raise WeightsError(
            f"not the base that {run} was started with; restore that file, or start a new run", path=config.base
        )
    control = continued_control(open_control(state.control, device), base, config)
    source, findings, cache = open_data(config, base, pairs, run)
    counts, moved = pair_counts(source), config.data != saved.data
    changes = check_moved(state.numbers.get("pairs"), counts, config.data, given=moved)
    if changes is not None:
        findings = replace(findings, warnings=(changes, *findings.warnings))
    networks = assemble(base, control, config, state.step)
    evaluations = resumed(config, networks, source)
    return Task(run, config, networks, source, findings, state, cache=cache, evaluations=evaluations, world=world)


def _kind(cond: str | None, pairs: Sequence[Pairs], init: Control | None) -> str:
    """The condition's kind: as given, as the maps of a dataset state it, or that of the control to start from."""
    name = cond or stated_kinds(pairs) or (init.kind if init is not None else None)
    if name is None:
        raise UsageError(KIND_REQUIRED)
    return conditions.get(name).kind
