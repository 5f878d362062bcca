"""What adapters add to a weight, compared with PEFT's numbers and with what their layers compute."""

import re

import pytest
import torch
import torch.nn.functional as F

from cn.model.low_rank import weight_change
from tests.golden.low_rank_cases import CASES, factors
from tests.helpers.model_helpers import golden, relative, uniform


@pytest.mark.parametrize("name", CASES)
def test_the_change_is_the_one_that_peft_computes(name):
    case = CASES[name]
    ours = weight_change(factors(name), case.shape, case.alpha)
    assert ours.shape == case.shape
    assert relative(ours, golden("low_rank")[name]) < 1e-6


def test_every_case_has_golden_numbers():
    assert set(golden("low_rank")) == set(CASES)


def test_three_convolutions_after_each_other():
    """LoCon's Tucker form: 1×1 down, 3×3 in between, 1×1 up, as the layer computes it."""
    down, mid, up = (
        uniform(name, shape) for name, shape in (("d", (2, 6, 1, 1)), ("m", (2, 2, 3, 3)), ("u", (8, 2, 1, 1)))
    )
    x = uniform("x", (1, 6, 5, 7))
    layered = F.conv2d(F.conv2d(F.conv2d(x, down), mid, padding=1), up) * 4 / 2
    made = weight_change({"down": down, "mid": mid, "up": up}, (8, 6, 3, 3), alpha=4)
    assert relative(F.conv2d(x, made, padding=1), layered) < 1e-5


def test_alpha_scales_and_its_absence_does_not():
    pair = factors("lora linear")
    plain = weight_change(pair, (8, 6))
    assert torch.equal(plain, pair["up"] @ pair["down"])
    assert torch.allclose(weight_change(pair, (8, 6), alpha=1.0), plain / 2)
    whole = factors("lokr linear whole")
    assert torch.equal(weight_change(whole, (8, 6), alpha=1e10), weight_change(whole, (8, 6)))


def test_a_convolution_of_one_cell_is_a_linear_layer():
    pair = factors("lora linear")
    cells = {name: tensor[..., None, None] for name, tensor in pair.items()}
    assert torch.equal(weight_change(cells, (8, 6)), weight_change(pair, (8, 6)))
    assert torch.equal(weight_change(pair, (8, 6, 1, 1))[..., 0, 0], weight_change(pair, (8, 6)))


def test_a_whole_difference():
    difference = uniform("d", (8, 6))
    assert torch.equal(weight_change({"diff": difference}, (8, 6)), difference)
    assert torch.equal(weight_change({"diff": difference[:, 0]}, (8,)), difference[:, 0])


@pytest.mark.parametrize(
    ("given", "shape", "message"),
    [
        ({"up": (8, 2)}, (8, 6), "it has up but no down"),
        ({"up": (8, 3), "down": (2, 6)}, (8, 6), "ranks 3 and 2"),
        ({"up": (8, 2), "down": (2, 6)}, (8, 5), "a weight of 8×6, but the base's is 8×5"),
        ({"up": (8, 2), "down": (2, 54)}, (8, 6), "a weight of 8×54"),
        ({"up": (8, 2), "down": (2, 6, 3, 3)}, (8, 6), "a weight of 8×6×3×3"),
        ({"up": (8, 0), "down": (0, 6)}, (8, 6), "no matrix"),
        ({"up": (8,), "down": (2, 6)}, (8, 6), "up is 8, which is no matrix"),
        ({"diff": (8, 5)}, (8, 6), "8×5"),
        ({"lokr_w1": (2, 2)}, (8, 6), "no lokr_w2_a"),
        ({"hada_w1_a": (8, 2), "hada_w1_b": (3, 6)}, (8, 6), "cannot be multiplied"),
        ({"up": (8, 2), "down": (2, 6, 1, 1), "mid": (3, 3, 3, 3)}, (8, 6, 3, 3), "3×3×3×3"),
    ],
)
def test_factors_that_do_not_fit(given, shape, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        weight_change({name: torch.ones(size) for name, size in given.items()}, shape)
