"""What files beside the weights say: the .yaml of an original checkpoint, the JSON files of a diffusers folder."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from cn.archives.entries import shown
from cn.checkpoints.checkpoint import ControlSpec
from cn.checkpoints.read.infer import END_TOKEN
from cn.errors import InputError, WeightsError
from cn.model.config import ModelConfig, Prediction, ScheduleConfig, Spacing, TextConfig

_PREDICTIONS: Mapping[str, Prediction] = {"epsilon": "eps", "eps": "eps", "v_prediction": "v", "v": "v"}
_SPACINGS: Mapping[str, Spacing] = {
    "leading": "leading",
    "linspace": "linspace",
    "trailing": "trailing_stride",
}
_SCHEDULE: Mapping[str, str] = {
    "num_train_timesteps": "steps",
    "beta_start": "beta_start",
    "beta_end": "beta_end",
    "rescale_betas_zero_snr": "zero_terminal_snr",
    "set_alpha_to_one": "final_alpha_one",
    "steps_offset": "steps_offset",
}
"""Settings of a diffusers scheduler, and our names of them."""
_REQUIRED: Mapping[str, object] = {
    "act_fn": "silu",
    "center_input_sample": False,
    "class_embed_type": None,
    "dual_cross_attention": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "norm_eps": 1e-5,
    "only_cross_attention": False,
    "resnet_time_scale_shift": "default",
}
"""Settings of a diffusers U-Net that no shape shows, and that are the same in every Stable Diffusion."""

_NOT_YAML = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What PyYAML lets through: dates and numbers that do not exist, tags on the wrong things, endless nesting."""


@dataclass(frozen=True)
class OriginalSettings:
    """The settings of an original configuration file that the weights do not show; None where it is silent."""

    prediction: Prediction | None = None
    heads: int | None = None
    head_dim: int | None = None
    only_middle: bool = False
    pooled: bool = False
    schedule: Mapping[str, Any] | None = None
    scale: float | None = None

    def heads_of(self, channels: tuple[int, ...]) -> dict[str, Any]:
        """What it says of a U-Net's attention heads, for `infer.unet_config`."""
        silent = self.heads is None and self.head_dim is None
        return {} if silent else {"heads": self.heads, "head_dim": self.head_dim}

    def model(self, config: ModelConfig) -> ModelConfig:
        vae = replace(config.vae, scale=self.scale or config.vae.scale)
        return replace(config, vae=vae, schedule=replace(config.schedule, **(self.schedule or {})))

    def control(self, spec: ControlSpec) -> ControlSpec:
        links = "middle" if self.only_middle else spec.links
        return replace(spec, links=links, pooled=self.pooled)


def read_yaml(weights: Path) -> OriginalSettings:
    """The settings in `NAME.yaml` beside `NAME.safetensors`; nothing when it is not there. InputError if unreadable."""
    path = next((p for s in (".yaml", ".yml") if (p := weights.with_suffix(s)).is_file()), None)
    if path is None:
        return OriginalSettings()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, *_NOT_YAML) as error:
        raise InputError(f"{path}: cannot be read as YAML ({shown(' '.join(str(error).split()), 200)})") from None
    params = _inside(content, "model", "params")
    unet = _inside(params, "unet_config", "params") or _inside(params, "control_stage_config", "params")
    # The original code says -1 where the other of the two counts.
    heads, head_dim = (
        _whole(unet, name, path) if unet.get(name) != -1 else None for name in ("num_heads", "num_head_channels")
    )
    numbers = {
        "steps": _whole(params, "timesteps", path),
        "beta_start": _number(params, "linear_start", path),
        "beta_end": _number(params, "linear_end", path),
    }
    schedule: dict[str, Any] = {name: value for name, value in numbers.items() if value is not None}
    try:
        ScheduleConfig(**schedule)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from None
    prediction = params.get("parameterization", "eps" if params else None)
    if prediction is not None and (not isinstance(prediction, str) or prediction not in _PREDICTIONS):
        raise WeightsError(f"{path}: predicts {shown(prediction)}; cn knows eps and v")
    return OriginalSettings(
        prediction=_PREDICTIONS[prediction] if prediction is not None else None,
        heads=heads,
        head_dim=head_dim if heads is None else None,
        only_middle=params.get("only_mid_control") is True,
        pooled=params.get("global_average_pooling") is True,
        schedule=schedule,
        scale=_number(params, "scale_factor", path),
    )


def _inside(content: object, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def _number(settings: Mapping[str, Any], name: str, path: Path) -> float | None:
    """A number above 0, None where the file `path` does not say it; InputError for anything else."""
    value = settings.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise InputError(f"{path}: {name} is {shown(repr(value))}, and should be a number above 0")
    return float(value)


def _whole(settings: Mapping[str, Any], name: str, path: Path) -> int | None:
    """As `_number` for whole numbers."""
    value = settings.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise InputError(f"{path}: {name} is {shown(repr(value))}, and should be a whole number above 0")
    return value


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; {} when the file is not there, InputError when it is something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({shown(error, 200)})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: a JSON object was expected")
    return content


def unet_settings(path: Path, channels: tuple[int, ...]) -> dict[str, Any]:
    """Heads and groups from a diffusers U-Net's or ControlNet's config.json, for `infer.unet_config`.

    Its `attention_head_dim` holds the number of heads; the name is wrong, and diffusers keeps it so. Raises
    InputError for what is no number, WeightsError for settings that no Stable Diffusion has.
    """
    settings = read_json(path)
    for name, usual in _REQUIRED.items():
        if name in settings and settings[name] != usual:
            raise WeightsError(f"{path}: {name} is {shown(repr(settings[name]))}; Stable Diffusion has {usual!r}")
    groups = _whole(settings, "norm_num_groups", path)
    told: dict[str, Any] = {} if groups is None else {"groups": groups}
    name = "num_attention_heads" if settings.get("num_attention_heads") is not None else "attention_head_dim"
    if not isinstance(settings.get(name), list):
        heads = _whole(settings, name, path)
        return told if heads is None else told | {"heads": heads, "head_dim": None}
    counts = settings[name]
    if len(counts) != len(channels) or not all(type(n) is int and n > 0 for n in counts):
        raise WeightsError(f"{path}: {name} {shown(counts)} does not go with {len(channels)} levels")
    if len(set(counts)) == 1:
        return told | {"heads": counts[0], "head_dim": None}
    widths = {width / n for width, n in zip(channels, counts, strict=True)}
    if len(widths) != 1:
        raise WeightsError(f"{path}: neither the number nor the width of its attention heads is the same everywhere")
    return told | {"heads": None, "head_dim": int(widths.pop())}


def vae_settings(path: Path) -> dict[str, Any]:
    """Scale and groups from an autoencoder's config.json, for `infer.vae_config`. Errors as above."""
    settings = read_json(path)
    if settings.get("shift_factor") is not None:
        raise WeightsError(f"{path}: an autoencoder with a shift factor is not one of Stable Diffusion 1 or 2")
    told = {"scale": _number(settings, "scaling_factor", path), "groups": _whole(settings, "norm_num_groups", path)}
    return {name: value for name, value in told.items() if value is not None}


def text_settings(config: TextConfig, path: Path, tokenizer: Path, *, sd2: bool) -> TextConfig:
    """Activation and heads from text_encoder/config.json, the padding from tokenizer/. Errors as above.

    Where one of them is missing, it is taken to be what goes with the U-Net: `sd2` says which. The `pad_token_id` of
    the published config.json is wrong, and so nobody may read it.
    """
    settings = read_json(path)
    # CLIPTextConfig has quick_gelu where its file does not say it.
    activation = settings.get("hidden_act", "gelu" if sd2 and not settings else "quick_gelu")
    if activation not in ("quick_gelu", "gelu"):
        raise WeightsError(f"{path}: its activation is {shown(repr(activation))}; CLIP has quick_gelu or gelu")
    for name, usual in (("layer_norm_eps", 1e-5), ("use_attention_mask", False), ("num_hidden_layers", config.layers)):
        if (said := settings.get(name)) is not None and said != usual:
            why = f"but its weights have {usual} layers" if name == "num_hidden_layers" else f"CLIP has {usual!r}"
            raise WeightsError(f"{path}: {name} is {shown(repr(said))}; {why}")
    return replace(
        config,
        heads=_whole(settings, "num_attention_heads", path) or config.heads,
        quick_gelu=activation == "quick_gelu",
        pad_id=_padding(tokenizer, 0 if sd2 else END_TOKEN),
    )


def _padding(tokenizer: Path, usual: int) -> int:
    """The token that fills up prompts; `usual` where the folder does not say anything."""
    found = [read_json(tokenizer / name) for name in ("special_tokens_map.json", "tokenizer_config.json")]
    pad = found[0].get("pad_token") or found[1].get("pad_token")
    pad = pad.get("content") if isinstance(pad, dict) else pad
    if pad is None:
        # CLIPTokenizer pads with its end token where its files do not say it.
        return END_TOKEN if any(found) else usual
    for word, token in (("!", 0), ("<|endoftext|>", END_TOKEN)):
        if pad == word:
            return token
    raise WeightsError(f"{tokenizer}: pads prompts with {shown(repr(pad))}; CLIP pads with '!' or '<|endoftext|>'")


def schedule_settings(path: Path) -> ScheduleConfig:
    """The noise schedule from scheduler_config.json, whichever sampler it names: cn draws with DDIM.

    What counts is what StableDiffusionControlNetPipeline with DDIM makes of the file. Where the file is silent, the
    published Stable Diffusion's value is taken: the defaults of DDIMScheduler are those of another model.
    Raises WeightsError for settings that cn does not draw with.
    """
    settings = {name: value for name, value in read_json(path).items() if value is not None}
    prediction = str(settings.get("prediction_type", "epsilon"))
    if prediction not in _PREDICTIONS:
        raise WeightsError(f"{path}: predicts {prediction!r}; cn knows epsilon and v_prediction")
    if settings.get("trained_betas") is not None or settings.get("beta_schedule", "scaled_linear") != "scaled_linear":
        raise WeightsError(f"{path}: only the scaled-linear noise schedule of Stable Diffusion is known to cn")
    for name in ("clip_sample", "thresholding"):
        if settings.get(name, False) is not False:
            raise WeightsError(f"{path}: {name} would cut off what Stable Diffusion's latents hold; set it to false")
    spacing = str(settings.get("timestep_spacing", "leading"))
    if spacing not in _SPACINGS:
        raise WeightsError(f"{path}: timestep_spacing is {spacing!r}; cn knows leading, linspace and trailing")
    known = {ours: settings[theirs] for theirs, ours in _SCHEDULE.items() if theirs in settings}
    # Trailing timesteps are there to come from pure noise to a clean image, unless the file says otherwise.
    known.setdefault("final_alpha_one", spacing == "trailing")
    try:
        return ScheduleConfig(prediction=_PREDICTIONS[prediction], spacing=_SPACINGS[spacing], **known)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from None
