"""Add LoRA files to the weights of a base in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cn.archives.entries import Entry, load_tensor
from cn.archives.finite import is_finite
from cn.checkpoints.read.lora.file import Layer, LoraFile
from cn.checkpoints.read.lora.names import AdapterPart
from cn.checkpoints.read.lora.targets import Target, targets
from cn.errors import InputError, WeightsError
from cn.model.base import Base
from cn.model.config import ModelConfig
from cn.model.low_rank import weight_change
from cn.text import first_names


@dataclass(frozen=True)
class _Change:
    file: LoraFile
    layer: Layer
    target: Target
    weight: float


@torch.no_grad()
def merge(base: Base, loras: Sequence[tuple[LoraFile, float]]) -> None:
    """Add LoRA files, each times its weight, to a base, in place; their order does not matter.

    One weight after the other: in memory there is never more than one weight's change, in float32. A weight of half
    precision is rounded once, after all files are added. Raises WeightsError where a file does not fit the base,
    InputError for numbers that are not finite; the base is of no use then.
    """
    by_parameter: dict[tuple[AdapterPart, str], list[_Change]] = {}
    for file, weight in loras:
        for change in _changes(file, weight, base.config):
            by_parameter.setdefault((change.target.part, change.target.parameter), []).append(change)
    states = {part: dict(network.named_parameters()) for part, network in base.networks.items()}
    for (part, name), changes in by_parameter.items():
        _add(states[part], name, changes)


def _changes(file: LoraFile, weight: float, config: ModelConfig) -> list[_Change]:
    width, ours = file.context_width, config.unet.context_dim
    if width is not None and width != ours:
        raise WeightsError(
            f"this LoRA is for {file.family}: it takes text of width {width}, and the base {config.name!r} of {ours}",
            path=file.path,
        )
    known = targets(config)
    if unmatched := [layer.title for layer in file.layers if (layer.part, layer.name) not in known]:
        raise WeightsError(
            f"{len(unmatched)} of its {len(file.layers)} layers are not in the base: {first_names(unmatched)}",
            path=file.path,
        )
    return [_Change(file, layer, known[layer.part, layer.name], weight) for layer in file.layers]


def _add(state: Mapping[str, Tensor], name: str, changes: Sequence[_Change]) -> None:
    weight = state[name]
    total = weight.float() if weight.dtype != torch.float32 else weight
    for change in changes:
        factors = {f: _read(change, f, entry, weight.device) for f, entry in change.layer.factors.items()}
        if (difference := factors.pop("diff_b", None)) is not None:
            _add_to_bias(state.get(change.target.bias), change, difference)
        if not factors:
            continue
        try:
            made = weight_change(factors, change.target.shape, change.layer.alpha)
        except ValueError as error:
            raise WeightsError(f"{change.layer.title}: {error}", path=change.file.path) from error
        first, last = change.target.rows or (0, change.target.shape[0])
        total[first:last].add_(made, alpha=change.weight)
    if total is not weight:
        weight.copy_(total)


def _add_to_bias(bias: Tensor | None, change: _Change, difference: Tensor) -> None:
    first, last = change.target.rows or (0, change.target.shape[0])
    if bias is None or difference.shape != bias[first:last].shape:
        raise WeightsError(f"{change.layer.title}: its diff_b is not for a bias of the base", path=change.file.path)
    bias[first:last] = (bias[first:last].float() + change.weight * difference).to(bias.dtype)


def _read(change: _Change, factor: str, entry: Entry, device: torch.device) -> Tensor:
    """The factor in float32."""
    path, title = change.file.path, change.layer.title
    if not entry.is_floating:
        raise WeightsError(f"{title}: its {factor} is {entry.dtype}, and should be floating-point numbers", path=path)
    stored = load_tensor(entry)
    if not is_finite(stored.contiguous().flatten().view(torch.uint8).numpy(), entry.dtype):
        raise InputError(f"its weights are broken: {factor} of {title} holds numbers that are not finite", path=path)
    return stored.to(device, torch.float32, copy=True)
