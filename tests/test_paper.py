"""What the paper says, equation by equation (Zhang & Agrawala, version 1)."""

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from cn.model.base import Base
from cn.model.config import DEFAULT_PROMPT, PRESETS, Links, ModelConfig
from cn.model.controlnet import ControlNet
from cn.model.generate import Sampling
from cn.model.unet import UNet
from cn.sample.options import SampleOptions
from cn.train.config import TrainConfig
from cn.train.loss import diffusion_loss
from cn.train.networks import assemble
from cn.train.optimizer import make_optimizer
from cn.train.options.defaults import default_lr
from cn.train.random_draws import Stream, drop_prompts, generator
from tests.helpers.model_helpers import TINY, TINY_V, fill

# With as many groups as channels, a bias in front of a GroupNorm has no effect and so no gradient: use fewer.
CONFIGS = [replace(c, unet=replace(c.unet, groups=8)) for c in (TINY, TINY_V)]
LINKS: list[Links] = ["full", "middle"]


def base_of(config: ModelConfig) -> Base:
    base = Base.create(config)
    for network in base.networks.values():
        fill(network)
    return base.lock()


def inputs(
    config: ModelConfig, batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32, cells: int = 8
) -> dict[str, Tensor]:
    """Latents of `cells` × `cells`, condition, text, timesteps and noise."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=dtype)

    return {
        "z0": normal(batch, 4, cells, cells),
        "hint": torch.rand((batch, 3, 8 * cells, 8 * cells), generator=draw, dtype=dtype),
        "text": normal(batch, 77, config.unet.context_dim),
        "t": torch.randint(0, 1000, (batch,), generator=draw),
        "noise": normal(batch, 4, cells, cells),
    }


@pytest.mark.parametrize("config", CONFIGS, ids=["eps", "v"])
@pytest.mark.parametrize("links", LINKS)
@pytest.mark.parametrize("encoder", ["paper", "released"])
def test_equations_2_to_4_fresh_control_changes_nothing(config: ModelConfig, links: Links, encoder) -> None:
    """y_c = y, bit for bit."""
    base, x = base_of(config), inputs(config)
    control = ControlNet.from_unet(base.unet, condition_encoder=encoder, links=links)
    with torch.no_grad():
        alone = base.unet(x["z0"], x["t"], x["text"])
        residuals = control(x["z0"], x["t"], x["text"], x["hint"])
        controlled = base.unet(x["z0"], x["t"], x["text"], residuals)
    assert [r is not None for r in residuals] == [links == "full"] * 12 + [True]
    assert all(r is None or not r.any() for r in residuals)
    assert torch.equal(controlled.view(torch.int32), alone.view(torch.int32))
    # Equation 3, second line: inside, the trainable copy computes what the locked one computes.
    with torch.no_grad():
        hint = control.condition_encoder(x["hint"])
        ours, middle, _ = control.encoder(x["z0"], x["t"], x["text"], hint)
        theirs, their_middle, _ = base.unet.encoder(x["z0"], x["t"], x["text"])
    assert all(torch.equal(a, b) for a, b in zip([*ours, middle], [*theirs, their_middle], strict=True))


@pytest.mark.parametrize("config", CONFIGS, ids=["eps", "v"])
@pytest.mark.parametrize("links", LINKS)
def test_equations_5_to_8_what_moves_in_the_first_three_steps(config: ModelConfig, links: Links) -> None:
    """Under plain gradient descent: the output zero convolutions, then the clone and E's Z, then E."""
    base = base_of(config)
    control = ControlNet.from_unet(base.unet, links=links)
    for network in (base.unet, control):
        network.double()
    names = [name for name, _ in control.named_parameters()]
    zeros = {n for n in names if n.startswith("zero_middle" if links == "middle" else ("zero_middle", "zero_conv"))}
    clone = {n for n in names if n.startswith(("encoder.", "condition_encoder.zero."))}
    first_layers = {n for n in names if n.startswith("condition_encoder.layers.")}
    assert len(zeros) == (2 if links == "middle" else 26)
    assert len(first_layers) == 8

    begin = {name: p.detach().clone() for name, p in control.named_parameters()}
    sgd = torch.optim.SGD(control.parameters(), lr=0.5)
    moved = []
    for step in range(3):
        # Large enough for several cells in the middle: attention over a single one has no use for its queries.
        x = inputs(config, batch=1, seed=step, dtype=torch.float64, cells=2 * config.unet.stride)
        sgd.zero_grad()
        diffusion_loss(base.unet, control, base.schedule, **x).backward()
        sgd.step()
        moved.append({name for name, p in control.named_parameters() if not torch.equal(p, begin[name])})
    assert moved == [zeros, zeros | clone, zeros | clone | first_layers]


def test_equation_6_first_gradient_of_a_zero_convolution() -> None:
    """∂Z/∂B = 1, ∂Z/∂W = the feature (not zero), ∂Z/∂feature = W = 0."""
    config = CONFIGS[0]
    control = ControlNet.from_unet(base_of(config).unet)
    feature = torch.randn(1, 64, 2, 2, requires_grad=True)
    control.zero_middle(feature).sum().backward()
    weight, bias = control.zero_middle.weight, control.zero_middle.bias
    assert torch.allclose(weight.grad[..., 0, 0], feature.detach().sum((0, 2, 3)).expand(64, 64))
    assert (bias.grad == 4).all()
    assert not feature.grad.any()


@pytest.mark.parametrize("config", CONFIGS, ids=["eps", "v"])
def test_equation_10(config: ModelConfig) -> None:
    """The loss is the mean squared error of the prediction at z_t, c_t, c_f, against ε (or v)."""
    base, x = base_of(config), inputs(config, batch=3)
    control = fill(ControlNet.from_unet(base.unet))
    alpha = base.schedule.alphas_cumprod[x["t"]].reshape(-1, 1, 1, 1)
    z_t = alpha.sqrt() * x["z0"] + (1 - alpha).sqrt() * x["noise"]
    v = alpha.sqrt() * x["noise"] - (1 - alpha).sqrt() * x["z0"]
    target = v if config.schedule.prediction == "v" else x["noise"]
    with torch.no_grad():
        prediction = base.unet(z_t, x["t"], x["text"], control(z_t, x["t"], x["text"], x["hint"]))
        loss = diffusion_loss(base.unet, control, base.schedule, **x)
        without = diffusion_loss(base.unet, ControlNet.from_unet(base.unet), base.schedule, **x)
    assert torch.allclose(loss, ((target - prediction) ** 2).mean(), rtol=1e-5)
    assert loss != without  # c_f takes part


def test_section_3_2_blocks_and_residuals_at_true_size() -> None:
    """12 encoder blocks in 4 resolutions of 3, a middle, 12 decoder blocks; 512×512 conditions become 64×64."""
    config = PRESETS["sd15"]
    with torch.device("meta"):
        unet = UNet(config.unet)
        control = ControlNet.from_unet(unet)
        z, t, text, hint = (
            torch.empty(1, 4, 64, 64),
            torch.empty(1),
            torch.empty(1, 77, 768),
            torch.empty(1, 3, 512, 512),
        )
        assert control.condition_encoder(hint).shape == (1, 320, 64, 64)
        residuals = control(z, t, text, hint)
        assert unet(z, t, text, residuals).shape == z.shape
    assert (len(unet.encoder.blocks), len(unet.decoder.blocks)) == (12, 12)
    assert len(control.zero_convolutions) + 1 == len(residuals) == 13
    sides = [r.shape[-1] for r in residuals if r is not None]
    assert sides == [64] * 3 + [32] * 3 + [16] * 3 + [8] * 3 + [8]
    assert isinstance(control.zero_middle, nn.Conv2d)
    assert control.zero_middle.kernel_size == (1, 1)


def test_section_3_2_locked_encoder_keeps_no_graph() -> None:
    """Half of the gradient computation on the base is avoided: its encoder's features require no gradient."""
    config = CONFIGS[0]
    base = base_of(config)
    seen: list[Tensor] = []

    def note(module: nn.Module, args: object, output: tuple[list[Tensor], Tensor, Tensor]) -> None:
        seen.extend([*output[0], output[1], output[2]])

    control = ControlNet.from_unet(base.unet)
    base.unet.encoder.register_forward_hook(note)
    loss = diffusion_loss(base.unet, control, base.schedule, **inputs(config))
    assert loss.requires_grad
    assert len(seen) == 14
    assert not any(feature.requires_grad for feature in seen)


@pytest.mark.parametrize("links", LINKS)
def test_section_3_1_locked_copy_stays_as_it_is(links: Links) -> None:
    """10 steps of AdamW: no gradient ever, not a bit changed; the optimizer holds exactly what is trained."""
    config = CONFIGS[0]
    base = base_of(config)
    options = TrainConfig(cond="depth", base="", base_sha256="", size=64, steps=10, lr=1e-3, links=links)
    networks = assemble(base, ControlNet.from_unet(base.unet, links=links), options)
    before = copy.deepcopy({k: n.state_dict() for k, n in base.networks.items()})
    optimizer = make_optimizer(networks, options)
    idle = set() if links == "full" else set(networks.control.zero_convolutions.parameters())
    assert {id(p) for p in _optimized(optimizer)} == {id(p) for p in networks.control.parameters() if p not in idle}
    started = [p.detach().clone() for p in _optimized(optimizer)]
    for step in range(10):
        optimizer.zero_grad()
        diffusion_loss(base.unet, networks.control, base.schedule, **inputs(config, batch=1, seed=step)).backward()
        optimizer.step()
    for name, network in base.networks.items():
        assert all(p.grad is None and not p.requires_grad for p in network.parameters())
        assert all(torch.equal(value, before[name][key]) for key, value in network.state_dict().items())
    assert all(not torch.equal(a, b) for a, b in zip(started, _optimized(optimizer), strict=True))
    assert all(not p.any() for p in idle)


def _optimized(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]


def test_section_3_3_half_of_the_prompts_are_dropped() -> None:
    """Counted over 2,000 draws of batches of two: 2,000 of 4,000, within four standard deviations of a fair coin."""
    share = TrainConfig(cond="depth", base="", base_sha256="", size=64, steps=1, lr=1.0).prompt_drop
    assert share == 0.5
    prompts = ["a red house", "a dancer"]
    kept = [drop_prompts(prompts, share, generator(0, step, 0, Stream.PROMPT)) for step in range(2000)]
    assert {p for pair in kept for p in pair} == {"", *prompts}
    for place in range(2):
        assert abs(sum(pair[place] == "" for pair in kept) - 1000) < 4 * (2000 * 0.25) ** 0.5
    assert abs(sum(pair == ["", ""] for pair in kept) - 500) < 4 * (2000 * 3 / 16) ** 0.5
    assert drop_prompts(prompts, 0.0, generator(0, 0, 0, Stream.PROMPT)) == prompts
    assert drop_prompts(prompts, 1.0, generator(0, 0, 0, Stream.PROMPT)) == ["", ""]


def test_section_3_4_large_scale_unlocks_the_whole_unet() -> None:
    """Every weight of the U-Net is trained; text encoder and autoencoder stay locked. The decoder alone, if asked."""
    config = CONFIGS[0]
    options = TrainConfig(cond="depth", base="", base_sha256="", size=64, steps=1, lr=1e-3, unlock="all")
    for unlock, prefix in (("all", "unet."), ("decoder", "unet.decoder.")):
        base = base_of(config)
        networks = assemble(base, ControlNet.from_unet(base.unet), replace(options, unlock=unlock))
        names = {n for n in networks.trainable if n.startswith("unet.")}
        assert names == {f"unet.{n}" for n, _ in base.unet.named_parameters() if f"unet.{n}".startswith(prefix)}
        diffusion_loss(base.unet, networks.control, base.schedule, **inputs(config)).backward()
        # Behind fresh zero convolutions the clone has no gradient yet (Eq. 6): look at the U-Net's own.
        assert all(networks.trainable[n].grad is not None for n in names)
        assert all(p.grad is None for net in (base.vae, base.text) for p in net.parameters())


def test_section_4_1_defaults() -> None:
    """CFG scale 9, 20 DDIM steps, the default prompt; AdamW at 1e-5 for Stable Diffusion (Fig. 21)."""
    assert (Sampling().scale, Sampling().steps, Sampling().eta) == (9.0, 20, 0.0)
    assert (SampleOptions().scale, SampleOptions().steps) == (None, 20), "the scale is that of the base"
    assert [PRESETS[name].guidance_scale for name in ("sd15", "sd21", "sd21-v")] == [9.0] * 3
    assert DEFAULT_PROMPT == "a professional, detailed, high-quality image"
    assert [default_lr(PRESETS[name]) for name in ("sd15", "sd21", "sd21-v")] == [1e-5] * 3
