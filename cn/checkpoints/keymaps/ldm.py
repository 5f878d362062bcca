"""The original single-file layout (CompVis, Stability AI, the official ControlNet): our names → its names.

Source: state dicts of LatentDiffusion (ldm/models/diffusion/ddpm.py) and ControlLDM (cldm/cldm.py). Prefixes such as
`model.diffusion_model.` are not part of these names: see `cn.checkpoints.layouts`.
"""

from cn.checkpoints.keymaps.keymap import Table
from cn.checkpoints.keymaps.shared import TRANSFORMER, unet_places, vae_places
from cn.model.config import UNetConfig, VAEConfig

RES = {
    "norm_1": "in_layers.0",
    "conv_1": "in_layers.2",
    "time": "emb_layers.1",
    "norm_2": "out_layers.0",
    "conv_2": "out_layers.3",
    "skip": "skip_connection",
}
ENCODER = {
    "encoder.time_embedding.linear_1": "time_embed.0",
    "encoder.time_embedding.linear_2": "time_embed.2",
    "encoder.blocks.0": "input_blocks.0.0",
    "encoder.blocks.{n}.res.{res}": "input_blocks.{n}.0.{res}",
    "encoder.blocks.{n}.attention.{transformer}": "input_blocks.{n}.1.{transformer}",
    "encoder.blocks.{n}.conv": "input_blocks.{n}.0.op",
    "encoder.middle.res_1.{res}": "middle_block.0.{res}",
    "encoder.middle.attention.{transformer}": "middle_block.1.{transformer}",
    "encoder.middle.res_2.{res}": "middle_block.2.{res}",
}
DECODER = {
    "decoder.blocks.{n}.res.{res}": "output_blocks.{n}.0.{res}",
    "decoder.blocks.{n}.attention.{transformer}": "output_blocks.{n}.1.{transformer}",
    "decoder.blocks.{n}.upsample.conv": "output_blocks.{n}.{after}.conv",
    "decoder.norm_out": "out.0",
    "decoder.conv_out": "out.2",
}
CONTROL = {
    "condition_encoder.layers.{n}": "input_hint_block.{twice}",
    "condition_encoder.zero": "input_hint_block.14",
    "zero_convolutions.{n}": "zero_convs.{n}.0",
    "zero_middle": "middle_block_out.0",
}
VAE_RES = {"norm_1": "norm1", "conv_1": "conv1", "norm_2": "norm2", "conv_2": "conv2", "skip": "nin_shortcut"}
VAE_ATTENTION = {"norm": "norm", "{p}": "{p}", "out": "proj_out"}
VAE = {
    "quant": "quant_conv",
    "post_quant": "post_quant_conv",
    "{coder}.conv_{side}": "{coder}.conv_{side}",
    "{coder}.norm_out": "{coder}.norm_out",
    "{coder}.middle.res_{i}.{res}": "{coder}.mid.block_{i}.{res}",
    "{coder}.middle.attention.{attention}": "{coder}.mid.attn_1.{attention}",
    "encoder.blocks.{n}.conv": "encoder.down.{level}.downsample.conv",
    "encoder.blocks.{n}.{res}": "encoder.down.{level}.block.{index}.{res}",
    "decoder.blocks.{n}.conv": "decoder.up.{below}.upsample.conv",
    "decoder.blocks.{n}.{res}": "decoder.up.{below}.block.{index}.{res}",
}


def unet(config: UNetConfig) -> Table:
    return Table(ENCODER | DECODER, {"res": RES, "transformer": TRANSFORMER}, unet_places(config))


def control(config: UNetConfig) -> Table:
    places = unet_places(config) | {"condition_encoder": lambda n: {"twice": 2 * n}}
    return Table(ENCODER | CONTROL, {"res": RES, "transformer": TRANSFORMER}, places)


def vae(config: VAEConfig) -> Table:
    return Table(VAE, {"res": VAE_RES, "attention": VAE_ATTENTION}, vae_places(config))
