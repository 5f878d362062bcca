"""Weights that cn does not use, named by their tensors: related models, parts of models, adapters. No torch."""

import re
from collections.abc import Iterable, Mapping

from cn.archives.entries import Entry
from cn.errors import WeightsError
from cn.text import shown

_RELATED_MODELS: tuple[tuple[str, str], ...] = (
    (r"low_scale_model\.", "an upscaler of Stable Diffusion 2"),
    (r"noise_augmentor\.|embedder\.", "a Stable unCLIP model, which takes images as prompts"),
    (r"(.*\.)?(time_stack|time_mixer|temporal_transformer_blocks|motion_modules)\.", "a video model or part of one"),
    (r"(.*\.)?(task_embedding$|control_add_embedding\.)", "a ControlNet-Union of Stable Diffusion XL"),
    (r"conditioner\.|(.*\.)?add_embedding\.", "made for Stable Diffusion XL"),
    (r"(.*\.)?(label_emb|class_embedding)\.", "a model with inputs other than prompts (Stable Diffusion XL, unCLIP)"),
    (r"(.*\.)?lllite_", "a ControlNet-LLLite, which has another architecture than the paper's ControlNet"),
)
"""Tensor names that identify related models whose other names are Stable Diffusion's, the most specific first."""


def reject_related_models(names: Iterable[str]) -> None:
    """WeightsError for weights of related models that cn does not support."""
    listed = list(names)
    for pattern, what in _RELATED_MODELS:
        matches = re.compile(pattern).match
        if any(map(matches, listed)):
            raise WeightsError(f"is {what}; cn supports Stable Diffusion 1 and 2")


_EMBEDDING_WIDTHS = (768, 1024, 1280)
"""Of the text encoders of Stable Diffusion 1, 2 and XL."""

_UNRECOGNIZED: tuple[tuple[str, str], ...] = (
    (r"lora_controlnet$", "a ControlLoRA, which needs the base it was made from"),
    (r"difference$", "a difference file of the web UI: a ControlNet minus its base, which must be added to it"),
    (
        r".*(hada_w1|lokr_w1|oft_blocks|oft_diag|\.glora\.)",
        "a LyCORIS adapter (cn sample --lora adds LoHa and LoKr to a base)",
    ),
    (r".*(lora_up|lora_down|lora_A|lora_B|lora\.up|lora\.down)\.", "a LoRA (cn sample --lora adds it to a base)"),
    (r"(.*\.)?(controlnet_x_embedder|pos_embed_input|controlnet_blocks)\.", "a ControlNet of a diffusion transformer"),
    (
        r"(.*\.)?(joint_blocks|double_blocks|single_blocks|single_transformer_blocks|noise_refiner)\.",
        "a diffusion transformer (SD 3, FLUX or similar)",
    ),
    (
        r"((model\.)?diffusion_model\.|transformer\.|model\.)?(transformer_)?blocks\.\d+\.(attn|self_attn|cross_attn|norm)",
        "a diffusion transformer (PixArt, Wan or similar)",
    ),
    (r"(.*\.)?(rdb1|RDB1)\.conv", "an upscaler (ESRGAN)"),
    (r"(adapter\.)?body\.\d+\.", "a T2I-Adapter"),
    (r"(image_proj|ip_adapter)\.", "an IP-Adapter"),
    (r"(string_to_param|emb_params|clip_[lg]$)", "a textual inversion embedding"),
    (r"layer_structure$", "a hypernetwork"),
    (
        r"(first_stage_model\.)?(encoder\.down|decoder\.up)(_blocks)?\.",
        "only a VAE (cn sample --vae uses it in place of a base's own)",
    ),
    (r"(.*\.)?(vision_model|visual)\.", "an image encoder (CLIP)"),
    (r"(.*\.)?encoder\.block\.\d+\.layer\.\d+\.SelfAttention\.", "a T5 text encoder"),
    (r"(text_model\.)?encoder\.layers\.\d+\.self_attn|transformer\.resblocks\.", "only a text encoder"),
    (r"(down_blocks|up_blocks|mid_block)\.", "one part of a diffusers folder; give the parent folder"),
    (r"cond_stage_model\.", "only a text encoder"),
    (
        r"((model\.)?diffusion_model\.)?(input|middle|output)_blocks?\.",
        "only a U-Net, without VAE and text encoder",
    ),
)
"""Names of tensors, or of what a pickle holds besides them, that tell what a file is, the most specific first."""


def describe(entries: Mapping[str, Entry], extras: Mapping[str, str]) -> str:
    """What an unrecognized file is, by its tensors and the other things in it."""
    for pattern, what in _UNRECOGNIZED:
        matches = re.compile(pattern).match
        if any(map(matches, entries)) or any(map(matches, extras)):
            return what
    if len(entries) == 1 and next(iter(entries.values())).shape[-1:] in [(width,) for width in _EMBEDDING_WIDTHS]:
        return "a textual inversion embedding"
    example = next(iter(entries), None)
    return f"unknown to cn (its first tensor is {shown(example)})" if example else "empty: it holds no tensors"
