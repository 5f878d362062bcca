"""The JSON files of a diffusers folder: settings that the weights do not show."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cn.checkpoints.layouts import DIFFUSERS_SPACINGS, PREDICTIONS
from cn.checkpoints.read.settings import number, read_json, whole_number
from cn.errors import WeightsError, about
from cn.model.config import END_TOKEN, ScheduleConfig, TextConfig
from cn.text import shown

_SCHEDULE: Mapping[str, str] = {
    "num_train_timesteps": "steps",
    "beta_start": "beta_start",
    "beta_end": "beta_end",
    "rescale_betas_zero_snr": "zero_terminal_snr",
    "set_alpha_to_one": "final_alpha_one",
    "steps_offset": "steps_offset",
}
"""Settings of a diffusers scheduler → the fields of `ScheduleConfig`."""
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
"""Settings of a diffusers U-Net that shapes do not show and that every Stable Diffusion has in common."""


def unet_settings(path: Path, channels: tuple[int, ...]) -> dict[str, Any]:
    """Heads and groups from a diffusers U-Net's or ControlNet's config.json, for `infer.unet_config`.

    Its `attention_head_dim` holds the number of heads; the misnomer is diffusers'. Raises InputError for values that
    are not numbers, WeightsError for settings that no Stable Diffusion has.
    """
    settings = read_json(path)
    with about(path):
        for name, usual in _REQUIRED.items():
            if name in settings and settings[name] != usual:
                raise WeightsError(f"{name} is {shown(repr(settings[name]))}; Stable Diffusion has {usual!r}")
        groups = whole_number(settings, "norm_num_groups")
        return ({} if groups is None else {"groups": groups}) | _heads(settings, channels)


def _heads(settings: Mapping[str, Any], channels: tuple[int, ...]) -> dict[str, Any]:
    """`heads` and `head_dim` of a diffusers U-Net; {} where its settings do not say."""
    name = "num_attention_heads" if settings.get("num_attention_heads") is not None else "attention_head_dim"
    if not isinstance(settings.get(name), list):
        heads = whole_number(settings, name)
        return {} if heads is None else {"heads": heads, "head_dim": None}
    counts = settings[name]
    if len(counts) != len(channels) or not all(type(n) is int and n > 0 for n in counts):
        raise WeightsError(f"{name} {shown(counts)} does not match {len(channels)} levels")
    if len(set(counts)) == 1:
        return {"heads": counts[0], "head_dim": None}
    widths = {width / n for width, n in zip(channels, counts, strict=True)}
    if len(widths) != 1:
        raise WeightsError("neither the number nor the width of its attention heads is the same at all levels")
    return {"heads": None, "head_dim": int(widths.pop())}


def vae_settings(path: Path) -> dict[str, Any]:
    """Scale and groups from a VAE's config.json, for `infer.vae_config`. Errors as `unet_settings`."""
    settings = read_json(path)
    with about(path):
        if settings.get("shift_factor") is not None:
            raise WeightsError("a VAE with a shift factor is not of Stable Diffusion 1 or 2")
        fields = {"scale": number(settings, "scaling_factor"), "groups": whole_number(settings, "norm_num_groups")}
        return {name: value for name, value in fields.items() if value is not None}


def text_settings(config: TextConfig, path: Path, tokenizer: Path, *, sd2: bool) -> TextConfig:
    """Activation and heads from text_encoder/config.json, the padding from tokenizer/. Errors as `unet_settings`.

    Defaults for missing files are those of the U-Net's family, SD 2 or SD 1. The `pad_token_id` of the published
    config.json is wrong and must not be read.
    """
    settings = read_json(path)
    with about(path):
        # The default of CLIPTextConfig is quick_gelu.
        activation = settings.get("hidden_act", "gelu" if sd2 and not settings else "quick_gelu")
        if activation not in ("quick_gelu", "gelu"):
            raise WeightsError(f"hidden_act is {shown(repr(activation))}; CLIP has quick_gelu or gelu")
        for name, usual in (("layer_norm_eps", 1e-5), ("use_attention_mask", False)):
            if (value := settings.get(name)) is not None and value != usual:
                raise WeightsError(f"{name} is {shown(repr(value))}; CLIP has {usual!r}")
        if (layers := settings.get("num_hidden_layers")) is not None and layers != config.layers:
            raise WeightsError(f"num_hidden_layers is {shown(repr(layers))}; but its weights have {config.layers}")
        heads = whole_number(settings, "num_attention_heads") or config.heads
    pad_id = _padding(tokenizer, 0 if sd2 else END_TOKEN)
    return replace(config, heads=heads, quick_gelu=activation == "quick_gelu", pad_id=pad_id)


def _padding(tokenizer: Path, default: int) -> int:
    """The token that pads prompts; `default` where the folder has no tokenizer settings."""
    found = [read_json(tokenizer / name) for name in ("special_tokens_map.json", "tokenizer_config.json")]
    pad = found[0].get("pad_token") or found[1].get("pad_token")
    pad = pad.get("content") if isinstance(pad, dict) else pad
    if pad is None:
        # The default of CLIPTokenizer is its end token.
        return END_TOKEN if any(found) else default
    for word, token in (("!", 0), ("<|endoftext|>", END_TOKEN)):
        if pad == word:
            return token
    raise WeightsError(f"pad_token is {shown(repr(pad))}; CLIP pads with '!' or '<|endoftext|>'", path=tokenizer)


def schedule_settings(path: Path) -> ScheduleConfig:
    """The noise schedule from scheduler_config.json, whichever sampler it names.

    Settings mean what they mean to StableDiffusionControlNetPipeline with DDIM. Defaults are the values of the
    published Stable Diffusion: those of DDIMScheduler belong to another model.
    Raises WeightsError for settings that cn does not support.
    """
    with about(path):
        return _schedule(path)


def _schedule(path: Path) -> ScheduleConfig:
    settings = {name: value for name, value in read_json(path).items() if value is not None}
    prediction = str(settings.get("prediction_type", "epsilon"))
    if prediction not in PREDICTIONS:
        raise WeightsError(f"prediction_type is {shown(repr(prediction))}; cn supports epsilon and v_prediction")
    if settings.get("trained_betas") is not None or settings.get("beta_schedule", "scaled_linear") != "scaled_linear":
        raise WeightsError("cn supports only the scaled-linear noise schedule of Stable Diffusion")
    for name in ("clip_sample", "thresholding"):
        if settings.get(name, False) is not False:
            raise WeightsError(f"{name} would clip Stable Diffusion's latents; set it to false")
    spacing = str(settings.get("timestep_spacing", "leading"))
    if spacing not in DIFFUSERS_SPACINGS:
        known = ", ".join(DIFFUSERS_SPACINGS)
        raise WeightsError(f"timestep_spacing is {shown(repr(spacing))}; cn supports {known}")
    fields = {ours: settings[theirs] for theirs, ours in _SCHEDULE.items() if theirs in settings}
    # Trailing timesteps end at a clean image, unless the file says otherwise.
    fields.setdefault("final_alpha_one", spacing == "trailing")
    try:
        return ScheduleConfig(prediction=PREDICTIONS[prediction], spacing=DIFFUSERS_SPACINGS[spacing], **fields)
    except ValueError as error:
        raise WeightsError(shown(error, 200)) from None
