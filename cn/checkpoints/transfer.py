"""Move a control to another base by adding the difference between the bases to the copied parameters.

control' = control + (B - A) for every parameter that the control copied from the U-Net's encoder; the condition
encoder and the zero convolutions stay. Source: the official release, tool_transfer_control.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cn.archives.entries import Entry
from cn.checkpoints.read.contents import Contents, Parameter
from cn.errors import UsageError, WeightsError
from cn.files import sha256_of_all
from cn.model.config import ModelConfig

if TYPE_CHECKING:
    from torch import Tensor

_ROUNDING = {"F64": 1e-6, "F32": 1e-6, "F16": 1e-3, "BF16": 8e-3}
"""Upper bounds of ‖difference‖ / ‖weights‖ from rounding to a dtype alone (2^-11 for F16, 2^-8 for BF16)."""


@dataclass(frozen=True)
class Moved:
    """One parameter plus the difference of two others, computed in float32, rounded to its own dtype."""

    own: Parameter
    minus: Parameter
    plus: Parameter

    @property
    def dtype(self) -> str:
        return self.own.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.own.shape

    @property
    def stored(self) -> tuple[Entry, ...]:
        return ()

    def read(self) -> "Tensor":
        own = self.own.read()
        return (own.float() + (self.plus.read().float() - self.minus.read().float())).to(own.dtype)


@dataclass(frozen=True)
class Transfer:
    """The result, and whether the control's file holds a base that was trained too."""

    contents: Contents
    distance: float | None = None
    """‖own - A‖ / ‖A‖ of the U-Net in the control's file (the larger of encoder and decoder); None without one."""
    base_trained: bool = False
    """Whether the distance exceeds rounding: that U-Net was trained too and is moved as well."""


def transfer(control: Contents, from_base: Contents, to_base: Contents) -> Transfer:
    """Move a control, and a U-Net that was trained with it, from one base to another of the same shapes.

    Raises WeightsError when the three do not match, UsageError when both bases are the same.
    """
    for base in (from_base, to_base):
        if base.config is None:
            raise WeightsError("a base was expected, but this is a control", path=base.path)
    first, second = from_base.parts["unet"], to_base.parts["unet"]
    _check_same(from_base, to_base)
    if control.control is None:
        raise WeightsError("a control was expected, but this is a base", path=control.path)
    own = control.parts["control"]
    copied = [name for name in own if name.startswith("encoder.")]
    if missing := [name for name in copied if name not in first or first[name].shape != own[name].shape]:
        raise WeightsError(f"does not match the U-Net of {from_base.path} ({missing[0]} differs)", path=control.path)
    moved: dict[str, Parameter] = dict(own)
    moved |= {name: Moved(own[name], first[name], second[name]) for name in copied}
    hashes = {"from_base": sha256_of_all(from_base.files), "to_base": sha256_of_all(to_base.files)}
    spec = replace(control.control, base_sha256=hashes["to_base"])
    metadata = {**control.metadata, "transferred": hashes}
    notes = control.notes
    if control.control.base_sha256 not in ("", hashes["from_base"], from_base.metadata.get("source_sha256")):
        notes = (*notes, f"according to its metadata, the control was trained on another base than {from_base.path}")
    if hashes["from_base"] == hashes["to_base"]:
        raise UsageError(f"{from_base.path} and {to_base.path} hold the same base: there is no difference to add")
    result = replace(
        control, parts={"control": moved}, config=None, control=spec, kept={}, metadata=metadata, notes=notes
    )
    if "unet" not in control.parts:
        return Transfer(result)
    own_unet = control.parts["unet"]
    distance = max(relative_distance(_side(own_unet, side), first) for side in ("encoder.", "decoder."))
    if distance <= max(_rounding(own_unet), _rounding(first)):
        return Transfer(result, distance)
    unet = {name: Moved(source, first[name], second[name]) for name, source in own_unet.items()}
    parts = {**to_base.parts, "unet": unet, "control": moved}
    result = replace(result, control=replace(spec, base_sha256=""))
    return Transfer(replace(result, parts=parts, config=to_base.config, kept=to_base.kept), distance, True)


def _side(parameters: Mapping[str, Parameter], prefix: str) -> dict[str, Parameter]:
    return {name: parameter for name, parameter in parameters.items() if name.startswith(prefix)}


def _rounding(parameters: Mapping[str, Parameter]) -> float:
    return max(_ROUNDING.get(parameter.dtype, 0.0) for parameter in parameters.values())


def relative_distance(ours: Mapping[str, Parameter], theirs: Mapping[str, Parameter]) -> float:
    """‖ours - theirs‖ / ‖theirs‖ over all parameters, in float64."""
    apart = total = 0.0
    for name, source in ours.items():
        reference = theirs[name].read().double()
        apart += float((source.read().double() - reference).square().sum())
        total += float(reference.square().sum())
    return (apart / total) ** 0.5 if total else 0.0


def _check_same(first: Contents, second: Contents) -> None:
    def comparable(config: ModelConfig | None) -> object:
        return config.unet if config is not None else None

    if comparable(first.config) != comparable(second.config):
        raise WeightsError(f"its U-Net differs in shape from that of {first.path}: cannot transfer", path=second.path)
