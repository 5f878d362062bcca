"""The headers of cn's own files. No torch."""

from dataclasses import asdict
from typing import Any

from cn.archives.metadata import encode
from cn.checkpoints.checkpoint import ControlSpec
from cn.model.config import ModelConfig


def base_header(config: ModelConfig, **meta: Any) -> dict[str, str]:
    """The metadata of a base's file; `meta` are further entries, JSON-ready."""
    return encode({"role": "base", "config": config.to_dict(), **meta})


def control_header(spec: ControlSpec, **meta: Any) -> dict[str, str]:
    """The metadata of a control's file; `meta` as for `base_header`."""
    return encode({"role": "control", **control_record(spec), **meta})


def control_record(spec: ControlSpec) -> dict[str, Any]:
    """A ControlNet's description, JSON-ready; `ControlSpec.from_record` reads it."""
    record = {
        "kind": spec.kind,
        "unet": asdict(spec.unet),
        "condition_encoder": spec.condition_encoder,
        "condition_channels": spec.condition_channels,
        "links": spec.links,
        "base_sha256": spec.base_sha256,
    }
    if spec.architecture != "controlnet":
        record["architecture"] = spec.architecture
    return record | ({"pooled": True} if spec.pooled else {})
