"""The rank and α that PEFT writes beside the tensors: in a file's metadata, or in adapter_config.json. No torch."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cn.archives.archive import Archive
from cn.checkpoints.read.lora.names import REFUSED, AdapterPart
from cn.checkpoints.read.settings import read_json
from cn.errors import InputError, WeightsError
from cn.json_text import parse_json

METADATA_KEY = "lora_adapter_metadata"
"""Where diffusers (since 0.34) writes the settings of all parts, behind "unet." and "text_encoder."."""

_PREFIXES: Mapping[AdapterPart, str] = {"unet": "unet.", "text": "text_encoder."}


@dataclass(frozen=True)
class PeftSettings:
    """A LoraConfig of PEFT for each part; empty where nothing is stated."""

    by_part: Mapping[AdapterPart, Mapping[str, Any]]

    @classmethod
    def of(cls, archive: Archive) -> "PeftSettings":
        """From a file, or the adapter_config.json beside an adapter_model file. InputError for damaged settings."""
        if METADATA_KEY in archive.metadata:
            found = parse_json(archive.metadata[METADATA_KEY])
            if not isinstance(found, dict):
                raise InputError(f"its {METADATA_KEY} is not a JSON object")
            parts = {
                part: {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
                for part, prefix in _PREFIXES.items()
            }
        elif archive.path.stem == "adapter_model":
            shared = read_json(archive.path.with_name("adapter_config.json"))
            parts = dict.fromkeys(_PREFIXES, shared)
        else:
            parts = {}
        if any(settings.get("use_dora") for settings in parts.values()):
            raise WeightsError(f"is {REFUSED['dora']}")
        return cls(parts)

    def alpha(self, part: AdapterPart, layer: str, rank: int) -> float | None:
        """α of a layer (its dotted name) of this rank; None where it is not stated, which means the rank itself."""
        settings = self.by_part.get(part, {})
        patterns = settings.get("alpha_pattern") or {}
        if not isinstance(patterns, dict):
            raise InputError("its alpha_pattern is not a JSON object")
        whole = f"text_model.{layer}" if part == "text" else layer
        own = (a for name, a in patterns.items() if re.fullmatch(rf"(.*\.)?{re.escape(name)}", whole))
        alpha = next(own, settings.get("lora_alpha"))
        if alpha is None:
            return None
        if type(alpha) not in (int, float) or not math.isfinite(alpha):
            raise InputError(f"its lora_alpha is {alpha!r:.40}, and should be a number")
        # Rank-stabilized LoRA divides by √r instead of r.
        return float(alpha) * math.sqrt(rank) if settings.get("use_rslora") else float(alpha)
