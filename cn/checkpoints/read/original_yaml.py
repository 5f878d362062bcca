"""The .yaml of an original checkpoint: settings that the weights do not show."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from cn.checkpoints.checkpoint import ControlSpec
from cn.checkpoints.layouts import PREDICTIONS
from cn.checkpoints.read.settings import number, whole_number
from cn.errors import InputError, WeightsError, about
from cn.model.config import ModelConfig, Prediction, ScheduleConfig
from cn.text import shown

_NOT_YAML = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What PyYAML raises besides YAMLError: for impossible dates and numbers, misplaced tags, deep nesting."""


@dataclass(frozen=True)
class OriginalSettings:
    """Settings of an original configuration file that the weights do not show; None where it does not set them."""

    prediction: Prediction | None = None
    heads: int | None = None
    head_dim: int | None = None
    only_middle: bool = False
    pooled: bool = False
    schedule: Mapping[str, Any] | None = None
    scale: float | None = None

    def heads_of(self, channels: tuple[int, ...]) -> dict[str, Any]:
        """A U-Net's attention heads, for `infer.unet_config`."""
        unset = self.heads is None and self.head_dim is None
        return {} if unset else {"heads": self.heads, "head_dim": self.head_dim}

    def model(self, config: ModelConfig) -> ModelConfig:
        vae = replace(config.vae, scale=self.scale or config.vae.scale)
        return replace(config, vae=vae, schedule=replace(config.schedule, **(self.schedule or {})))

    def control(self, spec: ControlSpec) -> ControlSpec:
        links = "middle" if self.only_middle else spec.links
        return replace(spec, links=links, pooled=self.pooled)


def read_yaml(weights: Path) -> OriginalSettings:
    """The settings in `NAME.yaml` next to `NAME.safetensors`; none if it does not exist. InputError if unreadable."""
    path = next((p for s in (".yaml", ".yml") if (p := weights.with_suffix(s)).is_file()), None)
    if path is None:
        return OriginalSettings()
    with about(path):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, *_NOT_YAML) as error:
            raise InputError(f"invalid YAML ({shown(' '.join(str(error).split()), 200)})") from None
        return _original_settings(content)


def _original_settings(content: object) -> OriginalSettings:
    params = _inside(content, "model", "params")
    unet = _inside(params, "unet_config", "params") or _inside(params, "control_stage_config", "params")
    # The original code sets one of the two to -1 to use the other.
    heads, head_dim = (
        whole_number(unet, name) if unet.get(name) != -1 else None for name in ("num_heads", "num_head_channels")
    )
    numbers = {
        "steps": whole_number(params, "timesteps"),
        "beta_start": number(params, "linear_start"),
        "beta_end": number(params, "linear_end"),
    }
    schedule: dict[str, Any] = {name: value for name, value in numbers.items() if value is not None}
    try:
        ScheduleConfig(**schedule)
    except ValueError as error:
        raise WeightsError(shown(error, 200)) from None
    prediction = params.get("parameterization", "eps" if params else None)
    if prediction is not None and (not isinstance(prediction, str) or prediction not in PREDICTIONS):
        raise WeightsError(f"parameterization is {shown(prediction)}; cn supports eps and v")
    return OriginalSettings(
        prediction=PREDICTIONS[prediction] if prediction is not None else None,
        heads=heads,
        head_dim=head_dim if heads is None else None,
        only_middle=params.get("only_mid_control") is True,
        pooled=params.get("global_average_pooling") is True,
        schedule=schedule,
        scale=number(params, "scale_factor"),
    )


def _inside(content: object, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}
