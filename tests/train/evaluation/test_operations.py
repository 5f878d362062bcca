"""Operations counted at torch's functions against those that torch's own counter finds in the operators below."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cn.model.base import Base
from cn.model.controlnet import ControlNet
from cn.train.evaluation.operations import Operations
from cn.train.loss import diffusion_loss
from tests.helpers.model_helpers import TINY


def inputs(base):
    with torch.device("meta"):
        z, text = torch.empty(2, 4, 8, 8), torch.empty(2, 77, base.config.unet.context_dim)
        return z, torch.zeros(2, dtype=torch.long), text, torch.empty(2, 3, 64, 64)


@pytest.fixture
def base():
    return Base.create(TINY, "meta")


def theirs(compute):
    with FlopCounterMode(display=False) as counter:
        compute()
    return counter.get_total_flops()


def test_a_forward_pass_has_the_operations_of_its_operators(base):
    z, t, text, image = inputs(base)
    with torch.no_grad():
        for compute in (lambda: base.unet(z, t, text), lambda: base.vae.encode(image), lambda: base.vae.decode(z)):
            with Operations() as ours:
                compute()
            assert ours.forward == theirs(compute)
            assert ours.backward == 0


@pytest.mark.parametrize("trained", ["control", "control and decoder", "all"])
def test_a_backward_pass_is_counted_without_taking_place(base, trained):
    z, t, text, image = inputs(base)
    base.lock()
    if trained != "control":
        (base.unet if trained == "all" else base.unet.decoder).requires_grad_(True)
    with torch.device("meta"):
        control = ControlNet(base.config.unet)

    def loss():
        return diffusion_loss(base.unet, control, base.schedule, z, image, text, t, torch.empty_like(z))

    with Operations() as ours:
        loss()
    assert ours.forward + ours.backward == pytest.approx(theirs(lambda: loss().backward()), rel=0.03)


def test_products_of_detectors_count():
    a, b = torch.ones(3, 4, 5), torch.ones(3, 5, 6)
    with Operations() as counted:
        for _ in (a @ b, torch.bmm(a, b), torch.matmul(a, b), a.matmul(b)):
            pass
    assert counted.forward == 4 * 2 * 3 * 4 * 5 * 6
