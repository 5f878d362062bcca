"""The JSON and text files of a diffusers folder, made from a configuration.

Field names are those of diffusers 0.42.1 and transformers 5.23; older and newer versions read them too.
"""

import json
from collections.abc import Mapping
from typing import Any

from cn.checkpoints.checkpoint import ControlSpec
from cn.checkpoints.layouts import DIFFUSERS_PREDICTIONS, DIFFUSERS_SPACINGS
from cn.model.config import (
    END_TOKEN,
    START_TOKEN,
    ModelConfig,
    ScheduleConfig,
    TextConfig,
    UNetConfig,
    VAEConfig,
)
from cn.model.tokens import clip_merges, clip_vocabulary

_VERSION = "0.24.0"
"""The release of diffusers whose format these files have."""


def pipeline_files(config: ModelConfig, control: ControlSpec | None) -> dict[str, str]:
    """Relative path → content of every file of a pipeline but its weights."""
    records: dict[str, Mapping[str, Any]] = {
        "model_index.json": _index(control is not None, config.unet.has_mask),
        "unet/config.json": _unet(config),
        "vae/config.json": _vae(config.vae, config.image_size),
        "text_encoder/config.json": _text(config.text),
        "scheduler/scheduler_config.json": _scheduler(config.schedule),
    }
    if control is not None:
        records["controlnet/config.json"] = control_settings(control)
    return {path: to_json(record) for path, record in records.items()} | _tokenizer(config.text)


def to_json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def _index(with_control: bool, inpainting: bool) -> dict[str, Any]:
    name = f"StableDiffusion{'ControlNet' if with_control else ''}{'Inpaint' if inpainting else ''}Pipeline"
    parts: dict[str, Any] = {"controlnet": ["diffusers", "ControlNetModel"]} if with_control else {}
    return {
        "_class_name": name,
        "_diffusers_version": _VERSION,
        **parts,
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }


def _encoder(config: UNetConfig) -> dict[str, Any]:
    """Settings common to a U-Net and a ControlNet. `attention_head_dim` is the number of heads, despite its name."""
    heads = [config.heads_at(width) for width in config.channels]
    down = ["CrossAttnDownBlock2D" if i in config.attention_levels else "DownBlock2D" for i in range(len(heads))]
    return {
        "_diffusers_version": _VERSION,
        "act_fn": "silu",
        "attention_head_dim": heads[0] if len(set(heads)) == 1 else heads,
        "block_out_channels": list(config.channels),
        "cross_attention_dim": config.context_dim,
        "down_block_types": down,
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": config.in_channels,
        "layers_per_block": config.res_blocks,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-5,
        "norm_num_groups": config.groups,
        "transformer_layers_per_block": config.transformer_depth,
        "use_linear_projection": config.linear_projection,
    }


def _unet(config: ModelConfig) -> dict[str, Any]:
    unet = config.unet
    levels = reversed(range(len(unet.channels)))
    return {
        "_class_name": "UNet2DConditionModel",
        **_encoder(unet),
        "center_input_sample": False,
        "out_channels": unet.out_channels,
        "sample_size": config.image_size // config.vae.factor,
        "up_block_types": ["CrossAttnUpBlock2D" if i in unet.attention_levels else "UpBlock2D" for i in levels],
    }


def control_settings(spec: ControlSpec) -> dict[str, Any]:
    """config.json of a ControlNet with the released condition encoder."""
    return {
        "_class_name": "ControlNetModel",
        **_encoder(spec.unet),
        "conditioning_channels": spec.condition_channels,
        "conditioning_embedding_out_channels": [16, 32, 96, 256],
        "controlnet_conditioning_channel_order": "rgb",
        "global_pool_conditions": spec.pooled,
    }


def _vae(config: VAEConfig, image_size: int) -> dict[str, Any]:
    levels = len(config.channels)
    return {
        "_class_name": "AutoencoderKL",
        "_diffusers_version": _VERSION,
        "act_fn": "silu",
        "block_out_channels": list(config.channels),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "in_channels": 3,
        "latent_channels": config.latent_channels,
        "layers_per_block": config.res_blocks,
        "norm_num_groups": config.groups,
        "out_channels": 3,
        "sample_size": image_size,
        "scaling_factor": config.scale,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }


def _text(config: TextConfig) -> dict[str, Any]:
    """`num_hidden_layers` counts the layers that run: diffusers' files lack SD 2's last layer."""
    return {
        "architectures": ["CLIPTextModel"],
        "attention_dropout": 0.0,
        "bos_token_id": START_TOKEN,
        "eos_token_id": END_TOKEN,
        "hidden_act": "quick_gelu" if config.quick_gelu else "gelu",
        "hidden_size": config.width,
        "intermediate_size": 4 * config.width,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": config.context_length,
        "model_type": "clip_text_model",
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.run_layers,
        "pad_token_id": config.pad_id,
        "projection_dim": config.width,
        "torch_dtype": "float32",
        "vocab_size": config.vocab_size,
    }


def _scheduler(config: ScheduleConfig) -> dict[str, Any]:
    # "trailing", which diffusers does not have, becomes the closest that it has: see `exportable`.
    spacings = {ours: theirs for theirs, ours in DIFFUSERS_SPACINGS.items()}
    return {
        "_class_name": "DDIMScheduler",
        "_diffusers_version": _VERSION,
        "beta_end": config.beta_end,
        "beta_schedule": "scaled_linear",
        "beta_start": config.beta_start,
        "clip_sample": False,
        "num_train_timesteps": config.steps,
        "prediction_type": DIFFUSERS_PREDICTIONS[config.prediction],
        "rescale_betas_zero_snr": config.zero_terminal_snr,
        "set_alpha_to_one": config.final_alpha_one or config.spacing == "trailing",
        "steps_offset": config.steps_offset,
        "timestep_spacing": spacings.get(config.spacing, "trailing"),
        "trained_betas": None,
    }


def _tokenizer(config: TextConfig) -> dict[str, str]:
    """CLIP's vocabulary and merges in the files that transformers reads."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    merges = clip_merges()
    vocabulary = [*clip_vocabulary(merges), start, end]
    pad = end if config.pad_id == END_TOKEN else "!"
    tokens = {"bos_token": start, "eos_token": end, "pad_token": pad, "unk_token": end}
    settings = {
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": config.context_length,
        "tokenizer_class": "CLIPTokenizer",
        **tokens,
    }
    return {
        "tokenizer/vocab.json": json.dumps({token: i for i, token in enumerate(vocabulary)}, ensure_ascii=False),
        "tokenizer/merges.txt": "\n".join(["#version: 0.2", *merges]) + "\n",
        "tokenizer/special_tokens_map.json": to_json(tokens),
        "tokenizer/tokenizer_config.json": to_json(settings),
    }
