"""What files beside the weights say: the .yaml of an original checkpoint, the JSON files of a diffusers folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import yaml

from cn.checkpoints.checkpoint import ControlSpec
from cn.checkpoints.infer import END_TOKEN
from cn.errors import InputError, WeightsError
from cn.model.config import ModelConfig, Prediction, ScheduleConfig, Spacing, TextConfig, UNetConfig, VAEConfig

_PREDICTIONS: Mapping[str, Prediction] = {"epsilon": "eps", "eps": "eps", "v_prediction": "v", "v": "v"}
_SPACINGS: Mapping[str, Spacing] = {"leading": "leading", "trailing": "trailing_stride"}
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


@dataclass(frozen=True)
class Yaml:
    """The settings of an original configuration file that the weights do not show; None where it is silent."""

    prediction: Prediction | None = None
    heads: int | None = None
    head_dim: int | None = None
    only_middle: bool = False
    pooled: bool = False
    schedule: Mapping[str, Any] | None = None
    scale: float | None = None

    def unet(self, config: UNetConfig) -> UNetConfig:
        if self.heads is None and self.head_dim is None:
            return config
        return replace(config, heads=self.heads, head_dim=self.head_dim)

    def model(self, config: ModelConfig) -> ModelConfig:
        vae = replace(config.vae, scale=self.scale or config.vae.scale)
        schedule = replace(config.schedule, **(self.schedule or {}))
        return replace(config, unet=self.unet(config.unet), vae=vae, schedule=schedule)

    def control(self, spec: ControlSpec) -> ControlSpec:
        links = "middle" if self.only_middle else spec.links
        return replace(spec, unet=self.unet(spec.unet), links=links, pooled=self.pooled)


def read_yaml(weights: Path) -> Yaml:
    """The settings in `NAME.yaml` beside `NAME.safetensors`; nothing when it is not there. InputError if unreadable."""
    path = next((p for s in (".yaml", ".yml") if (p := weights.with_suffix(s)).is_file()), None)
    if path is None:
        return Yaml()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({' '.join(str(error).split()):.200})") from None
    params = _inside(content, "model", "params")
    unet = _inside(params, "unet_config", "params") or _inside(params, "control_stage_config", "params")
    heads, head_dim = _number(unet.get("num_heads")), _number(unet.get("num_head_channels"))
    names = {"steps": "timesteps", "beta_start": "linear_start", "beta_end": "linear_end"}
    schedule = {ours: params[theirs] for ours, theirs in names.items() if _number(params.get(theirs))}
    try:
        ScheduleConfig(**schedule)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from None
    parameterization = params.get("parameterization", "eps" if params else None)
    if parameterization is not None and parameterization not in _PREDICTIONS:
        raise WeightsError(f"{path}: predicts {parameterization}; cn knows eps and v")
    return Yaml(
        prediction=_PREDICTIONS[parameterization] if parameterization is not None else None,
        heads=int(heads) if heads else None,
        head_dim=int(head_dim) if head_dim and not heads else None,
        only_middle=params.get("only_mid_control") is True,
        pooled=params.get("global_average_pooling") is True,
        schedule=schedule,
        scale=_number(params.get("scale_factor")),
    )


def _inside(content: object, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def _number(value: object) -> float | None:
    """A positive number, or None for anything else (-1 stands for "not set" in these files)."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return cast(float, value) if usable else None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; {} when the file is not there, InputError when it is something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: a JSON object was expected")
    return content


def unet_settings(config: UNetConfig, settings: Mapping[str, Any], path: Path) -> UNetConfig:
    """Heads and groups from a diffusers U-Net's or ControlNet's config.json.

    Its `attention_head_dim` holds the number of heads; the name is wrong, and diffusers keeps it so. Raises
    WeightsError for settings that no Stable Diffusion has.
    """
    for name, usual in _REQUIRED.items():
        if name in settings and settings[name] != usual:
            raise WeightsError(f"{path}: {name} is {settings[name]!r}; Stable Diffusion has {usual!r}")
    groups = settings.get("norm_num_groups") or config.groups
    heads = settings.get("num_attention_heads") or settings.get("attention_head_dim")
    if heads is None:
        return replace(config, groups=groups)
    counts = list(heads) if isinstance(heads, list) else [heads] * len(config.channels)
    if len(counts) != len(config.channels) or not all(isinstance(n, int) and n > 0 for n in counts):
        raise WeightsError(f"{path}: attention_head_dim {heads!r} does not go with {len(config.channels)} levels")
    if len(set(counts)) == 1:
        return replace(config, groups=groups, heads=counts[0], head_dim=None)
    widths = {channels / n for channels, n in zip(config.channels, counts, strict=True)}
    if len(widths) != 1:
        raise WeightsError(f"{path}: neither the number nor the width of its attention heads is the same everywhere")
    return replace(config, groups=groups, heads=None, head_dim=int(widths.pop()))


def vae_settings(config: VAEConfig, settings: Mapping[str, Any], path: Path) -> VAEConfig:
    if settings.get("shift_factor") is not None:
        raise WeightsError(f"{path}: an autoencoder with a shift factor is not one of Stable Diffusion 1 or 2")
    scale, groups = settings.get("scaling_factor") or config.scale, settings.get("norm_num_groups") or config.groups
    return replace(config, scale=float(scale), groups=groups)


def text_settings(config: TextConfig, settings: Mapping[str, Any], tokenizer: Path) -> TextConfig:
    """Activation and heads from text_encoder/config.json, the padding from tokenizer/.

    The `pad_token_id` of the published config.json is wrong, and so nobody may read it.
    """
    activation = settings.get("hidden_act", "quick_gelu")
    if activation not in ("quick_gelu", "gelu"):
        raise WeightsError(f"{tokenizer.parent}: its text encoder's activation is {activation!r}, which CLIP's is not")
    pad = read_json(tokenizer / "special_tokens_map.json").get("pad_token")
    pad = pad or read_json(tokenizer / "tokenizer_config.json").get("pad_token")
    pad = pad.get("content") if isinstance(pad, dict) else pad
    pads = {"!": 0, "<|endoftext|>": END_TOKEN, None: END_TOKEN if activation == "quick_gelu" else 0}
    if pad not in pads:
        raise WeightsError(f"{tokenizer}: pads prompts with {pad!r}; CLIP's tokenizers pad with '!' or <|endoftext|>")
    return replace(
        config,
        heads=settings.get("num_attention_heads") or config.heads,
        quick_gelu=activation == "quick_gelu",
        pad_id=pads[pad],
    )


def schedule_settings(path: Path) -> ScheduleConfig:
    """The noise schedule from scheduler_config.json, whichever sampler it names: cn draws with DDIM.

    What counts is what StableDiffusionControlNetPipeline with DDIM makes of the file. Where the file is silent, the
    published Stable Diffusion's value is taken: the defaults of DDIMScheduler are those of another model.
    Raises WeightsError for settings that cn does not draw with.
    """
    settings = {name: value for name, value in read_json(path).items() if value is not None}
    prediction = settings.get("prediction_type", "epsilon")
    if prediction not in _PREDICTIONS:
        raise WeightsError(f"{path}: predicts {prediction!r}; cn knows epsilon and v_prediction")
    if settings.get("trained_betas") is not None or settings.get("beta_schedule", "scaled_linear") != "scaled_linear":
        raise WeightsError(f"{path}: only the scaled-linear noise schedule of Stable Diffusion is known to cn")
    for name in ("clip_sample", "thresholding"):
        if settings.get(name, False) is not False:
            raise WeightsError(f"{path}: {name} limits latents to a range that Stable Diffusion's leave; set it to false")
    spacing = settings.get("timestep_spacing", "leading")
    if spacing not in _SPACINGS:
        raise WeightsError(f"{path}: timestep_spacing is {spacing!r}; cn knows leading and trailing: set one of them")
    known = {ours: settings[theirs] for theirs, ours in _SCHEDULE.items() if theirs in settings}
    # Trailing timesteps are there to come from pure noise to a clean picture, unless the file says otherwise.
    known.setdefault("final_alpha_one", spacing == "trailing")
    try:
        return ScheduleConfig(prediction=_PREDICTIONS[prediction], spacing=_SPACINGS[spacing], **known)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from None
