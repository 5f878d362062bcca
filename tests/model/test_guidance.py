"""Guidance, strength, the control window, guess mode and several controls at once."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cn.model.config import ScheduleConfig
from cn.model.controlnet import ControlNet
from cn.model.guidance import (
    ControlInput,
    GuidedUNet,
    classifier_free_guidance,
    control_residuals,
    residual_scales,
)
from cn.model.samplers.step import Step
from cn.model.unet import UNet
from tests.helpers.model_helpers import UNETS, fill, relative, uniform

NET = fill(UNet(UNETS["sd1"])).double().requires_grad_(False)
CONTROL = fill(ControlNet(UNETS["sd1"], condition_encoder="released")).double().requires_grad_(False)
Z, T = uniform("z", (2, 4, 4, 4)).double(), torch.tensor([400, 400])
COND, UNCOND = uniform("cond", (2, 77, 48)).double(), uniform("uncond", (2, 77, 48)).double()
HINT = uniform("hint", (2, 3, 32, 32)).sigmoid().double()
STEP = Step(3, 400, 0.4, 0.5)
EXACT = 1e-10
"""Everything here runs in float64, since guidance magnifies rounding."""


@pytest.fixture
def calls() -> Iterator[list[int]]:
    """The batch sizes of all calls of the U-Net."""
    sizes: list[int] = []
    handle = NET.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    yield sizes
    handle.remove()


def guided(*controls: ControlInput, scale: float = 9.0, guess: bool = False, rescale: float = 0.0) -> Tensor:
    schedule = ScheduleConfig(guidance_rescale=rescale)
    return GuidedUNet(NET, schedule, COND, UNCOND, controls, 20, scale, guess)(Z, STEP)


def control_input(**options: float) -> ControlInput:
    return ControlInput(CONTROL, HINT, **options)


def test_formula() -> None:
    """u + s·(c - u): s 1 is c, s 0 is u."""
    u, c = uniform("u", (2, 4, 3, 3)).double(), uniform("c", (2, 4, 3, 3)).double()
    assert relative(classifier_free_guidance(u, c, 9.0), -8 * u + 9 * c) < EXACT
    assert torch.equal(classifier_free_guidance(u, c, 0.0), u)
    assert relative(classifier_free_guidance(u, c, 1.0), c) < EXACT


def test_rescale() -> None:
    """φ mixes in the same guided image rescaled to c's standard std, for each image."""
    u, c = uniform("u", (2, 4, 3, 3)).double(), uniform("c", (2, 4, 3, 3)).double()
    c[1] *= 5
    plain = classifier_free_guidance(u, c, 9.0)
    whole = classifier_free_guidance(u, c, 9.0, rescale=1.0)
    for i in range(2):
        assert torch.allclose(whole[i].std(), c[i].std(), rtol=1e-5)
        assert relative(whole[i] / plain[i], (c[i].std() / plain[i].std()).expand_as(plain[i])) < EXACT
    assert relative(classifier_free_guidance(u, c, 9.0, rescale=0.7), 0.7 * whole + 0.3 * plain) < EXACT


def test_both_halves_in_one_call(calls: list[int]) -> None:
    """One call with the latents once and both texts, equal to two calls combined."""
    ours = guided(scale=7.5)
    assert calls == [2]
    u, c = (NET(Z, T, text) for text in (UNCOND, COND))
    assert relative(ours, u + 7.5 * (c - u)) < EXACT


def test_scale_one_runs_no_second_half(calls: list[int]) -> None:
    """At guidance 1 the U-Net sees the images once, and the unconditional text not at all."""
    ours = guided(scale=1.0)
    assert calls == [2]
    assert torch.equal(ours, NET(Z, T, COND))


def test_rescale_comes_from_the_schedule() -> None:
    """The base's own rescale is applied."""
    u, c = (NET(Z, T, text) for text in (UNCOND, COND))
    assert relative(guided(rescale=0.7), classifier_free_guidance(u, c, 9.0, 0.7)) < EXACT


def test_both_halves_get_the_control() -> None:
    """Outside guess mode the same hint and strength act on both halves, each with its own text."""
    net = CONTROL
    u, c = (NET(Z, T, text, [0.7 * r for r in net(Z, T, text, HINT)]) for text in (UNCOND, COND))
    assert relative(guided(control_input(strength=0.7)), u + 9 * (c - u)) < EXACT
    assert relative(guided(control_input(strength=0.7), scale=1.0), c) < EXACT


def test_guess_mode() -> None:
    """The unconditional half gets no control, the other fades residuals by 0.825^(12-i)."""
    residuals = [0.9 * 0.825 ** (12 - i) * r for i, r in enumerate(CONTROL(Z, T, COND, HINT))]
    u, c = NET(Z, T, UNCOND), NET(Z, T, COND, residuals)
    assert relative(guided(control_input(strength=0.9), guess=True), u + 9 * (c - u)) < EXACT
    assert relative(guided(control_input(strength=0.9), guess=True, scale=1.0), c) < EXACT


def test_guess_mode_without_acting_control() -> None:
    """Outside its window a control changes nothing in guess mode either."""
    assert torch.equal(guided(control_input(end=0.1), guess=True), guided())


def test_residual_scales() -> None:
    """Strength for all, or falling off towards the first skip; the middle keeps all."""
    assert residual_scales(13, 0.6, guess=False) == [0.6] * 13
    scales = residual_scales(13, 2.0, guess=True)
    assert scales == pytest.approx([2 * 0.825 ** (12 - i) for i in range(13)])
    assert scales[12] == 2.0
    assert scales[0] == pytest.approx(0.1989, abs=1e-4)


@pytest.mark.parametrize(
    ("n", "start", "end", "kept"),
    [
        (20, 0.0, 1.0, range(20)),
        (20, 0.0, 0.5, range(10)),
        (5, 0.0, 0.5, range(2)),
        (20, 0.25, 1.0, range(5, 20)),
        (10, 0.2, 0.6, range(2, 6)),
        (7, 0.5, 1.0, range(4, 7)),
        (1, 0.0, 1.0, range(1)),
        (1, 0.0, 0.9, range(0)),
    ],
)
def test_window(n: int, start: float, end: float, kept: range) -> None:
    """A control acts in step i if start ≤ i/n and (i+1)/n ≤ end."""
    window = ControlInput(CONTROL, HINT, start=start, end=end)
    assert [i for i in range(n) if window.is_active(Step(i, 0, 0.5, 0.6), n)] == list(kept)


def test_control_outside_its_window_is_not_run() -> None:
    """Before and after its window the ControlNet is not called, and the prediction is the U-Net's own."""
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    handle = CONTROL.register_forward_pre_hook(counted)
    try:
        assert torch.equal(guided(control_input(start=0.2)), guided())  # step 3 of 20 is at 0.15
        assert torch.equal(guided(control_input(end=0.15)), guided())  # and ends at 0.2
        assert count == 0
        assert not torch.equal(guided(control_input(start=0.15, end=0.2)), guided())
        assert count == 1
    finally:
        handle.remove()


def test_no_control() -> None:
    """Without controls there is nothing to add."""
    assert control_residuals([], Z, T, COND) is None


def test_two_controls_sum() -> None:
    """Residuals of several controls are added, each with its own hint, strength and guess scales."""
    other = fill(ControlNet(UNETS["sd1"])).double().requires_grad_(False)
    hint = uniform("other hint", (2, 3, 32, 32)).sigmoid().double()
    pair = [control_input(strength=0.5), ControlInput(other, hint, strength=2.0)]
    first, second = CONTROL(Z, T, COND, HINT), other(Z, T, COND, hint)
    for guess in (False, True):
        both = control_residuals(pair, Z, T, COND, guess=guess)
        for i, total in enumerate(both):
            fade = 0.825 ** (12 - i) if guess else 1.0
            assert relative(total, fade * (0.5 * first[i] + 2.0 * second[i])) < EXACT


@pytest.mark.parametrize("order", [1, -1])
def test_middle_links_next_to_full_links(order: int) -> None:
    """A small-scale control adds to the middle only; the other's skips stay; two of them keep no skips."""
    small = ControlNet(UNETS["sd1"], condition_encoder="released", links="middle").double().eval()
    small.load_state_dict(CONTROL.state_dict())
    pair = [control_input(), ControlInput(small, HINT)][::order]
    full, total = CONTROL(Z, T, COND, HINT), control_residuals(pair, Z, T, COND)
    assert all(torch.equal(a, b) for a, b in zip(total[:12], full[:12], strict=True))
    assert relative(total[12], 2 * full[12]) < EXACT
    assert control_residuals([ControlInput(small, HINT)] * 2, Z, T, COND)[:12] == [None] * 12


@pytest.mark.parametrize("guess", [False, True])
def test_middle_links_with_guidance(guess: bool) -> None:
    """Guidance leaves the missing residuals of a small-scale control missing."""
    small = ControlNet(UNETS["sd1"], condition_encoder="released", links="middle").double().eval().requires_grad_(False)
    small.load_state_dict(CONTROL.state_dict())
    halves = []
    for text in (UNCOND, COND):
        middle = small(Z, T, text, HINT)[-1]
        residuals = None if guess and text is UNCOND else [*[None] * 12, middle]
        halves.append(NET(Z, T, text, residuals))
    u, c = halves
    assert relative(guided(ControlInput(small, HINT), guess=guess), u + 9 * (c - u)) < EXACT


@pytest.fixture
def pooled() -> ControlInput:
    """The same weights as CONTROL's, each residual averaged over its cells; at strength 0.7."""
    net = ControlNet(UNETS["sd1"], condition_encoder="released", pooled=True).double().eval().requires_grad_(False)
    net.load_state_dict(CONTROL.state_dict())
    return ControlInput(net, HINT, strength=0.7)


def averaged(strength: float) -> list[Tensor]:
    return [strength * r.mean(dim=(2, 3), keepdim=True) for r in CONTROL(Z, T, COND, HINT)]


def test_pooled_residuals(pooled: ControlInput) -> None:
    """One number a channel, (B, C, 1, 1)."""
    for got, expected in zip(pooled.model(Z, T, COND, HINT), averaged(1.0), strict=True):
        assert got.shape == (2, expected.shape[1], 1, 1)
        assert relative(got, expected) < EXACT


@pytest.mark.parametrize("guess", [False, True])
def test_pooled_control_acts_on_one_half(pooled: ControlInput, guess: bool) -> None:
    """A pooled control reaches the conditional half only, and at its strength: guess mode does not fade it."""
    u, c = NET(Z, T, UNCOND), NET(Z, T, COND, averaged(0.7))
    assert relative(c, NET(Z, T, COND)) > 1e-3
    assert relative(guided(pooled, guess=guess), u + 9 * (c - u)) < EXACT
    assert relative(guided(pooled, guess=guess, scale=1.0), c) < EXACT


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("guess", [False, True])
def test_pooled_next_to_full(pooled: ControlInput, guess: bool, order: int) -> None:
    """The full control acts on both halves, or faded on the conditional one alone; the pooled one is added there."""
    fades = [0.9 * (0.825 ** (12 - i) if guess else 1.0) for i in range(13)]
    full = [[f * r for f, r in zip(fades, CONTROL(Z, T, text, HINT), strict=True)] for text in (UNCOND, COND)]
    u = NET(Z, T, UNCOND, None if guess else full[0])
    c = NET(Z, T, COND, [a + b for a, b in zip(full[1], averaged(0.7), strict=True)])
    pair = [control_input(strength=0.9), pooled][::order]
    assert relative(guided(*pair, guess=guess), u + 9 * (c - u)) < EXACT
    assert relative(guided(*pair, guess=guess, scale=1.0), c) < EXACT


def test_pooled_control_outside_its_window(pooled: ControlInput) -> None:
    """It leaves like any other, and a full one next to it stays."""
    late = replace(pooled, start=0.2)  # step 3 of 20 is at 0.15
    assert torch.equal(guided(late), guided())
    assert relative(guided(control_input(), late), guided(control_input())) < EXACT
