"""Names that the original layout and diffusers have in common, and the place of block n in a stack of levels."""

from collections.abc import Callable, Mapping

from cn.model.config import UNetConfig, VAEConfig

Place = Callable[[int], Mapping[str, int]]

TRANSFORMER = {
    "norm": "norm",
    "proj_{side}": "proj_{side}",
    "blocks.{k}.norm_{i}": "transformer_blocks.{k}.norm{i}",
    "blocks.{k}.self_attention.{p}": "transformer_blocks.{k}.attn1.to_{p}",
    "blocks.{k}.self_attention.out": "transformer_blocks.{k}.attn1.to_out.0",
    "blocks.{k}.cross_attention.{p}": "transformer_blocks.{k}.attn2.to_{p}",
    "blocks.{k}.cross_attention.out": "transformer_blocks.{k}.attn2.to_out.0",
    "blocks.{k}.feed_forward.inner": "transformer_blocks.{k}.ff.net.0.proj",
    "blocks.{k}.feed_forward.outer": "transformer_blocks.{k}.ff.net.2",
}


def unet_places(config: UNetConfig) -> dict[str, Place]:
    """Block n of the encoder (the input convolution is 0) and of the decoder → its level and its index there.

    `after` counts the layers before the upsampling in a block of the original decoder.
    """
    blocks_per_level = config.res_blocks + 1
    top = len(config.channels) - 1
    return {
        "encoder": lambda n: {"level": (n - 1) // blocks_per_level, "index": (n - 1) % blocks_per_level},
        "decoder": lambda n: {
            "level": n // blocks_per_level,
            "index": n % blocks_per_level,
            "after": 1 + (top - n // blocks_per_level in config.attention_levels),
        },
    }


def vae_places(config: VAEConfig) -> dict[str, Place]:
    """As `unet_places`; `below` is the decoder's level counted from the image, as in the original layout."""
    down, up = config.res_blocks + 1, config.res_blocks + 2
    top = len(config.channels) - 1
    return {
        "encoder": lambda n: {"level": n // down, "index": n % down},
        "decoder": lambda n: {"level": n // up, "index": n % up, "below": top - n // up},
    }
