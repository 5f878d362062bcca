"""The description of a file or folder of weights, made without reading any tensor. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from cn.archives.entries import Entry
from cn.checkpoints.keymaps import clip, diffusers, ldm
from cn.checkpoints.keymaps.keymap import Shape, Table
from cn.checkpoints.layouts import KeyNaming, Layout, PartName
from cn.errors import WeightsError
from cn.model.config import ConditionEncoderKind, ControlArchitecture, Links, ModelConfig, Prediction, UNetConfig

_SAME = Table({"{name}": "{name}"})

_SD2_V_SIZE = 768
"""Image size in pixels at which the published v-prediction models were trained."""


@dataclass(frozen=True)
class Part:
    """One network's tensors, by their names in `naming` (without the file's prefix)."""

    naming: KeyNaming
    entries: Mapping[str, Entry]

    @property
    def shapes(self) -> dict[str, Shape]:
        return {name: entry.shape for name, entry in self.entries.items()}

    @property
    def parameters(self) -> int:
        return sum(entry.elements for entry in self.entries.values())


@dataclass(frozen=True)
class ControlSpec:
    """A ControlNet's description: its U-Net's configuration and everything else that defines it."""

    unet: UNetConfig
    condition_encoder: ConditionEncoderKind = "released"
    condition_channels: int = 3
    links: Links = "full"
    pooled: bool = False
    """Residuals are averaged over the image (ControlNet 1.1 "shuffle": global_average_pooling)."""
    reversed_channels: bool = False
    """The condition is BGR (diffusers: controlnet_conditioning_channel_order)."""
    kind: str | None = None
    base_sha256: str = ""
    architecture: ControlArchitecture = "controlnet"

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "ControlSpec":
        """From the header of cn's own files; LookupError, TypeError, ValueError, AttributeError where it is damaged."""
        return cls(
            unet=ModelConfig.from_dict({"name": "", "unet": record["unet"]}).unet,
            condition_encoder=_one_of(record, "condition_encoder", *get_args(ConditionEncoderKind)),
            condition_channels=_condition_channels(record["condition_channels"]),
            links=_one_of(record, "links", *get_args(Links)),
            pooled=_one_of({"pooled": False} | dict(record), "pooled", False, True),
            kind=text_in(record, "kind") or None,
            base_sha256=text_in(record, "base_sha256"),
            architecture=_one_of({"architecture": "controlnet"} | dict(record), "architecture", "controlnet", "concat"),
        )


def _one_of(record: Mapping[str, Any], name: str, *allowed: Any) -> Any:
    value = record[name]
    if not any(type(value) is type(word) and value == word for word in allowed):
        raise ValueError(f"{name} is {value!r}, and should be {' or '.join(map(str, allowed))}")
    return value


def _condition_channels(value: Any) -> int:
    if type(value) is not int or not 0 < value <= 1024:
        raise ValueError(f"condition_channels is {value!r}, and should be a whole number from 1 to 1024")
    return value


def text_in(record: Mapping[str, Any], name: str) -> str:
    """A string from the header of cn's own files, "" where it is missing; ValueError for any other value."""
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, and should be a string")
    return value or ""


@dataclass(frozen=True)
class Checkpoint:
    """A base, a control or both, in any layout: what loading needs and what `cn inspect` reports."""

    path: Path
    layout: Layout
    format: str
    """How the tensors are stored: "safetensors", "pickle", …"""
    parts: Mapping[PartName, Part]
    model: ModelConfig | None = None
    """The configuration of the base, if there is one; its prediction is valid only where `prediction` is set."""
    prediction: Prediction | None = None
    """The base's prediction; None where the file does not say."""
    control: ControlSpec | None = None
    kept: Mapping[str, Entry] = field(default_factory=dict)
    """Tensors of the layout that belong to no network (noise schedule, position ids), by their full names."""
    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of tensors that are left out on purpose, by reason."""
    unknown: tuple[str, ...] = ()
    """Names of unrecognized tensors."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    extras: Mapping[str, str] = field(default_factory=dict)
    """What a pickle holds besides tensors (optimizer, epoch): name → a short description."""
    files: tuple[Path, ...] = ()
    """All files that it consists of, for the hash."""

    @property
    def has_base(self) -> bool:
        return "unet" in self.parts

    @property
    def has_control(self) -> bool:
        return "control" in self.parts

    @property
    def has_header(self) -> bool:
        """Whether cn wrote it: its metadata is a header of `cn.checkpoints.write.headers`."""
        return "role" in self.metadata or "exported" in self.metadata

    @property
    def what(self) -> str:
        """ "a base", "a control" or "a base and a control"."""
        words = ["a base"] * self.has_base + ["a control"] * self.has_control
        return " and ".join(words)

    def config(self, prediction: Prediction | None = None) -> ModelConfig:
        """The base's configuration, its prediction from the argument or the file; WeightsError where neither says."""
        if self.model is None:
            raise WeightsError(f"a base was expected, but this is {self.what}", path=self.path)
        predicts = prediction or self.prediction
        if predicts is None:
            raise WeightsError(
                "a Stable Diffusion 2 file does not say what its U-Net predicts: give --prediction eps (models of "
                "512 pixels) or --prediction v (models of 768 pixels), or put its .yaml into the same folder",
                path=self.path,
            )
        published = self.layout == "ldm" and self.model.unet.linear_projection and "config" not in self.metadata
        size = _SD2_V_SIZE if published and predicts == "v" else self.model.image_size
        try:
            schedule = replace(self.model.schedule, prediction=predicts)
        except ValueError as error:
            raise WeightsError(f"it cannot predict {predicts}: {error}", path=self.path) from None
        return replace(self.model, image_size=size, schedule=schedule)

    def table(self, part: PartName) -> Table:
        """The key map of one of its parts."""
        return table_of(part, self.parts[part].naming, self.model, self.control)


def table_of(part: PartName, naming: KeyNaming, model: ModelConfig | None, control: ControlSpec | None) -> Table:
    """The key map of a network in a naming; `model` or `control`, whichever it belongs to, must be given."""
    if naming == "native":
        return _SAME
    if part == "text":
        return clip.open_clip() if naming == "open_clip" else clip.transformers()
    tables = ldm if naming == "ldm" else diffusers
    if part == "control":
        assert control is not None
        return tables.control(control.unet)
    assert model is not None
    return tables.unet(model.unet) if part == "unet" else tables.vae(model.vae)
