"""What `cn inspect` says of a LoRA file. No torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cn.checkpoints.read.lora.file import LoraFile
from cn.checkpoints.read.lora.names import AdapterPart

_PARTS: tuple[AdapterPart, ...] = ("unet", "text")
_MAX_TAGS = 10
_TOLD = (
    "modelspec.title",
    "modelspec.trigger_phrase",
    "modelspec.usage_hint",
    "modelspec.license",
    "ss_output_name",
    "ss_sd_model_name",
    "ss_base_model_version",
    "ss_clip_skip",
    "ss_resolution",
    "ss_num_train_images",
    "ss_steps",
    "ss_training_comment",
)
"""Entries of the metadata of sd-scripts that matter to who uses the file, of more than a hundred."""


@dataclass(frozen=True)
class LoraReport:
    """Ranks and α (each smallest first; no α stated means that it is the rank), changed layers by part, tags."""

    kinds: tuple[str, ...]
    ranks: tuple[int, ...]
    alphas: tuple[float, ...]
    layers: Mapping[str, int]
    tags: tuple[str, ...]
    """The commonest of its training captions: trigger words are among them."""

    @classmethod
    def of(cls, file: LoraFile) -> "LoraReport":
        counts: dict[str, int] = {part: len(file.of(part)) for part in _PARTS if file.of(part)}
        return cls(file.kinds, file.ranks, file.alphas, counts, tuple(tags(file.archive.metadata)))


def told(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a LoRA's metadata that a person wants to read."""
    own = {name: metadata[name] for name in _TOLD if metadata.get(name) not in (None, "", "None")}
    return own | {
        name: value for name, value in metadata.items() if not name.startswith(("ss_", "modelspec.", "sshs_"))
    }


def tags(metadata: Mapping[str, Any], count: int = _MAX_TAGS) -> list[str]:
    """The commonest tags of the training captions, as sd-scripts notes them: {folder: {tag: number}} in JSON.

    [] where the file does not say, or not in that form.
    """
    try:
        found = json.loads(metadata.get("ss_tag_frequency", "{}"))
        totals: dict[str, int] = {}
        for of_folder in found.values():
            for tag, number in of_folder.items():
                totals[tag.strip()] = totals.get(tag.strip(), 0) + int(number)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []
    return sorted((tag for tag in totals if tag), key=lambda tag: -totals[tag])[:count]
