"""Both condition encoders of Eq. 9, layer by layer."""

import pytest
import torch
from torch import Tensor, nn

from cn.model.condition_encoder import CONDITION_ENCODERS, PaperConditionEncoder, ReleasedConditionEncoder
from tests.helpers import plain
from tests.helpers.model_helpers import fill, relative, uniform


def shapes(encoder: nn.Module) -> list[tuple[int, ...]]:
    return [(*layer.weight.shape[:3], layer.stride[0]) for layer in encoder.layers]


@pytest.mark.parametrize("kind", ["paper", "released"])
@pytest.mark.parametrize(("size", "latent"), [((512, 512), (64, 64)), ((256, 384), (32, 48)), ((8, 72), (1, 9))])
def test_eight_pixels_become_one_cell(kind: str, size: tuple[int, int], latent: tuple[int, int]) -> None:
    """512 becomes 64, as the U-Net's first feature map."""
    with torch.device("meta"):
        assert CONDITION_ENCODERS[kind](320)(torch.empty(2, 3, *size)).shape == (2, 320, *latent)


@pytest.mark.parametrize("kind", ["paper", "released"])
def test_begins_with_exactly_nothing(kind: str) -> None:
    """The last layer is a zero convolution."""
    out = CONDITION_ENCODERS[kind](32)(uniform("hint", (1, 3, 32, 32)))
    assert not out.any()


def test_layers_of_the_paper() -> None:
    """4×4 kernels, 16, 32, 64, 128 channels; three strides of 2 and one of 1; then Z, 1×1, from 128."""
    encoder = PaperConditionEncoder(320)
    assert shapes(encoder) == [(16, 3, 4, 2), (32, 16, 4, 2), (64, 32, 4, 2), (128, 64, 4, 1)]
    assert encoder.zero.weight.shape == (320, 128, 1, 1)


def test_gaussian_weights_of_the_paper() -> None:
    """Weights are Gaussian of standard deviation √(2/fan-in), so that ReLU keeps the signal's size; biases are zero."""
    torch.manual_seed(5)
    encoder = PaperConditionEncoder(32)
    for layer in encoder.layers:
        values = layer.weight.detach().flatten()
        unit = values / (2 / layer.weight[0].numel()) ** 0.5
        assert abs(unit.mean()) < 5 / len(values) ** 0.5
        assert abs(unit.std() - 1) < 4 / len(values) ** 0.5
        assert abs((unit.abs() < 1).double().mean() - 0.6827) < 3 / len(values) ** 0.5  # a uniform draw gives 0.577
        assert not layer.bias.any()


def test_layers_of_the_release() -> None:
    """Eight 3×3 layers; Z is the eighth."""
    encoder = ReleasedConditionEncoder(320)
    widths = [3, 16, 16, 32, 32, 96, 96, 256]
    strides = [1, 1, 2, 1, 2, 1, 2]
    assert shapes(encoder) == [(o, i, 3, s) for i, o, s in zip(widths, widths[1:], strides, strict=False)]
    assert encoder.zero.weight.shape == (320, 256, 3, 3)


def relu(x: Tensor) -> Tensor:
    return x * (x > 0)


def test_paper_in_plain_formulas() -> None:
    """ReLU after each layer but Z; padding 1 where halving, 1 before and 2 after where the size is kept."""
    encoder = fill(PaperConditionEncoder(8))
    hint = uniform("hint", (2, 3, 24, 40))
    x, w = hint.double(), plain.weights(encoder)
    for i, stride in enumerate((2, 2, 2, 1)):
        x = relu(plain.conv(plain.part(w, f"layers.{i}."), x, stride, pad=(1, 1) if stride == 2 else (1, 2)))
    assert relative(encoder(hint), plain.conv(plain.part(w, "zero."), x)) < 1e-6


def test_release_in_plain_formulas() -> None:
    """SiLU after each layer but the last; padding 1 everywhere."""
    encoder = fill(ReleasedConditionEncoder(8))
    hint = uniform("hint", (2, 3, 24, 40))
    x, w = hint.double(), plain.weights(encoder)
    for i, stride in enumerate((1, 1, 2, 1, 2, 1, 2)):
        x = plain.silu(plain.conv(plain.part(w, f"layers.{i}."), x, stride, pad=(1, 1)))
    assert relative(encoder(hint), plain.conv(plain.part(w, "zero."), x)) < 1e-6


@pytest.mark.parametrize("kind", ["paper", "released"])
def test_every_parameter_takes_part(kind: str) -> None:
    """Once Z is no longer zero, each parameter gets a gradient."""
    encoder = fill(CONDITION_ENCODERS[kind](8))
    encoder(uniform("hint", (1, 3, 32, 32))).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())
