"""The ControlNet: its size, its clone, its 13 residuals against the definition and against diffusers."""

import pytest
import torch

from cn.model.condition_encoder import CONDITION_ENCODERS
from cn.model.config import PRESETS, ConditionEncoderKind
from cn.model.controlnet import ControlNet
from cn.model.unet import UNet
from tests.golden import cases
from tests.helpers import plain
from tests.helpers.model_helpers import TINY_V, UNETS, control, fill, golden, parameters, relative, unet, uniform

LAYOUTS = ["sd1", "sd2"]
EXACT = 2e-6


def inputs(layout: str) -> tuple[torch.Tensor, ...]:
    x = cases.unet_inputs(layout)
    return x["z"], x["t"], x["text"], x["hint"]


def test_published_size() -> None:
    """With the released condition encoder: exactly the published files' parameters, as 340 tensors."""
    with torch.device("meta"):
        net = ControlNet(PRESETS["sd15"].unet, condition_encoder="released")
    assert parameters(net) == 361_279_120
    assert len(net.state_dict()) == 340


@pytest.mark.parametrize("preset", list(PRESETS))
def test_thirteen_residuals(preset: str) -> None:
    """12 for the skips and 1 for the middle, of the shapes that the U-Net adds them to."""
    config = PRESETS[preset].unet
    with torch.device("meta"):
        net, base = ControlNet(config), UNet(config)
        z, t, text = torch.empty(1, config.in_channels, 32, 32), torch.empty(1), torch.empty(1, 77, config.context_dim)
        skips, middle, _ = base.encoder(z, t, text)
        residuals = net(z, t, text, torch.empty(1, 3, 256, 256))
        assert base(z, t, text, residuals).shape == z.shape
    assert len(net.zero_convolutions) == 12
    assert [r.shape for r in residuals] == [x.shape for x in [*skips, middle]]


@pytest.mark.parametrize("kind", ["paper", "released"])
def test_from_unet(kind: ConditionEncoderKind) -> None:
    """A copy of the locked encoder that trains, shares no memory with it, and begins behind zeros."""
    base = unet("sd2")
    net = ControlNet.from_unet(base, condition_encoder=kind)
    assert isinstance(net.condition_encoder, CONDITION_ENCODERS[kind])
    theirs = base.encoder.state_dict()
    for name, value in net.encoder.state_dict().items():
        assert torch.equal(value, theirs[name])
        assert value.data_ptr() != theirs[name].data_ptr()
    assert all(p.requires_grad for p in net.parameters())
    assert not any(p.requires_grad for p in base.parameters())
    zeros = [*net.zero_convolutions, net.zero_middle, net.condition_encoder.zero]
    assert not any(p.any() for layer in zeros for p in layer.parameters())
    assert [r.abs().max().item() for r in net(*inputs("sd2"))] == [0.0] * 13


def test_from_unet_on_the_meta_device() -> None:
    """Sizes can be planned without memory."""
    with torch.device("meta"):
        base = UNet(PRESETS["sd15"].unet)
    net = ControlNet.from_unet(base, condition_encoder="released", links="middle")
    assert all(p.is_meta for p in net.parameters())
    assert (parameters(net), net.links) == (361_279_120, "middle")


def test_middle_links_compute_the_middle_only() -> None:
    """Small-scale training: None for the twelve skips, the same middle residual, all layers kept."""
    full = control("sd1")
    small = ControlNet(UNETS["sd1"], condition_encoder="released", links="middle").eval()
    small.load_state_dict(full.state_dict())
    *skips, middle = small(*inputs("sd1"))
    assert skips == [None] * 12
    assert torch.equal(middle, full(*inputs("sd1"))[-1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_residuals_in_plain_formulas(layout: str) -> None:
    """Eq. 2: residual i is a 1×1 convolution of feature i of the clone, the condition added to the first feature."""
    net = fill(ControlNet(UNETS[layout])).requires_grad_(False).double()  # the paper's condition encoder
    z, text = uniform("z", (1, 4, 4, 5)).double(), uniform("text", (1, 7, UNETS[layout].context_dim)).double()
    t, hint = torch.tensor([1]), uniform("hint", (1, 3, 32, 40)).sigmoid().double()
    w = plain.weights(net)
    encoded = net.condition_encoder(hint)
    features, middle, _ = plain.unet_encoder(plain.part(w, "encoder."), UNETS[layout], z, t, text, encoded)
    expected = [plain.conv(plain.part(w, f"zero_convolutions.{i}."), f) for i, f in enumerate(features)]
    expected.append(plain.conv(plain.part(w, "zero_middle."), middle))
    for ours, reference in zip(net(z, t, text, hint), expected, strict=True):
        assert relative(ours, reference) < 1e-7


@pytest.mark.parametrize("layout", LAYOUTS)
def test_golden(layout: str) -> None:
    """diffusers' ControlNetModel gives these residuals, and its U-Net with them this prediction."""
    expected, args = golden("networks"), inputs(layout)
    residuals = control(layout)(*args)
    for i, residual in enumerate(residuals):
        assert relative(cases.thin(residual), expected[f"{layout}.residual.{i}"]) < 2 * EXACT
    assert relative(unet(layout)(*args[:3], residuals), expected[f"{layout}.controlled"]) < EXACT


@pytest.mark.parametrize("kind", ["paper", "released"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_condition_channels(kind: ConditionEncoderKind, channels: int) -> None:
    """A condition may have another number of channels than three."""
    net = fill(ControlNet(TINY_V.unet, condition_encoder=kind, condition_channels=channels))
    assert net.condition_channels == channels
    z, text = uniform("z", (1, 4, 8, 8)), uniform("text", (1, 77, 64))
    one, other = (net(z, torch.tensor([3]), text, uniform(n, (1, channels, 64, 64))) for n in ("one", "other"))
    assert all(relative(a, b) > 1e-4 for a, b in zip(one, other, strict=True))


def test_odd_sizes() -> None:
    """Latent sides that the strides do not divide: residuals still meet their skips."""
    z, text, hint = uniform("z", (1, 4, 7, 9)), uniform("text", (1, 77, 48)), uniform("hint", (1, 3, 56, 72))
    residuals = control("sd1")(z, torch.tensor([3]), text, hint)
    assert unet("sd1")(z, torch.tensor([3]), text, residuals).shape == z.shape
