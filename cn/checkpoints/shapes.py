"""The names and shapes of every parameter of our networks, from a configuration alone.

With these, files are checked and converted without importing torch, which would take longer than most of the work. A
test compares them with the networks.
"""

from collections.abc import Iterator

from cn.checkpoints.checkpoint import ControlSpec
from cn.checkpoints.keymaps.keymap import Shape
from cn.checkpoints.layouts import PartName
from cn.model.config import ModelConfig, TextConfig, UNetConfig, VAEConfig

Named = Iterator[tuple[str, Shape]]

# Channels, kernel and last kernel of the two condition encoders: see cn/model/condition_encoder.py.
_ENCODERS = {"paper": ((16, 32, 64, 128), 4, 1), "released": ((16, 16, 32, 32, 96, 96, 256), 3, 3)}


def base_shapes(config: ModelConfig) -> dict[PartName, dict[str, Shape]]:
    """By part: our names → shapes."""
    return {"unet": dict(_unet(config.unet)), "vae": dict(_vae(config.vae)), "text": dict(_text(config.text))}


def control_shapes(spec: ControlSpec) -> dict[str, Shape]:
    """Our names → shapes. Raises KeyError for a condition encoder that does not exist."""
    return dict(_control(spec))


def _layer(name: str, *weight: int) -> Named:
    """A layer with a weight of this shape and a bias."""
    yield f"{name}.weight", weight
    yield f"{name}.bias", weight[:1]


def _res(name: str, inputs: int, outputs: int, time: int | None) -> Named:
    yield from _layer(f"{name}.norm_1", inputs)
    yield from _layer(f"{name}.conv_1", outputs, inputs, 3, 3)
    if time is not None:
        yield from _layer(f"{name}.time", outputs, time)
    yield from _layer(f"{name}.norm_2", outputs)
    yield from _layer(f"{name}.conv_2", outputs, outputs, 3, 3)
    if inputs != outputs:
        yield from _layer(f"{name}.skip", outputs, inputs, 1, 1)


def _transformer(name: str, width: int, config: UNetConfig) -> Named:
    projection = (width, width) if config.linear_projection else (width, width, 1, 1)
    yield from _layer(f"{name}.norm", width)
    yield from _layer(f"{name}.proj_in", *projection)
    yield from _layer(f"{name}.proj_out", *projection)
    for k in range(config.transformer_depth):
        block = f"{name}.blocks.{k}"
        for i in (1, 2, 3):
            yield from _layer(f"{block}.norm_{i}", width)
        for attention, source in (("self_attention", width), ("cross_attention", config.context_dim)):
            yield f"{block}.{attention}.q.weight", (width, width)
            yield f"{block}.{attention}.k.weight", (width, source)
            yield f"{block}.{attention}.v.weight", (width, source)
            yield from _layer(f"{block}.{attention}.out", width, width)
        yield from _layer(f"{block}.feed_forward.inner", 8 * width, width)
        yield from _layer(f"{block}.feed_forward.outer", width, 4 * width)


def _skips(config: UNetConfig) -> list[int]:
    """The channels of the encoder's skip connections, first to last."""
    widths = [config.channels[0]]
    for level, width in enumerate(config.channels):
        widths += [width] * (config.res_blocks + (level < len(config.strides)))
    return widths


def _encoder(config: UNetConfig) -> Named:
    first, last = config.channels[0], config.channels[-1]
    time = 4 * first
    yield from _layer("encoder.time_embedding.linear_1", time, first)
    yield from _layer("encoder.time_embedding.linear_2", time, time)
    yield from _layer("encoder.blocks.0", first, config.in_channels, 3, 3)
    number, current = 1, first
    for level, width in enumerate(config.channels):
        for _ in range(config.res_blocks):
            yield from _res(f"encoder.blocks.{number}.res", current, width, time)
            if level in config.attention_levels:
                yield from _transformer(f"encoder.blocks.{number}.attention", width, config)
            number, current = number + 1, width
        if level < len(config.strides):
            yield from _layer(f"encoder.blocks.{number}.conv", width, width, 3, 3)
            number += 1
    yield from _res("encoder.middle.res_1", last, last, time)
    yield from _transformer("encoder.middle.attention", last, config)
    yield from _res("encoder.middle.res_2", last, last, time)


def _unet(config: UNetConfig) -> Named:
    yield from _encoder(config)
    skips, current, number = _skips(config), config.channels[-1], 0
    for level, width in reversed(list(enumerate(config.channels))):
        for i in range(config.res_blocks + 1):
            block = f"decoder.blocks.{number}"
            yield from _res(f"{block}.res", current + skips.pop(), width, 4 * config.channels[0])
            if level in config.attention_levels:
                yield from _transformer(f"{block}.attention", width, config)
            if i == config.res_blocks and level > 0:
                yield from _layer(f"{block}.upsample.conv", width, width, 3, 3)
            number, current = number + 1, width
    yield from _layer("decoder.norm_out", current)
    yield from _layer("decoder.conv_out", config.out_channels, current, 3, 3)


def _control(spec: ControlSpec) -> Named:
    if spec.architecture == "concat":
        yield "channels.weight", (spec.unet.channels[0], spec.condition_channels, 3, 3)
        return
    yield from _encoder(spec.unet)
    widths, kernel, last_kernel = _ENCODERS[spec.condition_encoder]
    inputs = spec.condition_channels
    for n, width in enumerate(widths):
        yield from _layer(f"condition_encoder.layers.{n}", width, inputs, kernel, kernel)
        inputs = width
    yield from _layer("condition_encoder.zero", spec.unet.channels[0], inputs, last_kernel, last_kernel)
    for n, width in enumerate(_skips(spec.unet)):
        yield from _layer(f"zero_convolutions.{n}", width, width, 1, 1)
    yield from _layer("zero_middle", spec.unet.channels[-1], spec.unet.channels[-1], 1, 1)


def _vae(config: VAEConfig) -> Named:
    latents, widths = config.latent_channels, config.channels
    yield from _layer("quant", 2 * latents, 2 * latents, 1, 1)
    yield from _layer("post_quant", latents, latents, 1, 1)
    yield from _layer("encoder.conv_in", widths[0], 3, 3, 3)
    number, current = 0, widths[0]
    for level, width in enumerate(widths):
        for _ in range(config.res_blocks):
            yield from _res(f"encoder.blocks.{number}", current, width, None)
            number, current = number + 1, width
        if level < len(widths) - 1:
            yield from _layer(f"encoder.blocks.{number}.conv", width, width, 3, 3)
            number += 1
    yield from _vae_ends("encoder", current, current, 2 * latents)
    yield from _layer("decoder.conv_in", current, latents, 3, 3)
    number = 0
    for level, width in reversed(list(enumerate(widths))):
        for _ in range(config.res_blocks + 1):
            yield from _res(f"decoder.blocks.{number}", current, width, None)
            number, current = number + 1, width
        if level > 0:
            yield from _layer(f"decoder.blocks.{number}.conv", width, width, 3, 3)
            number += 1
    yield from _vae_ends("decoder", widths[-1], widths[0], 3)


def _vae_ends(coder: str, middle: int, last: int, outputs: int) -> Named:
    """The middle block and the output convolution."""
    yield from _res(f"{coder}.middle.res_1", middle, middle, None)
    yield from _layer(f"{coder}.middle.attention.norm", middle)
    for name in ("q", "k", "v", "out"):
        yield from _layer(f"{coder}.middle.attention.{name}", middle, middle, 1, 1)
    yield from _res(f"{coder}.middle.res_2", middle, middle, None)
    yield from _layer(f"{coder}.norm_out", last)
    yield from _layer(f"{coder}.conv_out", outputs, last, 3, 3)


def _text(config: TextConfig) -> Named:
    width = config.width
    yield "tower.token_embedding.weight", (config.vocab_size, width)
    yield "tower.positional_embedding", (config.context_length, width)
    for n in range(config.layers):
        block = f"tower.transformer.resblocks.{n}"
        yield from _layer(f"{block}.ln_1", width)
        yield f"{block}.attn.in_proj_weight", (3 * width, width)
        yield f"{block}.attn.in_proj_bias", (3 * width,)
        yield from _layer(f"{block}.attn.out_proj", width, width)
        yield from _layer(f"{block}.ln_2", width)
        yield from _layer(f"{block}.mlp.c_fc", 4 * width, width)
        yield from _layer(f"{block}.mlp.c_proj", width, 4 * width)
    yield from _layer("tower.ln_final", width)
