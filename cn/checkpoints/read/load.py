"""Any file or folder of weights → networks in memory."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cn.checkpoints.checkpoint import BASE_PARTS, Checkpoint, ControlSpec, PartName
from cn.checkpoints.keymaps.keymap import Shape
from cn.checkpoints.read.recognize import recognize
from cn.checkpoints.read.sources import check_finite, find_sources, refuse_unknown
from cn.errors import WeightsError
from cn.files import sha256_of_all
from cn.model.base import Base
from cn.model.config import ModelConfig, Prediction, UNetConfig
from cn.model.controlnet import ControlNet


@dataclass(frozen=True)
class Control:
    """A ControlNet in memory with what its file says: the condition's kind, the base it was trained on."""

    model: ControlNet
    kind: str | None
    base_sha256: str = ""
    sha256: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


def open_base(
    path: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    prediction: Prediction | None = None,
) -> Base:
    """Read a base in any layout and lock it; `prediction` for files that do not say it.

    Raises InputError if a file is broken, WeightsError if it is something else or does not fit together.
    """
    checkpoint = recognize(Path(path))
    if not checkpoint.has_base:
        raise WeightsError(f"{path}: a base was expected here, but this is {checkpoint.what}")
    base = empty_base(checkpoint.config(prediction))
    refuse_unknown(checkpoint)
    with ThreadPoolExecutor(1) as pool:
        hashed = pool.submit(sha256_of_all, checkpoint.files)
        for part in BASE_PARTS:
            _fill(base.networks[part], checkpoint, part, device, dtype)
        source = str(checkpoint.metadata.get("source_sha256", ""))
        return replace(base, sha256=hashed.result(), source_sha256=source).lock()


def open_control(path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Control:
    """Read a control in any layout, in evaluation mode; of a file that holds a base too, only the control.

    Raises InputError if a file is broken, WeightsError if it is something else or does not fit together.
    """
    checkpoint = recognize(Path(path))
    spec = checkpoint.control
    if spec is None:
        raise WeightsError(f"{path}: a control was expected here, but this is {checkpoint.what}")
    refuse_unknown(checkpoint)
    model = empty_control(spec, Path(path))
    with ThreadPoolExecutor(1) as pool:
        hashed = pool.submit(sha256_of_all, checkpoint.files)
        _fill(model, checkpoint, "control", device, dtype)
        return Control(model.eval(), spec.kind, spec.base_sha256, hashed.result(), dict(checkpoint.metadata))


def empty_base(config: ModelConfig) -> Base:
    """The networks on the meta device: names and shapes without numbers."""
    return Base.create(config, "meta")


def empty_control(spec: ControlSpec, path: Path) -> ControlNet:
    """As `empty_base`; WeightsError for a description that no ControlNet can have."""
    try:
        with torch.device("meta"):
            return ControlNet(
                spec.unet,
                condition_encoder=spec.condition_encoder,
                condition_channels=spec.condition_channels,
                links=spec.links,
                pooled=spec.pooled,
            )
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path}: its description is not one that this version of cn reads ({error})") from error


def shapes_of(network: nn.Module) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _fill(
    network: nn.Module, checkpoint: Checkpoint, part: PartName, device: torch.device | str, dtype: torch.dtype
) -> None:
    tensors = {}
    for name, source in find_sources(checkpoint, part, shapes_of(network)).items():
        stored = source.read()
        check_finite(checkpoint, name, stored, source.dtype)
        # A copy, even of what is float32 already: in the file's own memory numbers lie at odd addresses, where the
        # processor's kernels round in another order, and a resumed run would differ from one without a break.
        tensors[name] = stored.to(device, dtype, copy=True)
    network.load_state_dict(tensors, strict=True, assign=True)


def check_fits(control: Control, base: Base, name: str) -> None:
    """WeightsError when a control was made for a U-Net of other shapes than the base's, or for no pictures."""
    if (channels := control.model.condition_channels) != _PICTURE_CHANNELS:
        raise WeightsError(
            f"{name}: this control takes conditions of {channels} channels, and the conditions given here are "
            f"images of {_PICTURE_CHANNELS}"
        )
    ours, theirs = base.config.unet, control.model.config
    for words, of in _DIFFERENCES:
        if of(ours) != of(theirs):
            raise WeightsError(
                f"{name}: this control was made for another base than {base.config.name!r}: it has "
                f"{words} {of(theirs)}, the base {of(ours)}; give the base it was trained on with --base"
            )


def _heads(config: UNetConfig) -> tuple[int, ...]:
    """How many, level by level and in the middle: a number and a width may say the same."""
    return tuple(config.heads_at(width) for width in config.attention_widths)


_PICTURE_CHANNELS = 3
_DIFFERENCES: tuple[tuple[str, Callable[[UNetConfig], object]], ...] = (
    ("text of width", lambda config: config.context_dim),
    ("channels", lambda config: config.channels),
    ("strides", lambda config: config.strides),
    ("attention at levels", lambda config: config.attention_levels),
    ("attention heads", _heads),
    ("linear projections:", lambda config: config.linear_projection),
    ("blocks a level", lambda config: config.res_blocks),
    ("transformers of depth", lambda config: config.transformer_depth),
    ("latent channels", lambda config: config.in_channels),
    ("normalization groups", lambda config: config.groups),
)
"""All of a U-Net that a control shares."""
