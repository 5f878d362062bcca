"""The baseline of Fig. 20: the condition in further input channels of the U-Net."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from cn.model.concat import ConcatBaseline
from cn.model.guidance import ControlInput, GuidedUNet, control_residuals
from cn.model.samplers.ddim import ddim_steps
from cn.model.schedule import Schedule
from cn.model.unet import UNet
from tests.helpers.model_helpers import TINY, UNETS, control, fill, relative, unet


def inputs(batch: int = 2):
    generator = torch.Generator().manual_seed(0)
    config = UNETS["tiny"]
    z = torch.randn(batch, 4, 8, 8, generator=generator)
    text = torch.randn(batch, 77, config.context_dim, generator=generator)
    return z, torch.tensor([10, 600][:batch]), text, torch.rand(batch, 3, 64, 64, generator=generator)


def trained() -> ConcatBaseline:
    return fill(ConcatBaseline(UNETS["tiny"]))


def test_it_is_a_unet_with_seven_input_channels():
    """A U-Net built with 4 + 3 input channels, whose first convolution has both weights, predicts the same."""
    z, t, text, hint = (x.double() if x.is_floating_point() else x for x in inputs())
    baseline, plain = trained().double(), copy.deepcopy(unet("tiny")).double()
    wide = UNet(replace(UNETS["tiny"], in_channels=7)).double()
    weights = dict(plain.state_dict())
    name = "encoder.blocks.0.weight"
    weights[name] = torch.cat([weights[name], baseline.channels.weight], dim=1)
    wide.load_state_dict(weights)
    cells = F.avg_pool2d(hint, 8) * 2 - 1
    with torch.no_grad():
        ours = plain(z, t, text, baseline(z, t, text, hint))
        theirs = wide(torch.cat([z, cells], dim=1), t, text)
    assert relative(ours, theirs) < 1e-12
    assert not torch.allclose(ours, plain(z, t, text), atol=1e-2)


def test_untrained_it_changes_nothing():
    z, t, text, hint = inputs()
    with torch.no_grad():
        assert torch.equal(
            unet("tiny")(z, t, text, ConcatBaseline(UNETS["tiny"])(z, t, text, hint)), unet("tiny")(z, t, text)
        )


def test_strength_guess_mode_and_other_controls_are_as_with_a_controlnet():
    z, t, text, hint = inputs()
    baseline = trained()
    one, half = (control_residuals([ControlInput(baseline, hint, s)], z, t, text) for s in (1.0, 0.5))
    assert one is not None
    assert half is not None
    assert one[:-1] == [None] * UNETS["tiny"].connections
    assert torch.allclose(half[-1], one[-1] / 2)
    guessed = control_residuals([ControlInput(baseline, hint)], z, t, text, guess=True)
    assert guessed is not None
    assert torch.equal(guessed[-1], one[-1])
    alone = control_residuals([ControlInput(control("tiny"), hint)], z, t, text)
    for order in ([baseline, control("tiny")], [control("tiny"), baseline]):
        both = control_residuals([ControlInput(model, hint) for model in order], z, t, text)
        assert alone is not None
        assert both is not None
        assert all(torch.equal(a, b) for a, b in zip(both, [*alone, one[-1]], strict=True))


def test_in_guess_mode_the_unconditional_half_gets_no_condition():
    z, _, text, hint = inputs(1)
    step = ddim_steps(Schedule(TINY.schedule), 4)[0]
    guided = GuidedUNet(
        unet("tiny"), TINY.schedule, text, 0 * text, (ControlInput(trained(), hint),), 4, scale=3.0, guess=True
    )
    with torch.no_grad():
        t = torch.tensor([step.t])
        cond = unet("tiny")(z, t, text, trained()(z, t, text, hint))
        uncond = unet("tiny")(z, t, 0 * text)
        assert torch.allclose(guided(z, step), uncond + 3 * (cond - uncond), atol=1e-4)


def test_a_wrong_number_of_residuals_is_refused():
    z, t, text, _ = inputs()
    for count in (12, 15):
        with pytest.raises(ValueError, match=f"{count} control residuals for 13 connections"):
            unet("tiny")(z, t, text, [None] * count)
