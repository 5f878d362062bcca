"""What a file or folder of weights holds, described without reading a single number. No torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from cn.archives.archive import Archive
from cn.archives.entries import Entry
from cn.checkpoints.keymaps import clip, diffusers, ldm
from cn.checkpoints.keymaps.keymap import Shape, Table
from cn.errors import InputError, WeightsError
from cn.model.config import ConditionEncoderKind, Links, ModelConfig, Prediction, UNetConfig

Layout = Literal["native", "ldm", "diffusers"]
PartName = Literal["unet", "vae", "text", "control"]
Dialect = Literal["native", "ldm", "diffusers", "transformers", "open_clip"]

HEADER = "cn"
"""The safetensors metadata entry in which our files say what they are, as JSON."""

_SAME = Table({"{name}": "{name}"})

_SD2_V_SIZE = 768
"""Pixels a side at which the published v-prediction models were trained."""

BASE_PARTS: tuple[PartName, ...] = ("unet", "vae", "text")
TITLES: Mapping[PartName, str] = {"unet": "U-Net", "vae": "VAE", "text": "text encoder", "control": "ControlNet"}


@dataclass(frozen=True)
class Part:
    """One network's tensors, by the names of `dialect` (without the file's prefix)."""

    dialect: Dialect
    entries: Mapping[str, Entry]

    @property
    def shapes(self) -> dict[str, Shape]:
        return {name: entry.shape for name, entry in self.entries.items()}

    @property
    def parameters(self) -> int:
        return sum(entry.elements for entry in self.entries.values())


@dataclass(frozen=True)
class ControlSpec:
    """What a ControlNet is, besides its U-Net's configuration."""

    unet: UNetConfig
    condition_encoder: ConditionEncoderKind = "released"
    condition_channels: int = 3
    links: Links = "full"
    pooled: bool = False
    """Residuals are averaged over all cells (ControlNet 1.1 "shuffle": global_average_pooling)."""
    reversed_channels: bool = False
    """Takes its condition as BGR (diffusers: controlnet_conditioning_channel_order)."""
    kind: str | None = None
    base_sha256: str = ""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "ControlSpec":
        """From our own header. LookupError, TypeError, ValueError or AttributeError where it is damaged."""
        return cls(
            unet=ModelConfig.from_dict({"name": "", "unet": record["unet"]}).unet,
            condition_encoder=_one_of(record, "condition_encoder", *get_args(ConditionEncoderKind)),
            condition_channels=_condition_channels(record["condition_channels"]),
            links=_one_of(record, "links", *get_args(Links)),
            pooled=_one_of({"pooled": False} | dict(record), "pooled", False, True),
            kind=text_in(record, "kind") or None,
            base_sha256=text_in(record, "base_sha256"),
        )


def _one_of(record: Mapping[str, Any], name: str, *allowed: Any) -> Any:
    value = record[name]
    if not any(type(value) is type(word) and value == word for word in allowed):
        raise ValueError(f"{name} is {value!r}, and should be {' or '.join(map(str, allowed))}")
    return value


def _condition_channels(value: Any) -> int:
    if type(value) is not int or not 0 < value <= 1024:
        raise ValueError(f"condition_channels is {value!r}, and should be a small whole number")
    return value


def text_in(record: Mapping[str, Any], name: str) -> str:
    """A text from our own header, "" where it has none; ValueError where something else stands there."""
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, and should be a text")
    return value or ""


@dataclass(frozen=True)
class Checkpoint:
    """A base, a control or both, in whichever layout; what a reader needs and what a person wants to know."""

    path: Path
    layout: Layout
    format: str
    """How the tensors are stored: "safetensors", "pickle", …"""
    parts: Mapping[PartName, Part]
    model: ModelConfig | None = None
    """The base's configuration, where the base is here; its prediction holds only if `prediction` says so too."""
    prediction: Prediction | None = None
    """What is known of the base's prediction; None: the file does not say, and it may be either."""
    control: ControlSpec | None = None
    kept: Mapping[str, Entry] = field(default_factory=dict)
    """Tensors that belong to the layout but to no network (noise schedule, position ids), by their full names."""
    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of tensors that are left out on purpose, by the reason."""
    unknown: tuple[str, ...] = ()
    """Names of tensors that nobody knows."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    leftovers: Mapping[str, str] = field(default_factory=dict)
    """What else a pickle holds (optimizer, epoch), described."""
    files: tuple[Path, ...] = ()
    """All files that were read, for the hash."""

    @property
    def has_base(self) -> bool:
        return "unet" in self.parts

    @property
    def has_control(self) -> bool:
        return "control" in self.parts

    @property
    def has_header(self) -> bool:
        """Whether cn wrote it: its metadata is what `headers` makes."""
        return "role" in self.metadata or "exported" in self.metadata

    @property
    def what(self) -> str:
        """ "a base", "a control" or "a base and a control"."""
        words = ["a base"] * self.has_base + ["a control"] * self.has_control
        return " and ".join(words)

    def config(self, prediction: Prediction | None = None) -> ModelConfig:
        """The base's configuration with its prediction settled; WeightsError where neither file nor caller says it."""
        if self.model is None:
            raise WeightsError(f"{self.path}: a base was expected here, but this is {self.what}")
        settled = prediction or self.prediction
        if settled is None:
            raise WeightsError(
                f"{self.path}: a Stable Diffusion 2 file does not say what its U-Net predicts: give --prediction eps "
                "(the models of 512 pixels) or --prediction v (those of 768), or put its .yaml beside it"
            )
        published = self.layout == "ldm" and self.model.unet.linear_projection and "config" not in self.metadata
        size = _SD2_V_SIZE if published and settled == "v" else self.model.image_size
        try:
            schedule = replace(self.model.schedule, prediction=settled)
        except ValueError as error:
            raise WeightsError(f"{self.path}: it cannot predict {settled}: {error}") from None
        return replace(self.model, image_size=size, schedule=schedule)

    def table(self, part: PartName) -> Table:
        """The key map of one of its parts."""
        return table_of(part, self.parts[part].dialect, self.model, self.control)


def header_of(archive: Archive) -> dict[str, Any]:
    """What a file of ours says of itself; {} for others. InputError where that is damaged."""
    try:
        header = json.loads(archive.metadata.get(HEADER, "{}"))
        # Numbers that JSON does not have and halves of characters pass the reader, but could not be told to anyone.
        json.dumps(header, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(f"{archive.path}: its header is damaged: {error}") from None
    return header if isinstance(header, dict) else {}


def table_of(part: PartName, dialect: Dialect, model: ModelConfig | None, control: ControlSpec | None) -> Table:
    """The key map of a network in a dialect; the configuration must be there that the part belongs to."""
    if dialect == "native":
        return _SAME
    if part == "text":
        return clip.open_clip() if dialect == "open_clip" else clip.transformers()
    tables = ldm if dialect == "ldm" else diffusers
    if part == "control":
        assert control is not None
        return tables.control(control.unet)
    assert model is not None
    return tables.unet(model.unet) if part == "unet" else tables.vae(model.vae)
