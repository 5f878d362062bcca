"""A control for another base: the difference between the bases is added to what was copied from the first.

control' = control + (B - A), for every parameter that the control has from the U-Net's encoder; the condition encoder
and the zero convolutions stay. Source: the official release, tool_transfer_control.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from cn.archives.entries import Entry
from cn.checkpoints.read.contents import Contents, Parameter
from cn.errors import WeightsError
from cn.files import sha256_of_all
from cn.model.config import ModelConfig

_ROUNDING = {"F64": 1e-6, "F32": 1e-6, "F16": 1e-3, "BF16": 8e-3}
"""‖difference‖ / ‖weights‖ that rounding to a number format alone may make (2^-11 and 2^-8 each), with room."""


@dataclass(frozen=True)
class Moved:
    """One parameter plus the difference of two others, in float32, rounded to its own format at the end."""

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

    def read(self) -> Tensor:
        own = self.own.read()
        return (own.float() + (self.plus.read().float() - self.minus.read().float())).to(own.dtype)


@dataclass(frozen=True)
class Transfer:
    """The result, and how far the base inside the control's file was from the base it began with (None: has none)."""

    contents: Contents
    distance: float | None = None
    """The larger of ‖own - A‖ / ‖A‖ of the U-Net's encoder and of its decoder."""
    trained_along: bool = False
    """Whether that is more than rounding: the file's U-Net was trained too, and comes along."""


def transfer(control: Contents, from_base: Contents, to_base: Contents) -> Transfer:
    """Move a control, and a U-Net that was trained along with it, from one base to another of the same shapes.

    Raises WeightsError when the three do not go together.
    """
    for base in (from_base, to_base):
        if base.config is None:
            raise WeightsError(f"{base.path}: a base was expected here, but this is a control")
    first, second = from_base.parts["unet"], to_base.parts["unet"]
    _check_same(from_base, to_base)
    if control.control is None:
        raise WeightsError(f"{control.path}: a control was expected here, but this is a base")
    own = control.parts["control"]
    copied = [name for name in own if name.startswith("encoder.")]
    if missing := [name for name in copied if name not in first or first[name].shape != own[name].shape]:
        raise WeightsError(f"{control.path}: was made for another U-Net than {from_base.path} ({missing[0]} differs)")
    moved: dict[str, Parameter] = dict(own)
    moved |= {name: Moved(own[name], first[name], second[name]) for name in copied}
    hashes = {"from_base": sha256_of_all(from_base.files), "to_base": sha256_of_all(to_base.files)}
    spec = replace(control.control, base_sha256=hashes["to_base"])
    told = {**control.metadata, "transferred": hashes}
    notes = control.notes
    if control.control.base_sha256 not in ("", hashes["from_base"], from_base.metadata.get("source_sha256")):
        notes = (*notes, f"the control says that it was trained on another base than {from_base.path}")
    result = replace(control, parts={"control": moved}, config=None, control=spec, kept={}, metadata=told, notes=notes)
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
        raise WeightsError(f"{second.path}: its U-Net has other shapes than that of {first.path}: nothing can be moved")
