"""diffusers' names for our parameters.

Source: UNet2DConditionModel, ControlNetModel and AutoencoderKL of diffusers 0.42.1.
"""

from cn.checkpoints.keymaps.keymap import Table
from cn.checkpoints.keymaps.shared import TRANSFORMER, unet_places, vae_places
from cn.model.config import UNetConfig, VAEConfig

RES = {
    "norm_{i}": "norm{i}",
    "conv_{i}": "conv{i}",
    "time": "time_emb_proj",
    "skip": "conv_shortcut",
}
ENCODER = {
    "encoder.time_embedding.linear_{i}": "time_embedding.linear_{i}",
    "encoder.blocks.0": "conv_in",
    "encoder.blocks.{n}.res.{res}": "down_blocks.{level}.resnets.{index}.{res}",
    "encoder.blocks.{n}.attention.{transformer}": "down_blocks.{level}.attentions.{index}.{transformer}",
    "encoder.blocks.{n}.conv": "down_blocks.{level}.downsamplers.0.conv",
    "encoder.middle.res_1.{res}": "mid_block.resnets.0.{res}",
    "encoder.middle.attention.{transformer}": "mid_block.attentions.0.{transformer}",
    "encoder.middle.res_2.{res}": "mid_block.resnets.1.{res}",
}
DECODER = {
    "decoder.blocks.{n}.res.{res}": "up_blocks.{level}.resnets.{index}.{res}",
    "decoder.blocks.{n}.attention.{transformer}": "up_blocks.{level}.attentions.{index}.{transformer}",
    "decoder.blocks.{n}.upsample.conv": "up_blocks.{level}.upsamplers.0.conv",
    "decoder.norm_out": "conv_norm_out",
    "decoder.conv_out": "conv_out",
}
CONTROL = {
    "condition_encoder.layers.0": "controlnet_cond_embedding.conv_in",
    "condition_encoder.layers.{n}": "controlnet_cond_embedding.blocks.{before}",
    "condition_encoder.zero": "controlnet_cond_embedding.conv_out",
    "zero_convolutions.{n}": "controlnet_down_blocks.{n}",
    "zero_middle": "controlnet_mid_block",
}
VAE_ATTENTION = {"norm": "group_norm", "{p}": "to_{p}", "out": "to_out.0"}
VAE = {
    "quant": "quant_conv",
    "post_quant": "post_quant_conv",
    "{coder}.conv_{side}": "{coder}.conv_{side}",
    "{coder}.norm_out": "{coder}.conv_norm_out",
    "{coder}.middle.res_1.{res}": "{coder}.mid_block.resnets.0.{res}",
    "{coder}.middle.res_2.{res}": "{coder}.mid_block.resnets.1.{res}",
    "{coder}.middle.attention.{attention}": "{coder}.mid_block.attentions.0.{attention}",
    "encoder.blocks.{n}.conv": "encoder.down_blocks.{level}.downsamplers.0.conv",
    "encoder.blocks.{n}.{res}": "encoder.down_blocks.{level}.resnets.{index}.{res}",
    "decoder.blocks.{n}.conv": "decoder.up_blocks.{level}.upsamplers.0.conv",
    "decoder.blocks.{n}.{res}": "decoder.up_blocks.{level}.resnets.{index}.{res}",
}
OLD_VAE_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""Names of the VAE's attention in the published folders of SD 1.5 and 2.x → in diffusers since 0.18."""


def unet(config: UNetConfig) -> Table:
    return Table(ENCODER | DECODER, {"res": RES, "transformer": TRANSFORMER}, unet_places(config))


def control(config: UNetConfig) -> Table:
    places = unet_places(config) | {"condition_encoder": lambda n: {"before": n - 1}}
    return Table(ENCODER | CONTROL, {"res": RES, "transformer": TRANSFORMER}, places)


def vae(config: VAEConfig) -> Table:
    return Table(VAE, {"res": RES, "attention": VAE_ATTENTION}, vae_places(config))


def current_name(name: str) -> str:
    """The current diffusers name of a tensor from an older VAE folder."""
    for old, new in OLD_VAE_ATTENTION.items():
        name = name.replace(old, new)
    return name
