"""Saving the state of a run and loading it (`run_folder` says where states are)."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.write.native import save_base, save_control
from cn.errors import InputError
from cn.files import make_folder, reason, sha256, write_atomic
from cn.temporaries import replace_folder, temporary_folder
from cn.train.config import TrainConfig
from cn.train.distributed.checkpoint import distributed, has_shards, load_shards, save_shards
from cn.train.distributed.sharded import load_whole
from cn.train.fast.locked import original_tensors
from cn.train.networks import TrainingNetworks
from cn.train.run_folder import BASE, CONTROL, NUMBERS, OPTIMIZER, State, kept, link_results, state_folder
from cn.train.trainer import Trainer


def save_state(run: Path, trainer: Trainer, step: int, numbers: Mapping[str, Any]) -> State:
    """Save a run after `step` steps, then link its weights into the run's folder; earlier states stay.

    Called in every process; the first one writes. Raises InputError when the disk is full.
    """
    final, numbers = state_folder(run, step), {**numbers, **trainer.state_numbers()}
    tensors = trainer.state_tensors()
    if trainer.world.is_main:
        _write(final, trainer, step, numbers, tensors)
        link_results(run, final)
    elif trainer.parallel.sharded:
        _save_shards(None, trainer, tensors)
    trainer.world.barrier()
    return State(final, step, json.loads((final / NUMBERS).read_text(encoding="utf-8")))


def _write(
    final: Path, trainer: Trainer, step: int, numbers: Mapping[str, Any], tensors: Mapping[str, dict[str, Tensor]]
) -> None:
    folder = make_folder(final.parent)
    try:
        with temporary_folder(folder) as temporary:
            if trainer.parallel.sharded:
                written = _save_shards(temporary, trainer, tensors)
                _write_weights(temporary, written, trainer.config, step)
            else:
                with trainer.averaged():
                    _write_weights(temporary, trainer.networks, trainer.config, step)
                for stem, contents in tensors.items():
                    save_file(contents, temporary / f"{stem}.safetensors")
            sizes = {file.name: file.stat().st_size for file in sorted(temporary.iterdir())}
            (temporary / NUMBERS).write_text(json.dumps({**numbers, "files": sizes}), encoding="utf-8")
            for path in temporary.iterdir():
                # safetensors makes files that nobody else may read.
                path.chmod((temporary / NUMBERS).stat().st_mode)
                _sync(path)
            _sync(temporary)
            replace_folder(temporary, final)
        _sync(folder)
    except (OSError, SafetensorError, InputError) as error:
        # Writers of weights name the temporary file, which is gone.
        cause = error.__cause__ if isinstance(error, InputError) else error
        why = reason(cause) if isinstance(cause, OSError) else str(error)
        raise InputError(f"the state cannot be saved: {why}; {kept(final.parent.parent)}", path=folder) from error


def _save_shards(folder: Path | None, trainer: Trainer, tensors: Mapping[str, dict[str, Tensor]]) -> TrainingNetworks:
    """Write this process's part; whole networks to write, in rank 0."""
    save_shards(folder, tensors, trainer.world)
    base, cpu = trainer.config.unlocked_at(trainer.step) != "none", torch.device("cpu")
    with trainer.averaged():
        return trainer.parallel.whole(trainer.networks, trainer.world, cpu, base=base) or trainer.networks


def update_numbers(state: State, changes: Mapping[str, Any]) -> State:
    """Change some numbers of a saved state, atomically."""
    numbers = {**state.numbers, **changes}
    write_atomic(state.folder / NUMBERS, json.dumps(numbers).encode())
    return State(state.folder, state.step, numbers)


def load_trainer(state: State, trainer: Trainer) -> None:
    """Restore what an optimizer step changes besides the weights: moments by the parameters' names, fp16's loss scale.

    Raises InputError when a file is broken.
    """
    trainer.load_state_tensors(_tensors(state, trainer))
    trainer.load_state_numbers(state.numbers)
    trainer.step = state.step


def _tensors(state: State, trainer: Trainer) -> dict[str, dict[str, Tensor]]:
    """What a state holds besides the weights; of sharded networks, this process's part."""
    if has_shards(state.folder):
        return load_shards(state.folder, trainer.networks, sharded=trainer.parallel.sharded)
    files = [path for path in sorted(state.folder.glob("*.safetensors")) if path.name not in (CONTROL, BASE)]
    tensors = {}
    for path in files or [state.folder / OPTIMIZER]:
        try:
            tensors[path.stem] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(f"the {path.stem}'s state is damaged ({error})", path=path) from error
    return distributed(tensors, trainer.networks) if trainer.parallel.sharded else tensors


def load_weights(state: State, networks: TrainingNetworks) -> None:
    """Put the weights of a state into the networks of a run that goes on, in place.

    Raises InputError or WeightsError when a file is broken.
    """
    control = open_control(state.control, torch.device("cpu"))
    load_whole(networks.control, control.model.state_dict())
    if state.base is not None:
        load_whole(networks.base.unet, open_base(state.base, torch.device("cpu")).unet.state_dict())


def _write_weights(folder: Path, networks: TrainingNetworks, config: TrainConfig, step: int) -> None:
    """The control in full precision, after the base where that is trained too: the control holds its hash."""
    base_sha256 = networks.base.sha256
    meta: dict[str, Any] = {"ema": config.ema} if config.ema else {}
    if config.unlocked_at(step) != "none":
        weights = {part: original_tensors(network) for part, network in networks.base.networks.items()}
        baseline: dict[str, Any] = {"baseline": config.baseline} if config.baseline != "none" else {}
        save_base(
            folder / BASE, networks.base, half=False, weights=weights, trained_with=config.cond, **meta, **baseline
        )
        base_sha256 = sha256(folder / BASE)
    save_control(
        folder / CONTROL,
        networks.control,
        kind=config.cond,
        base_sha256=base_sha256,
        base_name=config.base,
        step=step,
        seed=config.seed,
        **meta,
    )


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
