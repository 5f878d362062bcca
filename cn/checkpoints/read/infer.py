"""Infer configurations from the shapes of tensors, so that models of unusual sizes load too.

Shapes do not show the number of attention heads: SD 1 has 8 everywhere, SD 2 has heads of width 64, and their
projections (1×1 convolutions or linear layers) distinguish the two. Text towers have heads of width 64.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cn.checkpoints.keymaps.keymap import Shape
from cn.checkpoints.read.unrecognized import reject_related_models
from cn.errors import WeightsError
from cn.model.config import END_TOKEN, TextConfig, UNetConfig, VAEConfig

Shapes = Mapping[str, Shape]
SettingsReader = Callable[[tuple[int, ...]], Mapping[str, Any]]
"""The channels of the levels → fields of the configuration that a sidecar file sets."""

_SD1_HEADS, _SD2_HEAD_DIM, _TEXT_HEAD_DIM = 8, 64, 64

_OPENCLIP_H = (1024, 24)
"""Width and layers of the complete text tower that SD 2 was trained with."""

_BY_CHANNELS = {
    8: "an InstructPix2Pix model",
    5: "a depth-to-image model",
    7: "an upscaler",
}
"""Models related to Stable Diffusion that are not read, by the input channels of their U-Net."""


@dataclass(frozen=True)
class _Level:
    width: int
    res_blocks: int
    transformer: str | None
    """The prefix of its first transformer."""


def _no_settings(channels: tuple[int, ...]) -> Mapping[str, Any]:
    return {}


def unet_config(shapes: Shapes, naming: str, settings: SettingsReader = _no_settings) -> UNetConfig:
    """The U-Net's (or ControlNet's) configuration from the tensors of its encoder; `settings` override guesses.

    Raises WeightsError for related models that take more than latents, and where the encoder is not recognized,
    ValueError where heads or groups do not divide the channels.
    """
    reject_related_models(shapes)
    ldm = naming == "ldm"
    try:
        first = shapes["input_blocks.0.0.weight" if ldm else "conv_in.weight"]
        levels = list(_ldm_levels(shapes) if ldm else _diffusers_levels(shapes))
        prefix = next(
            (level.transformer for level in levels if level.transformer),
            "middle_block.1" if ldm else "mid_block.attentions.0",
        )
        inner = f"{prefix}.transformer_blocks"
        context = shapes[f"{inner}.0.attn2.to_k.weight"][1]
        linear = len(shapes[f"{prefix}.proj_in.weight"]) == 2
        out = shapes.get("out.2.weight" if ldm else "conv_out.weight", (first[1],))
    except (KeyError, IndexError):
        raise WeightsError("its U-Net is not one of Stable Diffusion: the encoder is not recognized") from None
    if first[1] in _BY_CHANNELS:
        raise WeightsError(
            f"is {_BY_CHANNELS[first[1]]} (its U-Net takes {first[1]} channels); cn reads those that "
            "take 4, and inpainting models, which take 9"
        )
    if len({level.res_blocks for level in levels}) != 1:
        raise WeightsError("its U-Net has levels of different depths, unlike any Stable Diffusion")
    channels = tuple(level.width for level in levels)
    guessed = {"heads": None if linear else _SD1_HEADS, "head_dim": _SD2_HEAD_DIM if linear else None}
    return UNetConfig(
        in_channels=first[1],
        out_channels=out[0],
        channels=channels,
        strides=(2,) * (len(levels) - 1),
        res_blocks=levels[0].res_blocks,
        attention_levels=tuple(i for i, level in enumerate(levels) if level.transformer),
        transformer_depth=_count(shapes, inner + ".{}.norm1.weight"),
        context_dim=context,
        linear_projection=linear,
        **guessed | dict(settings(channels)),
    )


def _ldm_levels(shapes: Shapes) -> list[_Level]:
    """The encoder's levels, separated by downsampling."""
    levels, current = [], []
    for n in itertools.count(1):
        if f"input_blocks.{n}.0.in_layers.2.weight" in shapes:
            current.append(n)
            continue
        if current:
            attention = f"input_blocks.{current[0]}.1"
            width = shapes[f"input_blocks.{current[0]}.0.in_layers.2.weight"][0]
            has = f"{attention}.norm.weight" in shapes
            levels.append(_Level(width, len(current), attention if has else None))
        if f"input_blocks.{n}.0.op.weight" not in shapes:
            return levels
        current = []
    raise AssertionError("itertools.count ended")


def _diffusers_levels(shapes: Shapes) -> list[_Level]:
    levels = []
    for level in range(_count(shapes, "down_blocks.{}.resnets.0.conv1.weight")):
        block = f"down_blocks.{level}"
        attention = f"{block}.attentions.0"
        levels.append(
            _Level(
                shapes[f"{block}.resnets.0.conv1.weight"][0],
                _count(shapes, block + ".resnets.{}.conv1.weight"),
                attention if f"{attention}.norm.weight" in shapes else None,
            )
        )
    return levels


def vae_config(shapes: Shapes, naming: str, settings: Mapping[str, Any] | None = None) -> VAEConfig:
    """The VAE's configuration; the scale of its latents is Stable Diffusion's unless `settings` set it."""
    conv = "encoder.down.{}.block.0.conv1" if naming == "ldm" else "encoder.down_blocks.{}.resnets.0.conv1"
    deep = "encoder.down.0.block.{}.conv1" if naming == "ldm" else "encoder.down_blocks.0.resnets.{}.conv1"
    try:
        levels = _count(shapes, f"{conv}.weight")
        channels = tuple(shapes[f"{conv.format(level)}.weight"][0] for level in range(levels))
        latents = shapes["post_quant_conv.weight"][0]
    except (KeyError, IndexError):
        raise WeightsError("its VAE is not one of Stable Diffusion") from None
    res_blocks = _count(shapes, f"{deep}.weight")
    return VAEConfig(channels=channels, res_blocks=res_blocks, latent_channels=latents, **(settings or {}))


def text_config(shapes: Shapes, naming: str, *, full_clip: bool = False) -> TextConfig:
    """The text tower's configuration. WeightsError for anything but a CLIP text tower.

    SD 2 runs all layers of OpenCLIP's tower but the last. The published files also hold the last one, and so does any
    file with the rest of CLIP's text part (`full_clip`: projection, temperature); files made from diffusers folders
    do not.
    """
    is_open_clip = naming == "open_clip"
    layer = "transformer.resblocks.{}.ln_1.weight" if is_open_clip else "encoder.layers.{}.layer_norm1.weight"
    token, position = (
        ("token_embedding.weight", "positional_embedding")
        if is_open_clip
        else ("embeddings.token_embedding.weight", "embeddings.position_embedding.weight")
    )
    try:
        (vocabulary, width), length = shapes[token], shapes[position][0]
    except (KeyError, ValueError, IndexError):
        raise WeightsError("its text encoder is not a CLIP text tower") from None
    layers = _count(shapes, layer)
    unused = is_open_clip and (full_clip or (width, layers) == _OPENCLIP_H)
    if width % _TEXT_HEAD_DIM or layers < 1 + unused:
        raise WeightsError(f"its text encoder (width {width}, {layers} layers) is not a CLIP text tower")
    return TextConfig(
        width=width,
        heads=width // _TEXT_HEAD_DIM,
        layers=layers,
        run_layers=layers - unused,
        quick_gelu=not is_open_clip,
        pad_id=0 if is_open_clip else END_TOKEN,
        vocab_size=vocabulary,
        context_length=length,
    )


def condition_channels(shapes: Shapes, naming: str) -> int:
    """How many channels a ControlNet's condition has (3 for images)."""
    name = "input_hint_block.0.weight" if naming == "ldm" else "controlnet_cond_embedding.conv_in.weight"
    if len(shape := shapes.get(name, ())) != 4:
        raise WeightsError("its condition encoder is not the one of the published ControlNets")
    return shape[1]


def _count(shapes: Shapes, template: str) -> int:
    """How many of template.format(0), template.format(1), … exist, up to the first gap."""
    return next(n for n in itertools.count() if template.format(n) not in shapes)
