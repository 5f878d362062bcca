"""The original single-file layout, written from diffusers' and transformers' tensors: an answer of its own.

Nothing here knows the product's loader; the names come from the official release and are checked against the golden
lists at full size. Parts are state dicts, so that shapes on the meta device will do.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

State = Mapping[str, Tensor]

UNET, VAE, CONTROL = "model.diffusion_model.", "first_stage_model.", "control_model."
SD1_TEXT, SD2_TEXT = "cond_stage_model.transformer.text_model.", "cond_stage_model.model."
RES = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def unet_name(name: str) -> str:
    """Diffusers' name of a U-Net's or ControlNet's tensor → the original's, without prefix."""
    match name.split("."):
        case ["time_embedding", layer, kind]:
            return f"time_embed.{0 if layer == 'linear_1' else 2}.{kind}"
        case ["conv_in", kind]:
            return f"input_blocks.0.0.{kind}"
        case ["conv_norm_out", kind]:
            return f"out.0.{kind}"
        case ["conv_out", kind]:
            return f"out.2.{kind}"
        case ["mid_block", "resnets", number, part, kind]:
            return f"middle_block.{2 * int(number)}.{RES[part]}.{kind}"
        case ["mid_block", "attentions", "0", *rest]:
            return ".".join(["middle_block.1", *rest])
        case ["down_blocks", level, "downsamplers", "0", "conv", kind]:
            return f"input_blocks.{3 * int(level) + 3}.0.op.{kind}"
        case ["down_blocks", level, layer, number, *rest]:
            return f"input_blocks.{3 * int(level) + int(number) + 1}.{_inner(layer, rest)}"
        case ["up_blocks", level, "upsamplers", "0", "conv", kind]:
            # The block without attention has the convolution right behind its ResBlock.
            return f"output_blocks.{3 * int(level) + 2}.{1 if level == '0' else 2}.conv.{kind}"
        case ["up_blocks", level, layer, number, *rest]:
            return f"output_blocks.{3 * int(level) + int(number)}.{_inner(layer, rest)}"
        case ["controlnet_cond_embedding", "conv_in", kind]:
            return f"input_hint_block.0.{kind}"
        case ["controlnet_cond_embedding", "blocks", number, kind]:
            return f"input_hint_block.{2 * int(number) + 2}.{kind}"
        case ["controlnet_cond_embedding", "conv_out", kind]:
            return f"input_hint_block.14.{kind}"
        case ["controlnet_down_blocks", number, kind]:
            return f"zero_convs.{number}.0.{kind}"
        case ["controlnet_mid_block", kind]:
            return f"middle_block_out.0.{kind}"
    raise KeyError(name)


def _inner(layer: str, rest: list[str]) -> str:
    return f"0.{RES[rest[0]]}.{rest[1]}" if layer == "resnets" else ".".join(["1", *rest])


def vae_name(name: str, levels: int = 4) -> str:
    """Diffusers' name of an autoencoder's tensor → the original's. The decoder's levels count backwards there."""
    match name.split("."):
        case [side, "conv_norm_out", kind]:
            return f"{side}.norm_out.{kind}"
        case [side, "mid_block", "resnets", number, part, kind]:
            return f"{side}.mid.block_{int(number) + 1}.{part.replace('conv_shortcut', 'nin_shortcut')}.{kind}"
        case [side, "mid_block", "attentions", "0", "to_out", "0", kind]:
            return f"{side}.mid.attn_1.proj_out.{kind}"
        case [side, "mid_block", "attentions", "0", part, kind]:
            return f"{side}.mid.attn_1.{'norm' if part == 'group_norm' else part.removeprefix('to_')}.{kind}"
        case [side, "down_blocks" | "up_blocks" as blocks, number, layer, *rest]:
            level = int(number) if blocks == "down_blocks" else levels - 1 - int(number)
            way = blocks.removesuffix("_blocks")
            if layer != "resnets":
                return f"{side}.{way}.{level}.{way}sample.conv.{rest[-1]}"
            return f"{side}.{way}.{level}.block.{rest[0]}.{rest[1].replace('conv_shortcut', 'nin_shortcut')}.{rest[2]}"
    return name


def unet_state(unet: State, prefix: str = UNET) -> dict[str, Tensor]:
    """A U-Net, or a ControlNet with `CONTROL` for prefix ("" as some publish it)."""
    return {prefix + unet_name(k): v for k, v in unet.items()}


def vae_state(vae: State) -> dict[str, Tensor]:
    """The original's attention is made of 1×1 convolutions: (C, C) becomes (C, C, 1, 1)."""
    levels = len({k.split(".")[2] for k in vae if k.startswith("decoder.up_blocks.")})
    named = {VAE + vae_name(k, levels): v for k, v in vae.items()}
    return {k: v[:, :, None, None] if ".attn_1." in k and v.ndim == 2 else v for k, v in named.items()}


def sd1_text_state(text: State) -> dict[str, Tensor]:
    ids = torch.arange(77)[None]
    own = {SD1_TEXT + k.removeprefix("text_model."): v for k, v in text.items()}
    return own | {f"{SD1_TEXT}embeddings.position_ids": ids}


def sd2_text_state(text: State, beyond: int = 1) -> dict[str, Tensor]:
    """open_clip's layout: q, k and v in one matrix, and `beyond` layers more than are run (random numbers)."""
    text = {k.removeprefix("text_model."): v for k, v in text.items()}
    out = {
        "token_embedding.weight": text["embeddings.token_embedding.weight"],
        "positional_embedding": text["embeddings.position_embedding.weight"],
    }
    width = out["positional_embedding"].shape[1]
    for kind in ("weight", "bias"):
        out[f"ln_final.{kind}"] = text[f"final_layer_norm.{kind}"]
    layers = len({k.split(".")[2] for k in text if k.startswith("encoder.layers.")})
    for number in range(layers + beyond):
        # A layer that is never run still has the shapes of the others.
        layer = {k.split(".", 3)[3]: v for k, v in text.items() if k.startswith(f"encoder.layers.{number}.")} or {
            k.split(".", 3)[3]: torch.randn_like(v) for k, v in text.items() if k.startswith("encoder.layers.0.")
        }
        out |= {f"transformer.resblocks.{number}.{k}": v for k, v in _resblock(layer).items()}
    out["text_projection"] = torch.randn_like(out["positional_embedding"][:1]).expand(width, width).clone()
    out["logit_scale"] = torch.randn_like(out["ln_final.bias"][0])
    return {SD2_TEXT + k: v for k, v in out.items()}


def _resblock(layer: State) -> dict[str, Tensor]:
    out = {}
    for kind in ("weight", "bias"):
        out[f"ln_1.{kind}"] = layer[f"layer_norm1.{kind}"]
        out[f"ln_2.{kind}"] = layer[f"layer_norm2.{kind}"]
        out[f"attn.in_proj_{kind}"] = torch.cat([layer[f"self_attn.{p}_proj.{kind}"] for p in "qkv"])
        out[f"attn.out_proj.{kind}"] = layer[f"self_attn.out_proj.{kind}"]
        out[f"mlp.c_fc.{kind}"] = layer[f"mlp.fc1.{kind}"]
        out[f"mlp.c_proj.{kind}"] = layer[f"mlp.fc2.{kind}"]
    return out


def schedule_state() -> dict[str, Tensor]:
    """The buffers of the noise schedule, in float32 as the release computes them."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = (1 - betas).cumprod(0)
    before = torch.cat([torch.ones(1, dtype=torch.float64), kept[:-1]])
    variance = betas * (1 - before) / (1 - kept)
    buffers = {
        "betas": betas,
        "alphas_cumprod": kept,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": kept.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - kept).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - kept).log(),
        "sqrt_recip_alphas_cumprod": kept.rsqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / kept - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * before.sqrt() / (1 - kept),
        "posterior_mean_coef2": (1 - before) * (1 - betas).sqrt() / (1 - kept),
        "logvar": torch.zeros(1000),
    }
    return {k: v.float() for k, v in buffers.items()}


def base_state(unet: State, vae: State, text: State) -> dict[str, Tensor]:
    """A whole original checkpoint. Stable Diffusion 2 is known by its linear projections."""
    linear = any(k.endswith(".proj_in.weight") and v.ndim == 2 for k, v in unet.items())
    words = sd2_text_state(text) if linear else sd1_text_state(text)
    return schedule_state() | unet_state(unet) | vae_state(vae) | words


def ema_junk(unet: State) -> dict[str, Tensor]:
    """What training adds to the weights: EMA weights under names without dots, which must not be read."""
    junk = {f"model_ema.{('diffusion_model.' + unet_name(k)).replace('.', '')}": v + 1 for k, v in unet.items()}
    return junk | {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(470000)}


def half(state: State) -> dict[str, Tensor]:
    return {k: v.half() if v.is_floating_point() else v for k, v in state.items()}


def write(path: Path, state: State, **extras: Any) -> Path:
    """Save by the ending: `.safetensors`; `.ckpt` {"state_dict": …, "global_step": …}; `.pth` the tensors alone."""
    own = {k: v.contiguous() for k, v in state.items()}
    if path.suffix == ".safetensors":
        save_file({k: v.clone() for k, v in own.items()}, path)
    elif path.suffix == ".ckpt":
        torch.save({"state_dict": own, "global_step": 840000, "epoch": 24, **extras}, path)
    else:
        torch.save(own, path)
    return path
