"""The names on which the original layout and diffusers agree, and where block n lies in a stack of levels."""

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

    `after` is how many layers of the original decoder block come before its upsampling.
    """
    per = config.res_blocks + 1
    top = len(config.channels) - 1
    return {
        "encoder": lambda n: {"level": (n - 1) // per, "index": (n - 1) % per},
        "decoder": lambda n: {
            "level": n // per,
            "index": n % per,
            "after": 1 + (top - n // per in config.attention_levels),
        },
    }


def vae_places(config: VAEConfig) -> dict[str, Place]:
    """As `unet_places`; `below` counts the decoder's levels from the image, as the original layout does."""
    down, up = config.res_blocks + 1, config.res_blocks + 2
    top = len(config.channels) - 1
    return {
        "encoder": lambda n: {"level": n // down, "index": n % down},
        "decoder": lambda n: {"level": n // up, "index": n % up, "below": top - n // up},
    }
