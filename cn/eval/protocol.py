"""The frozen protocol of an evaluation: all that decides its figures, and a hash. No torch.

Figures are compared only where the hashes agree. `SamplingProtocol` decides the images: they are kept, and used again
by a later evaluation that measures something else in them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from cn.errors import InputError

VERSION = 1
"""Rises when a definition changes, so that old and new figures are not compared."""

_ADDED = ("vae_sha256", "lora")
"""Fields that came later."""


@dataclass(frozen=True)
class SamplingProtocol:
    """What decides the images, besides the control."""

    kind: str
    """The kind of the conditions."""
    data_sha256: str
    """Of the chosen pairs as the networks see them: maps, images and captions."""
    count: int
    size: int
    """Pixels of a side."""
    prompts: str
    """ "captions" (of the pairs) or "none" (the empty prompt)."""
    base_sha256: str
    """Of the base without control, whose autoencoder also makes the reconstructions."""
    steps: int
    scale: float
    strength: float
    precision: str
    sampler: str = "ddim"
    eta: float = 0.0
    seeds: str = "image i has seed i"
    version: int = VERSION
    vae_sha256: str = ""
    """Of a VAE in place of the base's own."""
    lora: tuple[str, ...] = ()
    """"SHA256:WEIGHT" of each file that is added to the base, sorted: their order decides nothing."""

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal."""
        return _sha256(self.record())

    def record(self) -> dict[str, Any]:
        """As plain values. Without what is not used, so that figures from before it could be are comparable."""
        found = asdict(self)
        return {name: value for name, value in found.items() if value or name not in _ADDED}


@dataclass(frozen=True)
class Protocol:
    """What decides the figures: the images, and how each measure is taken."""

    sampling: SamplingProtocol
    measures: Mapping[str, Mapping[str, Any]]
    """Name of the figure → detector, its parameters and weights, and the parameters of the measure."""
    version: int = VERSION

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal."""
        return _sha256(self.record())

    def record(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        measures = {name: dict(value) for name, value in self.measures.items()}
        return {"version": self.version, "sampling": self.sampling.record(), "measures": measures}

    @classmethod
    def from_record(cls, record: Any) -> "Protocol":
        """The inverse of `record`. Raises InputError (without a path) for anything else."""
        try:
            there = record["sampling"]
            names = [field.name for field in fields(SamplingProtocol)]
            given = {name: there[name] for name in names if name in there or name not in _ADDED}
            given["lora"] = tuple(given.get("lora", ()))
            measures = {str(name): dict(value) for name, value in record["measures"].items()}
            return cls(SamplingProtocol(**given), measures, record["version"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"holds no protocol of this version of cn ({type(error).__name__}: {error})") from error


def differences(there: Protocol | SamplingProtocol, here: Protocol | SamplingProtocol) -> list[str]:
    """What differs, a phrase each: "size: 64 there, 128 here"."""
    a, b = (_flat(one.record()) for one in (there, here))
    names = [name for name in (*a, *(b.keys() - a.keys())) if a.get(name) != b.get(name)]
    return [f"{name}: {_shown(a.get(name))} there, {_shown(b.get(name))} here" for name in names]


def _sha256(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= _flat(value, "" if name in ("sampling", "measures") else f"{prefix}{name} ")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return f"{text[:12]}…" if len(text) > 40 else text
