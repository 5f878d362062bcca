"""One LoRA file: opened, its tensors sorted by layer, and what it is for. No torch."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from cn.archives.archive import Archive, open_archive
from cn.archives.entries import Entry, read_chunks
from cn.checkpoints.read.lora.names import REFUSED, AdapterPart, understand
from cn.checkpoints.read.lora.peft_settings import PeftSettings
from cn.checkpoints.read.recognize import recognize
from cn.errors import CnError, InputError, WeightsError, about
from cn.text import first_names

FOLDER_FILES = (
    "pytorch_lora_weights.safetensors",
    "adapter_model.safetensors",
    "pytorch_lora_weights.bin",
    "adapter_model.bin",
)
"""What diffusers and PEFT call the file in a folder that they save."""

_FOREIGN: tuple[tuple[str, str], ...] = (
    (r"(.*[._])?(double|single)_blocks[._]|(.*[._])?single_transformer_blocks[._]", "FLUX or a similar transformer"),
    (r"(.*[._])?joint_blocks[._]|(lora_)?transformer[._]", "a diffusion transformer (SD 3, FLUX or similar)"),
    (r"(lora_te3_|text_encoder_3\.)", "a diffusion transformer (SD 3, FLUX or similar)"),
    (r"(lora_unet_|diffusion_model\.)(blocks|layers)[._]\d", "a diffusion transformer (Wan, PixArt or similar)"),
    (r".*motion_modules[._]", "AnimateDiff: a motion LoRA, which has no use without its motion module"),
    (r"lora_prior_|.*effnet", "Stable Cascade"),
    (r"(lora_te2_|text_encoder_2\.|text_encoders\.clip_g\.)", "Stable Diffusion XL"),
    (r"(.*[._])?(add_embedding|label_emb)[._]|.*transformer_blocks[._][2-9]", "Stable Diffusion XL"),
)
"""Names that only LoRA files for other models have, and those models."""

_FAMILIES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL", 1280: "an XL refiner"}
"""By the width of the text that its U-Net takes."""

_KINDS = {"up": "LoRA", "hada_w1_a": "LoHa", "diff": "full difference", "diff_b": "full difference"}
_COMPLETE = ({"down", "up"}, {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"})
"""Factors that have no use without each other."""

_SCALARS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}


@dataclass(frozen=True)
class Layer:
    """What a file changes in one layer of a base."""

    part: AdapterPart
    name: str
    """With underscores: see `cn.checkpoints.read.lora.names`."""
    title: str
    """The name that messages show: as the file has it."""
    factors: Mapping[str, Entry]
    alpha: float | None

    @property
    def kind(self) -> str:
        """ "LoRA", "LoHa", "LoKr" or "full difference"."""
        return next((kind for factor, kind in _KINDS.items() if factor in self.factors), "LoKr")

    @property
    def rank(self) -> int | None:
        """Of its factors; None where they are stored whole."""
        for name, dimension in (("down", 0), ("hada_w1_b", 0), ("lokr_w2_b", 0), ("lokr_w1_b", 0)):
            if name in self.factors and self.factors[name].shape:
                return self.factors[name].shape[dimension]
        return None

    @property
    def inputs(self) -> int | None:
        """How many channels its layer takes; None where the factors do not show it."""
        for name in ("down", "hada_w1_b", "diff"):
            if name in self.factors and len(self.factors[name].shape) > 1:
                return self.factors[name].shape[1]
        return None


@dataclass(frozen=True)
class LoraFile:
    """A LoRA (or LoCon, LoHa, LoKr), every tensor of it assigned to a layer."""

    archive: Archive
    layers: tuple[Layer, ...]

    @property
    def path(self) -> Path:
        return self.archive.path

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(layer.kind for layer in self.layers))

    @property
    def ranks(self) -> tuple[int, ...]:
        """All ranks, the smallest first."""
        return tuple(sorted({layer.rank for layer in self.layers if layer.rank is not None}))

    @property
    def alphas(self) -> tuple[float, ...]:
        """All α, the smallest first; empty where none is stated, which means that α is the rank."""
        return tuple(sorted({layer.alpha for layer in self.layers if layer.alpha is not None}))

    def of(self, part: AdapterPart) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.part == part)

    @cached_property
    def context_width(self) -> int | None:
        """The width of the text that its U-Net takes, or that its text encoder makes; None where it changes neither."""
        crossing = [layer.inputs for layer in self.of("unet") if re.search(r"attn2_to_[kv]$", layer.name)]
        text = [
            layer.inputs for layer in self.of("text") if re.search(r"self_attn_([qkv]|out)_proj$|mlp_fc1$", layer.name)
        ]
        return next((width for width in [*crossing, *text] if width is not None), None)

    @property
    def family(self) -> str:
        """The base that it is for, as far as its shapes show."""
        width = self.context_width
        return _FAMILIES.get(width or 0) or ("a base not stated" if width is None else f"a base with text of {width}")


def open_lora(path: Path, archive: Archive | None = None) -> LoraFile:
    """Open a LoRA file, or the folder in which diffusers or PEFT saved one; `archive` is the file where it is open.

    Raises InputError for a damaged file; WeightsError for what is no LoRA, for one of another family of models or of a
    kind that cannot be added to weights, and for tensors that are not understood.
    """
    with about(path):
        file = _inside(path) if path.is_dir() else path
        return _read(archive or open_archive(file))


def find_in(folder: Path) -> Path | None:
    """The LoRA in a folder that diffusers or PEFT saved; None where there is none."""
    return next((folder / name for name in FOLDER_FILES if (folder / name).is_file()), None)


def looks_like_lora(names: Iterable[str]) -> bool:
    """Whether a file with tensors of these names is a LoRA or another adapter of its kind."""
    listed = list(names)
    return bool(listed) and sum(understand(name) is not None for name in listed) * 2 > len(listed)


def _inside(folder: Path) -> Path:
    if (found := find_in(folder)) is None:
        raise WeightsError(f"this folder has no LoRA ({FOLDER_FILES[0]} or {FOLDER_FILES[1]}); give the file itself")
    return found


def _read(archive: Archive) -> LoraFile:
    entries = archive.entries
    if not entries:
        raise WeightsError("is empty: it holds no tensors")
    _refuse_foreign(entries)
    if not looks_like_lora(entries):
        raise WeightsError(f"a LoRA was expected, but this is {_what(archive)}")
    layers: dict[tuple[AdapterPart, str], dict[str, Entry]] = {}
    titles: dict[tuple[AdapterPart, str], str] = {}
    unknown = []
    for name, entry in entries.items():
        if (found := understand(name)) is None:
            unknown.append(name)
            continue
        if found.factor in REFUSED:
            raise WeightsError(f"is {REFUSED[found.factor]}")
        key = found.part, found.layer
        if found.factor in layers.setdefault(key, {}):
            raise WeightsError(f"changes one layer twice, under two names: {first_names([titles[key], found.dotted])}")
        titles.setdefault(key, found.dotted)
        layers[key][found.factor] = entry
    if unknown:
        raise WeightsError(f"holds tensors that no LoRA has: {first_names(unknown)}")
    settings = PeftSettings.of(archive)
    return LoraFile(archive, tuple(_layer(key, titles[key], found, settings) for key, found in layers.items()))


def _layer(key: tuple[AdapterPart, str], title: str, factors: dict[str, Entry], settings: PeftSettings) -> Layer:
    stated = factors.pop("alpha", None)
    for needed in _COMPLETE:
        if (lacking := needed - factors.keys()) and lacking != needed:
            raise WeightsError(f"is a LoRA with an incomplete layer: {title} has no {first_names(sorted(lacking))}")
    layer = Layer(*key, title, factors, None if stated is None else _scalar(title, stated))
    if stated is None and layer.rank is not None:
        return Layer(*key, title, factors, settings.alpha(layer.part, title, layer.rank))
    return layer


def _refuse_foreign(names: Iterable[str]) -> None:
    """WeightsError for adapters of models that are not Stable Diffusion 1 or 2."""
    listed = [name for name in names if understand(name) is not None]
    for pattern, model in _FOREIGN:
        if any(map(re.compile(pattern).match, listed)):
            raise WeightsError(f"is a LoRA for {model}; cn supports Stable Diffusion 1 and 2")


def _what(archive: Archive) -> str:
    """What a file that is no LoRA is instead."""
    try:
        return recognize(archive.path, archive=archive).what
    except CnError as error:
        return error.what.removeprefix("holds neither a base nor a control; it is ").removeprefix("is ")


def _scalar(name: str, entry: Entry) -> float:
    """The one number of a tensor. InputError where it is not one finite number."""
    value = math.nan
    if entry.elements == 1:
        data = b"".join(bytes(chunk) for chunk in read_chunks(entry))
        if entry.dtype == "BF16":
            value = float(np.frombuffer(b"\0\0" + data, "<f4")[0])
        elif entry.dtype in _SCALARS:
            value = float(np.frombuffer(data, _SCALARS[entry.dtype])[0])
    if not math.isfinite(value):
        raise InputError(f"the alpha of {name} is not a number")
    return value
