"""Configurations read off the shapes of tensors, so that narrow, wide and unusual models load too.

Shapes do not tell the number of attention heads: SD 1 has 8 everywhere, SD 2 has heads of width 64, and the two are
told apart by their projections (1×1 convolutions or linear layers). Text towers have heads of width 64.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cn.archives.entries import shown
from cn.checkpoints.keymaps.keymap import Shape
from cn.errors import WeightsError
from cn.model.config import TextConfig, UNetConfig, VAEConfig

Shapes = Mapping[str, Shape]
Told = Callable[[tuple[int, ...]], Mapping[str, Any]]
"""The channels of the levels → what a file beside the weights says of a configuration's other fields."""

END_TOKEN = 49407
_SD1_HEADS, _SD2_HEAD_DIM, _TEXT_HEAD_DIM = 8, 64, 64

_OPENCLIP_H = (1024, 24)
"""Width and layers of the whole tower that SD 2 was trained with."""

FAMILIES = {9: "an inpainting model", 8: "an InstructPix2Pix model", 5: "a depth-to-image model", 7: "an upscaler"}
"""Relatives of Stable Diffusion by the input channels of their U-Net."""


@dataclass(frozen=True)
class _Level:
    width: int
    res_blocks: int
    transformer: str | None
    """The prefix of its first transformer."""


def _nothing(channels: tuple[int, ...]) -> Mapping[str, Any]:
    return {}


def unet_config(shapes: Shapes, dialect: str, told: Told = _nothing) -> UNetConfig:
    """The U-Net's (or ControlNet's) configuration from the tensors of its encoder; `told` goes before guesses.

    Raises WeightsError for relatives that take more than latents, and where the encoder is not to be made out,
    ValueError where heads and groups do not go with the channels.
    """
    refuse_relatives(shapes)
    ldm = dialect == "ldm"
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
        raise WeightsError("its U-Net is not one of Stable Diffusion's kind: the encoder cannot be made out") from None
    if first[1] in FAMILIES:
        raise WeightsError(f"is {FAMILIES[first[1]]} (its U-Net takes {first[1]} channels); cn reads those that take 4")
    if len({level.res_blocks for level in levels}) != 1:
        raise WeightsError("its U-Net has levels of different depths, which no Stable Diffusion has")
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
        **guessed | dict(told(channels)),
    )


def _ldm_levels(shapes: Shapes) -> list[_Level]:
    """The encoder's levels, told apart by the downsampling between them."""
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


def vae_config(shapes: Shapes, dialect: str, told: Mapping[str, Any] | None = None) -> VAEConfig:
    """The autoencoder's configuration; the scale of its latents is Stable Diffusion's unless `told`."""
    conv = "encoder.down.{}.block.0.conv1" if dialect == "ldm" else "encoder.down_blocks.{}.resnets.0.conv1"
    deep = "encoder.down.0.block.{}.conv1" if dialect == "ldm" else "encoder.down_blocks.0.resnets.{}.conv1"
    try:
        levels = _count(shapes, f"{conv}.weight")
        channels = tuple(shapes[f"{conv.format(level)}.weight"][0] for level in range(levels))
        latents = shapes["post_quant_conv.weight"][0]
    except (KeyError, IndexError):
        raise WeightsError("its autoencoder is not one of Stable Diffusion's kind") from None
    deepest = _count(shapes, f"{deep}.weight")
    return VAEConfig(channels=channels, res_blocks=deepest, latent_channels=latents, **(told or {}))


def text_config(shapes: Shapes, dialect: str, *, whole_clip: bool = False) -> TextConfig:
    """The text tower's configuration. WeightsError as above.

    SD 2 runs all layers of OpenCLIP's tower but the last. The published files hold that one too, and so does any that
    has the rest of CLIP's text part (`whole_clip`: projection, temperature); files made from diffusers folders lack it.
    """
    original = dialect == "open_clip"
    layer = "transformer.resblocks.{}.ln_1.weight" if original else "encoder.layers.{}.layer_norm1.weight"
    token, position = (
        ("token_embedding.weight", "positional_embedding")
        if original
        else ("embeddings.token_embedding.weight", "embeddings.position_embedding.weight")
    )
    try:
        (vocabulary, width), length = shapes[token], shapes[position][0]
    except (KeyError, ValueError, IndexError):
        raise WeightsError("its text encoder is not a CLIP text tower") from None
    layers = _count(shapes, layer)
    idle = original and (whole_clip or (width, layers) == _OPENCLIP_H)
    if width % _TEXT_HEAD_DIM or layers < 1 + idle:
        raise WeightsError(f"its text encoder (width {width}, {layers} layers) is not a CLIP text tower")
    return TextConfig(
        width=width,
        heads=width // _TEXT_HEAD_DIM,
        layers=layers,
        run_layers=layers - idle,
        quick_gelu=not original,
        pad_id=0 if original else END_TOKEN,
        vocab_size=vocabulary,
        context_length=length,
    )


def condition_channels(shapes: Shapes, dialect: str) -> int:
    """How many channels a ControlNet's condition has (3 for images)."""
    name = "input_hint_block.0.weight" if dialect == "ldm" else "controlnet_cond_embedding.conv_in.weight"
    if len(shape := shapes.get(name, ())) != 4:
        raise WeightsError("its condition encoder is not that of the published ControlNets")
    return shape[1]


def _count(shapes: Shapes, template: str) -> int:
    """How many of template.format(0), template.format(1), … are there without a gap."""
    return next(n for n in itertools.count() if template.format(n) not in shapes)


_RELATIVES: tuple[tuple[str, str], ...] = (
    (r"low_scale_model\.", "an upscaler of Stable Diffusion 2"),
    (r"noise_augmentor\.|embedder\.", "a Stable unCLIP model, which takes images for prompts"),
    (r"(.*\.)?(time_stack|time_mixer|temporal_transformer_blocks|motion_modules)\.", "a video model or a part of one"),
    (r"(.*\.)?(task_embedding$|control_add_embedding\.)", "a ControlNet-Union of Stable Diffusion XL"),
    (r"conditioner\.|(.*\.)?add_embedding\.", "made for Stable Diffusion XL"),
    (r"(.*\.)?(label_emb|class_embedding)\.", "of a model that takes more than prompts (Stable Diffusion XL, unCLIP)"),
    (r"(.*\.)?lllite_", "a ControlNet-LLLite, which is no ControlNet of the paper's kind"),
)
"""Names that betray a relative of Stable Diffusion whose other names are the same, the most telling first."""


def refuse_relatives(names: Iterable[str]) -> None:
    """WeightsError for weights of a relative of Stable Diffusion 1 and 2 that cn does not know."""
    listed = list(names)
    for pattern, what in _RELATIVES:
        matches = re.compile(pattern).match
        if any(map(matches, listed)):
            raise WeightsError(f"is {what}; cn knows Stable Diffusion 1 and 2")


_STRANGERS: tuple[tuple[str, str], ...] = (
    (r".*(joint_blocks|double_blocks|single_blocks)\.", "a diffusion transformer (SD 3, FLUX or alike)"),
    (r"lora_controlnet$", "a ControlLoRA, which is no ControlNet by itself"),
    (r"difference$", "a difference file of the web UI: a ControlNet less its base; it needs that base added"),
    (r".*(lora_up|lora_down|lora_A|lora_B|lora\.up|lora\.down)\.", "a LoRA"),
    (r".*hada_w1", "a LyCORIS adapter"),
    (r"(adapter\.)?body\.\d+\.", "a T2I-Adapter"),
    (r"(image_proj|ip_adapter)\.", "an IP-Adapter"),
    (r"(string_to_param|emb_params|clip_l$)", "a textual inversion embedding"),
    (r"(first_stage_model\.)?(encoder\.down|decoder\.up)(_blocks)?\.", "an autoencoder (VAE) alone"),
    (r"(text_model\.)?encoder\.layers\.\d+\.self_attn|transformer\.resblocks\.", "a text encoder alone"),
    (r"(down_blocks|up_blocks|mid_block)\.", "one part of a diffusers folder; give the folder above it"),
    (r"cond_stage_model\.", "a text encoder alone"),
    (r"((model\.)?diffusion_model\.)?(input|middle|output)_blocks?\.", "a U-Net alone, and a base has more"),
)


def stranger(names: Mapping[str, object] | list[str]) -> str:
    """What a file is that holds neither a base nor a control, by its tensors' names."""
    for pattern, what in _STRANGERS:
        if any(re.match(pattern, name) for name in names):
            return what
    example = next(iter(names), None)
    return "unknown to cn" + (f" (its first tensor is called {shown(example)})" if example else ": it holds no tensors")
