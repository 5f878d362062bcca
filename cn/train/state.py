"""Saving the state of a run, and loading the optimizer's (`run_folder` says where they are, and reads the rest)."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cn.checkpoints.write.native import save_base, save_control
from cn.errors import InputError
from cn.files import make_folder, reason, sha256
from cn.temporaries import temporary_folder
from cn.train.config import TrainConfig
from cn.train.divergence import check_weights
from cn.train.networks import TrainingNetworks
from cn.train.run_folder import BASE, CONTROL, NUMBERS, State, kept, link_results, state_of
from cn.train.trainer import Trainer

_OPTIMIZER = "optimizer.safetensors"


def save_state(
    run: Path,
    trainer: Trainer,
    state: Mapping[str, Any],
) -> State:
    """Save a run after `state["step"]` steps, then link its weights into the run's folder; earlier states stay.

    `state` holds step, loss, scaler and start_norm. Raises InputError when the disk is full, and DivergedError when the
    weights have left all bounds.
    """
    step, networks = int(state["step"]), trainer.networks
    check_weights(networks, step, state.get("start_norm"))
    folder = make_folder(run / "state")
    final = folder / f"step-{step:08d}"
    try:
        with temporary_folder(folder) as temporary:
            _write_weights(temporary, networks, trainer.config, step)
            save_file(_optimizer_tensors(networks, trainer.optimizer), temporary / _OPTIMIZER)
            (temporary / NUMBERS).write_text(json.dumps(dict(state)), encoding="utf-8")
            for file in temporary.iterdir():
                _sync(file)
            os.replace(temporary, final)
        _sync(folder)
    except (OSError, SafetensorError, InputError) as error:
        # Writers of weights name the temporary file, which is gone.
        cause = error.__cause__ if isinstance(error, InputError) else error
        why = reason(cause) if isinstance(cause, OSError) else str(error)
        raise InputError(f"the state cannot be saved: {why}; {kept(run)}", path=folder) from error
    link_results(run, final)
    return state_of(final, step, state)


def load_trainer(state: State, trainer: Trainer) -> None:
    """Restore the optimizer's moments, by the parameters' names, and fp16's loss scale.

    A parameter that the state does not have (a connection that was added) starts with fresh moments.
    Raises InputError when the file is broken.
    """
    try:
        tensors = load_file(state.folder / _OPTIMIZER)
    except (OSError, SafetensorError) as error:
        raise InputError(f"the optimizer's state is damaged ({error})", path=state.folder / _OPTIMIZER) from error
    moments: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, part = key.rpartition("/")
        # Copied, because the tensors in a mapped file are not aligned: `load._fill` says what that changes.
        moments.setdefault(name, {})[part] = tensor.clone()
    numbered = {i: moments[name] for i, name in enumerate(trainer.networks.trainable) if name in moments}
    groups = trainer.optimizer.state_dict()["param_groups"]
    trainer.optimizer.load_state_dict({"state": numbered, "param_groups": groups})
    if state.scaler:
        trainer.scaler.load_state_dict(dict(state.scaler))


def _write_weights(folder: Path, networks: TrainingNetworks, config: TrainConfig, step: int) -> None:
    """The control in full precision, after the base where that is trained too: the control holds its hash."""
    base_sha256 = networks.base.sha256
    if config.unlocked_at(step) != "none":
        meta: dict[str, Any] = {"baseline": config.baseline} if config.baseline != "none" else {}
        save_base(folder / BASE, networks.base, half=False, trained_with=config.cond, **meta)
        base_sha256 = sha256(folder / BASE)
    save_control(
        folder / CONTROL,
        networks.control,
        kind=config.cond,
        base_sha256=base_sha256,
        base=config.base,
        step=step,
        seed=config.seed,
    )


def _optimizer_tensors(networks: TrainingNetworks, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's moments and step counts as "PARAMETER/exp_avg", …; nothing for parameters without a gradient yet."""
    return {
        f"{name}/{part}": value.detach().cpu().contiguous()
        for name, parameter in networks.trainable.items()
        for part, value in optimizer.state.get(parameter, {}).items()
    }


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
