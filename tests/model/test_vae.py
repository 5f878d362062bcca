"""The KL autoencoder against plain formulas, diffusers' numbers and the published size."""

from dataclasses import replace

import pytest
import torch

from cn.model.config import PRESETS
from cn.model.vae import AutoencoderKL, HalvingConv, Posterior, VAEAttention
from tests.golden import cases
from tests.helpers import plain
from tests.helpers.model_helpers import VAE, fill, golden, parameters, relative, uniform

EXACT = 1e-10
"""In float64, where every wrong epsilon shows."""


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    return fill(AutoencoderKL(VAE)).requires_grad_(False).double()


def test_published_size() -> None:
    """All three published presets share one autoencoder of 83,653,863 parameters in 248 tensors."""
    for preset in ("sd15", "sd21", "sd21-v"):
        with torch.device("meta"):
            net = AutoencoderKL(PRESETS[preset].vae)
        assert parameters(net) == 83_653_863
        assert len(net.state_dict()) == 248


@pytest.mark.parametrize(("preset", "channels"), [("sd15", 4), ("scenes", 8)])
def test_factor_eight_and_channels_of_latents(preset: str, channels: int) -> None:
    """512 → (channels, 64, 64) → 512, whatever the shape."""
    config = PRESETS[preset].vae
    assert config.factor == 8
    with torch.device("meta"):
        net = AutoencoderKL(config)
        posterior = net.encode(torch.empty(1, 3, 512, 264))
        assert posterior.mean.shape == posterior.std.shape == (1, channels, 64, 33)
        assert net.decode(posterior.mean).shape == (1, 3, 512, 264)


def test_halving_pads_right_and_below() -> None:
    """Padding (0, 1, 0, 1): padding alike on all sides is detected."""
    layer, x = fill(HalvingConv(8)), uniform("x", (1, 8, 6, 4))
    w = plain.part(plain.weights(layer), "conv.")
    assert relative(layer(x), plain.conv(w, x.double(), 2, pad=(0, 1))) < 1e-6
    assert relative(layer(x), plain.conv(w, x.double(), 2, pad=(1, 1))) > 0.1


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_attention(scale: float) -> None:
    """One head over all cells, eps 1e-6, biases on all four layers."""
    layer, x = fill(VAEAttention(32, 32)), scale * uniform("x", (2, 32, 3, 4))
    w = plain.weights(layer)
    assert sum(k.endswith("bias") for k in w) == 5
    n = plain.group_norm(plain.part(w, "norm."), x.double(), 32, 1e-6)
    q, k, v = (plain.conv(plain.part(w, f"{name}."), n).flatten(2).transpose(1, 2) for name in "qkv")
    mixed = plain.softmax_attention(q, k, v, 1).transpose(1, 2).reshape(x.shape)
    assert relative(layer(x), x.double() + plain.conv(plain.part(w, "out."), mixed)) < 2e-6


def test_encode_in_plain_formulas(vae: AutoencoderKL) -> None:
    """Mean and standard deviation exp(logvar/2), both scaled; sides 24 and 40 give 3×5 cells."""
    images = uniform("images", (2, 3, 24, 40)).tanh().double()
    posterior, (mean, logvar) = vae.encode(images), plain.vae_moments(plain.weights(vae), VAE, images)
    assert relative(posterior.mean, 0.18215 * mean) < EXACT
    assert relative(posterior.std, 0.18215 * torch.exp(logvar / 2)) < EXACT


def test_decode_in_plain_formulas(vae: AutoencoderKL) -> None:
    """Latents are divided by the scale; no activation and no clamp at the end."""
    z = uniform("z", (2, 4, 3, 5)).double()
    decoded = vae.decode(z)
    assert relative(decoded, plain.vae_decode(plain.weights(vae), VAE, z / 0.18215)) < EXACT
    assert decoded.abs().max() > 1


def test_golden() -> None:
    """diffusers' AutoencoderKL gives these moments and this image on the same weights, in float32."""
    x, expected, net = cases.vae_inputs(), golden("networks"), fill(AutoencoderKL(VAE)).requires_grad_(False)
    posterior = net.encode(x["images"])
    assert relative(posterior.mean, expected["vae.mean"]) < 4e-6
    assert relative(posterior.std, expected["vae.std"]) < 4e-6
    assert relative(net.decode(x["latents"]), expected["vae.decoded"]) < 4e-6


@pytest.mark.parametrize(("logvar", "std"), [(100.0, 2.718281828**10), (-100.0, 2.718281828**-15), (2.0, 2.718281828)])
def test_log_variance_is_held(logvar: float, std: float) -> None:
    """Log variances are held within [-30, 20]."""
    net = fill(AutoencoderKL(replace(VAE, scale=1.0))).requires_grad_(False)
    net.quant.weight[4:] = 0
    net.quant.bias[4:] = logvar
    got = net.encode(uniform("images", (1, 3, 16, 16))).std
    assert torch.allclose(got, torch.full_like(got, std), rtol=1e-5)


def test_scale(vae: AutoencoderKL) -> None:
    """Another scale multiplies the posterior and divides before decoding."""
    other = AutoencoderKL(replace(VAE, scale=0.5)).double().eval()
    other.load_state_dict(vae.state_dict())
    images, z = uniform("images", (1, 3, 16, 16)).double(), uniform("z", (1, 4, 2, 2)).double()
    assert relative(other.encode(images).mean * 0.18215 / 0.5, vae.encode(images).mean) < EXACT
    assert relative(other.encode(images).std * 0.18215 / 0.5, vae.encode(images).std) < EXACT
    assert relative(other.decode(z * 0.5 / 0.18215), vae.decode(z)) < EXACT


def test_posterior_sample() -> None:
    """mean + std·noise: seeded by its generator, of the right moments, without a generator from torch's own."""
    posterior = Posterior(torch.full((1, 4, 64, 64), 3.0), torch.full((1, 4, 64, 64), 0.5))
    one, same = (posterior.sample(torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, same)
    noise = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(7))
    assert torch.equal(one, 3.0 + 0.5 * noise)
    torch.manual_seed(1)
    free, other = posterior.sample(), posterior.sample()
    assert not torch.equal(free, other)
    assert abs(free.mean() - 3) < 0.02
    assert abs(free.std() - 0.5) < 0.02


def test_every_parameter_takes_part() -> None:
    """Each parameter gets a gradient from a reconstruction with a sampled latent."""
    net = fill(AutoencoderKL(VAE))
    net.decode(net.encode(uniform("images", (1, 3, 32, 32))).sample()).square().sum().backward()
    # The key's bias shifts all scores of a query alike, which softmax does not see: there rounding alone is left.
    dead = [k for k, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert [k for k in dead if not k.endswith("attention.k.bias")] == []
