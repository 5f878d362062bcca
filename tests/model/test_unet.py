"""The U-Net and its parts against plain formulas, diffusers' numbers, and the published sizes."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from cn.model.attention import Attention, FeedForward, SpatialTransformer, TransformerBlock
from cn.model.blocks import Downsample, ResBlock, TimeEmbedding, Upsample, timestep_embedding, zero_convolution
from cn.model.config import PRESETS, UNetConfig
from cn.model.unet import Block, UNet
from tests.golden import cases
from tests.helpers import plain
from tests.helpers.model_helpers import TINY_V, UNETS, fill, golden, parameters, relative, unet, uniform

LAYOUTS = ["sd1", "sd2"]
EXACT = 2e-6
"""Norm-relative: float32 rounding through a whole narrow network."""


@pytest.mark.parametrize(("preset", "count"), [("sd15", 859_520_964), ("sd21", 865_910_724), ("sd21-v", 865_910_724)])
def test_published_sizes(preset: str, count: int) -> None:
    """The presets have exactly the published models' parameters."""
    with torch.device("meta"):
        assert parameters(UNet(PRESETS[preset].unet)) == count


@pytest.mark.parametrize("preset", list(PRESETS))
def test_twelve_blocks_each_side(preset: str) -> None:
    """12 encoder blocks, 12 decoder blocks, transformers where the configuration puts them and in the middle."""
    config = PRESETS[preset].unet
    with torch.device("meta"):
        net = UNet(config)
    assert len(net.encoder.blocks) == len(net.decoder.blocks) == 12
    with_attention = [isinstance(b, Block) and b.attention is not None for b in net.encoder.blocks]
    expected = [1 + 3 * level + i for level in config.attention_levels for i in range(2)]
    assert [i for i, has in enumerate(with_attention) if has] == expected
    assert sum(b.attention is not None for b in net.decoder.blocks) == 3 * len(config.attention_levels)
    assert isinstance(net.encoder.middle.attention, SpatialTransformer)


def test_heads() -> None:
    """SD 1 has eight heads at every width, SD 2 heads of 64."""
    sd1, sd2 = PRESETS["sd15"].unet, PRESETS["sd21"].unet
    assert [sd1.heads_at(w) for w in sd1.channels] == [8, 8, 8, 8]
    assert [sd2.heads_at(w) for w in sd2.channels] == [5, 10, 20, 20]


def test_configuration_is_checked() -> None:
    """Heads and their width exclude each other; every change of level needs a stride."""
    with pytest.raises(ValueError, match="exactly one"):
        UNetConfig(heads=8, head_dim=64)
    with pytest.raises(ValueError, match="exactly one"):
        UNetConfig(heads=None)
    with pytest.raises(ValueError, match="strides"):
        UNetConfig(strides=(2, 2))
    assert PRESETS["sd15"].unet.stride == 8
    assert PRESETS["scenes"].unet.stride == 4


def test_timestep_embedding() -> None:
    """Cosines first, then sines, of t·10000^(-i/half); float32 whatever the timesteps' type."""
    t = torch.tensor([0, 1, 17, 999])
    ours = timestep_embedding(t, 64)
    assert ours.dtype == torch.float32
    assert relative(ours, plain.timestep_embedding(t, 64)) < 3e-5  # angles up to 999 radians, in float32
    assert ours[0].tolist() == [1.0] * 32 + [0.0] * 32


def test_time_embedding_has_no_last_activation() -> None:
    """Linear, SiLU, Linear."""
    layer, t = fill(TimeEmbedding(32)), torch.tensor([3, 500])
    w = plain.weights(layer)
    h = plain.silu(plain.linear(plain.part(w, "linear_1."), timestep_embedding(t, 32).double()))
    assert relative(layer(t), plain.linear(plain.part(w, "linear_2."), h)) < EXACT


@pytest.mark.parametrize("scale", [1.0, 3e-3])
@pytest.mark.parametrize(("outputs", "time_dim"), [(64, 128), (32, 128), (64, None)])
def test_res_block(scale: float, outputs: int, time_dim: int | None) -> None:
    """The formula, with and without change of width and time; faint inputs make GroupNorm's eps of 1e-5 visible."""
    block = fill(ResBlock(32, outputs, time_dim))
    x = scale * uniform("x", (2, 32, 5, 4))
    emb = None if time_dim is None else uniform("emb", (2, time_dim))
    expected = plain.res_block(plain.weights(block), x.double(), emb if emb is None else emb.double(), 32, 1e-5)
    assert relative(block(x, emb), expected) < EXACT
    assert isinstance(block.skip, nn.Identity) == (outputs == 32)


@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize("context_dim", [None, 24])
def test_attention(heads: int, context_dim: int | None) -> None:
    """softmax(q·kᵀ/√d)·v by loops; no bias on q, k and v."""
    layer = fill(Attention(16, heads, context_dim))
    assert {k for k in layer.state_dict() if k.endswith("bias")} == {"out.bias"}
    x, text = 3 * uniform("x", (2, 6, 16)), uniform("text", (2, 7, 24))
    source = x if context_dim is None else text
    expected = plain.attention(plain.weights(layer), x.double(), source.double(), heads)
    assert relative(layer(x, None if context_dim is None else text), expected) < EXACT


def test_feed_forward_uses_the_exact_gelu() -> None:
    """value·GELU(gate) with the error function: the tanh approximation is detected."""
    layer, x = fill(FeedForward(16)), 2 * uniform("x", (2, 5, 16))
    w = plain.weights(layer)
    value, gate = plain.linear(plain.part(w, "inner."), x.double()).chunk(2, -1)
    assert relative(layer(x), plain.linear(plain.part(w, "outer."), value * plain.gelu(gate))) < EXACT
    tanh = nn.functional.gelu(gate, approximate="tanh")
    assert relative(layer(x), plain.linear(plain.part(w, "outer."), value * tanh)) > 10 * EXACT


@pytest.mark.parametrize("scale", [1.0, 3e-3])
def test_transformer_block(scale: float) -> None:
    """Three LayerNorms, three sums; faint inputs make LayerNorm's eps of 1e-5 visible."""
    block = fill(TransformerBlock(32, 4, 24))
    x, text = scale * uniform("x", (2, 6, 32)), uniform("text", (2, 7, 24))
    expected = plain.transformer_block(plain.weights(block), x.double(), text.double(), 4)
    assert relative(block(x, text), expected) < EXACT


@pytest.mark.parametrize("scale", [1.0, 1e-3])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("linear", [False, True])
def test_spatial_transformer(scale: float, depth: int, linear: bool) -> None:
    """Both projections and depths; faint inputs make GroupNorm's eps of 1e-6 visible."""
    layer = fill(SpatialTransformer(32, 4, 24, depth=depth, linear_projection=linear))
    assert layer.proj_in.weight.ndim == (2 if linear else 4)
    x, text = scale * uniform("x", (2, 32, 2, 3)), uniform("text", (2, 7, 24))
    expected = plain.transformer(plain.weights(layer), x.double(), text.double(), 4, 32)
    assert relative(layer(x, text), expected) < EXACT


def test_changes_of_resolution() -> None:
    """Down: padded alike on all sides. Up: nearest neighbor, to the given size if there is one, then 3×3."""
    x = uniform("x", (1, 8, 5, 6))
    down, level, up = fill(Downsample(8)), fill(Downsample(8, stride=1)), fill(Upsample(8))
    w = plain.part(plain.weights(down), "conv.")
    assert relative(down(x), plain.conv(w, x.double(), 2, pad=(1, 1))) < EXACT
    assert level(x).shape == x.shape
    w = plain.part(plain.weights(up), "conv.")
    assert relative(up(x), plain.conv(w, plain.nearest(x.double(), 10, 12))) < EXACT
    assert relative(up(x, (9, 11)), plain.conv(w, plain.nearest(x.double(), 9, 11))) < EXACT
    assert relative(up(x, (5, 6)), plain.conv(w, x.double())) < EXACT


def test_zero_convolution() -> None:
    """Weight and bias are zeros, the size is kept, and it can learn."""
    for kernel in (1, 3):
        layer = zero_convolution(3, 5, kernel)
        assert not any(p.any() for p in layer.parameters())
        assert all(p.requires_grad for p in layer.parameters())
        assert layer(torch.ones(1, 3, 4, 4)).shape == (1, 5, 4, 4)


@pytest.mark.parametrize("config", [UNETS["sd1"], UNETS["sd2"], TINY_V.unet], ids=[*LAYOUTS, "scenes-like"])
def test_whole_network_in_plain_formulas(config: UNetConfig) -> None:
    """Every layout, with an odd latent side, residuals and two timesteps."""
    net = fill(UNet(config)).requires_grad_(False).double()
    z, t = uniform("z", (2, 4, 6, 5)).double(), torch.tensor([1, 0])  # whose embeddings float32 holds well
    text = uniform("text", (2, 7, config.context_dim)).double()
    skips, middle, _ = net.encoder(z, t, text)
    control = [0.5 * uniform(f"c{i}", tuple(s.shape)).double() for i, s in enumerate([*skips, middle])]
    expected = plain.unet(plain.weights(net), config, z, t, text, control)
    assert relative(net(z, t, text, control), expected) < 1e-7


@pytest.mark.parametrize("layout", LAYOUTS)
def test_golden(layout: str) -> None:
    """diffusers' UNet2DConditionModel gives these numbers on the same weights."""
    x = cases.unet_inputs(layout)
    assert relative(unet(layout)(x["z"], x["t"], x["text"]), golden("networks")[f"{layout}.eps"]) < EXACT


@pytest.mark.parametrize("size", [(4, 4), (3, 7), (9, 13), (16, 8)])
def test_any_latent_size(size: tuple[int, int]) -> None:
    """Sides that no power of two divides come out as they went in."""
    out = unet("sd1")(uniform("z", (1, 4, *size)), torch.tensor([5]), uniform("text", (1, 77, 48)))
    assert out.shape == (1, 4, *size)
    assert out.isfinite().all()


def test_middle_cells_of_the_bundled_base() -> None:
    """Strides 2, 2, 1 leave the middle block 8×8 cells at 256 pixels (32 latent cells)."""
    with torch.device("meta"):
        net = UNet(PRESETS["scenes"].unet)
        args = (torch.empty(1, 8, 32, 32), torch.empty(1), torch.empty(1, 77, 192))
        features, middle, _ = net.encoder(*args)
    assert middle.shape[-2:] == (8, 8)
    assert [f.shape[-1] for f in features] == [32] * 3 + [16] * 3 + [8] * 6


def test_residuals_of_none_add_nothing() -> None:
    """None is zero, at a skip and in the middle; a list of another length is refused."""
    x = cases.unet_inputs("sd1")
    args = (x["z"], x["t"], x["text"])
    net = unet("sd1")
    plain_output = net(*args)
    assert torch.equal(net(*args, [None] * 13), plain_output)
    *_, middle = net.encoder(*args)[:2]
    moved = net(*args, [*[None] * 12, torch.ones_like(middle)])
    assert relative(moved, plain_output) > 1e-3
    with pytest.raises(ValueError, match="12 control residuals for 13"):
        net(*args, [None] * 12)


def test_every_parameter_takes_part() -> None:
    """Each parameter gets a gradient.

    In double precision: some are too small for single on some CPUs. With several cells in the middle block: the
    attention of a single cell to itself is 1, whatever its query and key.
    """
    net = fill(UNet(replace(UNETS["sd2"], transformer_depth=2))).double()
    z, text = uniform("z", (1, 4, 16, 16)).double(), uniform("text", (1, 77, 128)).double()
    net(z, torch.tensor([7]), text).square().sum().backward()
    assert [k for k, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
