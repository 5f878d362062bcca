"""What cross-attentions make of a text: once for all steps of an image, with the bits of making it at every step."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cn.model.attention import Attention, KeysValues, context_of
from cn.model.concat import ConcatBaseline
from cn.model.controlnet import ControlNet
from cn.model.generate import Request, Sampling, generate
from cn.model.guidance import ControlInput, GuidedUNet
from cn.model.samplers.step import Step
from cn.model.unet import UNet
from tests.helpers.model_helpers import TINY, UNETS, control, fill, tiny_base, uniform

BASE = tiny_base()
WIDTH = TINY.unet.context_dim
COND, UNCOND = uniform("cond", (2, 77, WIDTH)), uniform("uncond", (2, 77, WIDTH))
Z, STEP = uniform("z", (2, 4, 5, 7)), Step(3, 400, 0.4, 0.5)


def pooled() -> ControlNet:
    net = ControlNet(TINY.unet, condition_encoder="released", pooled=True).requires_grad_(False)
    return fill(net)


def side(model: ControlNet | ConcatBaseline, **options: float) -> ControlInput:
    return ControlInput(model, uniform("hint", (2, 3, 40, 56)).sigmoid(), **options)


@pytest.mark.parametrize("layout", ["sd1", "sd2"])
def test_networks_take_a_text_or_its_keys_and_values(layout):
    net = fill(UNet(UNETS[layout]))
    text, t = uniform("text", (2, 77, UNETS[layout].context_dim)), torch.tensor([3, 500])
    z = uniform("z", (2, 4, 8, 8))
    context = context_of(net, text)
    assert isinstance(context, Mapping)
    blocks = [module for module in net.modules() if isinstance(module, Attention)]
    assert len(context) == len(blocks) // 2, "those of self-attention depend on the image"
    assert torch.equal(net(z, t, text), net(z, t, context))


@pytest.mark.parametrize("scale", [1.0, 9.0])
@pytest.mark.parametrize("guess", [False, True])
def test_guidance_has_the_bits_of_texts_that_are_read_at_every_step(scale, guess):
    """Controls of both halves and of one, several times the same, and one without attention."""
    nets = [control("tiny"), pooled(), fill(ConcatBaseline(TINY.unet))]
    controls = (*map(side, nets), side(nets[0], strength=0.5))
    plain = GuidedUNet(BASE.unet, TINY.schedule, COND, UNCOND, controls, 20, scale, guess)
    known = plain.with_contexts()
    assert torch.equal(plain(Z, STEP), known(Z, STEP))
    rows = [next(iter(c.context.values())).k.shape[0] for c in known.controls if c.context]  # type: ignore[union-attr]
    both = 2 if scale == 1 or guess else 4
    assert rows == [both, 2, both]


def test_a_text_is_projected_once_for_all_steps(monkeypatch):
    """Once for each image, and for each layer of the U-Net and the control."""
    seen, project = list[Tensor](), Attention.keys_values

    def watched(self: Attention, source: Tensor) -> KeysValues:
        if source.shape[1] == 77:
            seen.append(source)
        return project(self, source)

    monkeypatch.setattr(Attention, "keys_values", watched)
    net = control("tiny")
    once = len(context_of(BASE.unet, COND)) + len(context_of(net, COND))
    seen.clear()
    hint = uniform("hint", (1, 3, 40, 56)).sigmoid()
    requests = [Request("a cat", 3), Request("a house", 4)]
    sampling = Sampling(height=40, width=56, steps=4)
    images = list(generate(BASE, requests, sampling, [ControlInput(net, hint, end=0.5)]))
    assert len(seen) == once * len(images)


def test_a_text_of_several_chunks():
    text = uniform("long", (1, 3 * 77, WIDTH))
    z, t = Z[:1], torch.tensor([7])
    assert torch.equal(BASE.unet(z, t, text), BASE.unet(z, t, context_of(BASE.unet, text)))


def test_contexts_are_those_of_their_weights():
    """Another text, and other weights, have others: nothing is kept between images."""
    net = fill(UNet(TINY.unet))
    t = torch.tensor([3])
    with torch.no_grad():
        first = net(Z[:1], t, context_of(net, COND[:1]))
        layer = next(iter(context_of(net, COND[:1])))
        layer.k.weight.mul_(3)
        changed = net(Z[:1], t, context_of(net, COND[:1]))
        assert not torch.equal(first, changed)
        assert torch.equal(changed, net(Z[:1], t, COND[:1]))


def test_training_learns_through_a_text():
    net = UNet(TINY.unet)
    text = COND.clone().requires_grad_()
    fill(net)(Z, torch.tensor([3, 4]), text).sum().backward()
    layer = next(module for module in net.modules() if isinstance(module, Attention) and module.k.in_features == WIDTH)
    for gradient in (text.grad, layer.k.weight.grad, layer.v.weight.grad):
        assert gradient is not None
        assert gradient.abs().sum() > 0


def test_a_network_is_compiled_as_a_whole_with_contexts():
    """The keys of a context are layers, which torch's compiler has to know: one graph, also for another text."""
    torch.compiler.reset()
    graphs, net = [], BASE.unet

    def backend(graph, given):
        graphs.append(len(given))
        return graph.forward

    compiled = torch.compile(net, backend=backend, fullgraph=True, dynamic=False)
    t = torch.tensor([3, 3])
    with torch.inference_mode():
        for text in (COND, UNCOND):
            assert torch.equal(compiled(Z, t, context_of(net, text)), net(Z, t, text))
    assert len(graphs) == 1


def test_a_concatenated_condition_has_no_use_for_a_text():
    assert context_of(ConcatBaseline(TINY.unet), COND) == {}


def test_a_guided_network_is_not_changed():
    plain = GuidedUNet(BASE.unet, TINY.schedule, COND, UNCOND, (side(control("tiny")),), 20)
    known = plain.with_contexts()
    assert plain.context is None
    assert plain.controls[0].context is None
    assert torch.equal(replace(known, context=None)(Z, STEP), plain(Z, STEP))
