"""The latent-diffusion U-Net: 12 encoder blocks, a middle block, 12 decoder blocks (§3.2, Fig. 3).

The encoder with its middle block is a module of its own, because a ControlNet is a trainable copy of exactly that.
Source: LDM openaimodel.py (UNetModel).
"""

from collections.abc import Sequence

from torch import Tensor, nn

from cn.model.attention import Context, SpatialTransformer
from cn.model.blocks import Downsample, ResBlock, TimeEmbedding, Upsample
from cn.model.config import UNetConfig
from cn.model.layers import join, normalize, repeated

Control = Sequence[Tensor | None]
"""Residuals for the 12 skip connections, in encoder order, then for the middle block; None adds nothing.

One more is added after the input convolution: what a condition in further input channels adds (`ConcatBaseline`).
"""


def _transformer(config: UNetConfig, width: int) -> SpatialTransformer:
    return SpatialTransformer(
        width,
        config.heads_at(width),
        config.context_dim,
        depth=config.transformer_depth,
        linear_projection=config.linear_projection,
        groups=config.groups,
    )


class Block(nn.Module):
    """One main block: ResBlock, then optionally a transformer and an upsampling."""

    def __init__(self, res: ResBlock, attention: SpatialTransformer | None = None, upsample: Upsample | None = None):
        super().__init__()
        self.res = res
        self.attention = attention
        self.upsample = upsample

    def forward(self, x: Tensor, emb: Tensor, text: Context, size: tuple[int, int] | None = None) -> Tensor:
        x = self.res(x, emb)
        if self.attention is not None:
            x = self.attention(x, text)
        return self.upsample(x, size) if self.upsample is not None else x


class MiddleBlock(nn.Module):
    """ResBlock, transformer, ResBlock at the coarsest resolution."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        width, time_dim = config.channels[-1], 4 * config.channels[0]
        self.res_1 = ResBlock(width, width, time_dim, groups=config.groups)
        self.attention = _transformer(config, width)
        self.res_2 = ResBlock(width, width, time_dim, groups=config.groups)

    def forward(self, x: Tensor, emb: Tensor, text: Context) -> Tensor:
        x = self.attention(self.res_1(x, emb), text)
        return self.res_2(x, repeated(emb, len(x)))


class Encoder(nn.Module):
    """Time embedding, the 12 encoder blocks (the first is the input convolution) and the middle block."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        time_dim = 4 * config.channels[0]
        self.time_embedding = TimeEmbedding(config.channels[0])
        blocks: list[nn.Module] = [nn.Conv2d(config.in_channels, config.channels[0], 3, padding=1)]
        self.widths = [config.channels[0]]
        for level, width in enumerate(config.channels):
            for _ in range(config.res_blocks):
                res = ResBlock(self.widths[-1], width, time_dim, groups=config.groups)
                blocks.append(Block(res, _transformer(config, width) if level in config.attention_levels else None))
                self.widths.append(width)
            if level < len(config.strides):
                blocks.append(Downsample(width, config.strides[level]))
                self.widths.append(width)
        self.blocks = nn.ModuleList(blocks)
        self.middle = MiddleBlock(config)

    def forward(
        self, z: Tensor, t: Tensor, text: Context, hint: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Latents (B, 4, H, W), timesteps (B,), text (R·B, 77, C) → the 12 features, the middle's, the time embedding.

        `hint` (B, C0, H, W) is the encoded condition of a ControlNet, added after the input convolution. With R texts
        for each of the latents (guidance has two), all that comes before the first cross-attention is the same for
        them and is computed once: these features have B rows, the others R·B.
        """
        emb = self.time_embedding(t)
        features: list[Tensor] = []
        x = z
        for block in self.blocks:
            x = block(x, repeated(emb, len(x)), text) if isinstance(block, Block) else block(x)
            if hint is not None and not features:
                x = repeated(x, len(hint)) + hint
            features.append(x)
        middle = self.middle(x, repeated(emb, len(x)), text)
        return features, middle, repeated(emb, len(middle))


class Decoder(nn.Module):
    """The 12 decoder blocks, each fed with one encoder feature, and the output convolution."""

    def __init__(self, config: UNetConfig, skip_widths: Sequence[int]):
        super().__init__()
        time_dim, skips = 4 * config.channels[0], list(skip_widths)
        current = config.channels[-1]
        blocks: list[Block] = []
        for level, width in reversed(list(enumerate(config.channels))):
            for i in range(config.res_blocks + 1):
                last = i == config.res_blocks and level > 0
                blocks.append(
                    Block(
                        ResBlock(current + skips.pop(), width, time_dim, groups=config.groups),
                        _transformer(config, width) if level in config.attention_levels else None,
                        Upsample(width, config.strides[level - 1]) if last else None,
                    )
                )
                current = width
        self.blocks = nn.ModuleList(blocks)
        self.norm_out = nn.GroupNorm(config.groups, current)
        self.conv_out = nn.Conv2d(current, config.out_channels, 3, padding=1)

    def forward(
        self, x: Tensor, emb: Tensor, text: Context, skips: Sequence[Tensor], added: Sequence[Tensor | None]
    ) -> Tensor:
        """The middle block's output, the 12 skips and what is added to them, first to last → (B, 4, H, W).

        Skips and what is added may have fewer rows, which are repeated.
        """
        remaining = list(zip(skips, added, strict=True))
        for block in self.blocks:
            x = join(x, *remaining.pop())
            size = (remaining[-1][0].shape[-2], remaining[-1][0].shape[-1]) if remaining else None
            x = block(x, emb, text, size)
        return self.conv_out(normalize(self.norm_out, x, silu=True))


class UNet(nn.Module):
    """ε_θ(z_t, t, c_t) of Eq. 10, or its v-prediction form; `control` is c_f."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, self.encoder.widths)

    def forward(self, z: Tensor, t: Tensor, text: Context, control: Control | None = None) -> Tensor:
        """(B, 4, H, W), (B,), (R·B, 77, C) and 13 residuals → (R·B, 4, H, W): R predictions for each of the latents.

        The residuals have B rows or R·B, and are added to the skips and the middle block's output. The encoder itself
        does not depend on the condition, so while it is locked, autograd keeps no graph of it (§3.2).
        """
        count = self.config.connections
        at_input = control[count] if control is not None and len(control) == count + 1 else None
        skips, x, emb = self.encoder(z, t, text, at_input)
        added: Sequence[Tensor | None] = [None] * len(skips)
        if control is not None:
            if len(control) not in (count, count + 1):
                raise ValueError(f"{len(control)} control residuals for {count} connections")
            *added, for_middle = control[:count]
            x = x if for_middle is None else x + repeated(for_middle, len(x))
        return self.decoder(x, emb, text, skips, added)
