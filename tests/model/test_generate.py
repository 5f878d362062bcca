"""generate(): from prompts and conditions to images, the same whatever the batch."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cn.model import decoding
from cn.model.controlnet import ControlNet
from cn.model.decoding import to_pixels
from cn.model.generate import Request, Sampling, generate, to_hint, to_images
from cn.model.guidance import ControlInput, GuidedUNet
from cn.model.samplers.ddim import ddim_steps
from cn.model.samplers.step import draw_noise
from tests.golden import cases
from tests.helpers.model_helpers import TINY, TINY_V, control, fill, golden, relative, tiny_base, uniform
from tests.helpers.samplers import ddim_sample

BASE = tiny_base()
REQUESTS = [Request("a cat", 3), Request("a red house", 4, negative="blue"), Request("", 5)]
SMALL = Sampling(height=40, width=56, steps=3)  # 5×7 latent cells: no stride divides them


def sampled(requests, sampling=SMALL, controls=(), **options) -> list[np.ndarray]:
    return list(generate(BASE, requests, sampling, controls, **options))


def control_input(rows: int = 1, **options: float) -> ControlInput:
    return ControlInput(control("tiny"), uniform("hint", (rows, 3, 40, 56)).sigmoid(), **options)


def test_settings_of_the_paper() -> None:
    """§4.1: 20 DDIM steps, guidance 9, 512 pixels; no noise added."""
    assert Sampling() == Sampling(height=512, width=512, steps=20, scale=9.0, eta=0.0, guess=False)


def test_hint() -> None:
    """uint8 (H, W, 3) becomes (1, 3, H, W) in [0, 1], not [-1, 1], of the asked type; views work too."""
    image = np.zeros((2, 5, 3), np.uint8)
    image[1, 4] = (255, 51, 0)
    hint = to_hint(image, torch.device("cpu"), torch.float32)
    assert hint.shape == (1, 3, 2, 5)
    assert torch.allclose(hint[0, :, 1, 4], torch.tensor([1.0, 0.2, 0.0]))
    assert not hint[0, :, 0].any()
    assert to_hint(image[:, ::-1], torch.device("cpu"), torch.float16)[0, 0, 1, 0] == 1


def test_rounding_half_to_even() -> None:
    """128.5 becomes 128 and 127.5 becomes 128; outside [-1, 1] is cut."""
    x = torch.tensor(2 * 128.5 / 255 - 1)
    candidates = torch.stack([x + k * 2**-24 for k in range(-8, 9)])
    half = candidates[(candidates / 2 + 0.5) * 255 == 128.5]
    assert len(half) > 0
    values = torch.cat([half[:1], torch.tensor([0.0, -1.0, 1.0, -7.0, 7.0])])
    decoded = values[None, None, None].expand(2, 3, 1, -1)
    images = to_images(decoded)
    assert images.dtype == np.uint8
    assert images.shape == (2, 1, 6, 3)
    assert images[1, 0, :, 2].tolist() == [128, 128, 0, 255, 0, 255]


def test_golden_image() -> None:
    """diffusers' pipeline: five steps, guidance 9, a control at 0.8 for the first 60 %, eta 0.5."""
    case, expected, tokens = cases.PICTURE, golden("pictures"), cases.picture_tokens()
    side = ControlInput(control("tiny"), cases.picture_hint(), strength=case.strength, end=case.end)
    with torch.inference_mode():
        network = GuidedUNet(
            BASE.unet, TINY.schedule, BASE.text(tokens[:1]), BASE.text(tokens[1:]), (side,), case.steps, case.scale
        )
        generators = [torch.Generator().manual_seed(case.seed)]
        z, steps = draw_noise(generators, (4, 6, 5)), ddim_steps(BASE.schedule, case.steps)
        *_, z = ddim_sample(BASE.schedule, network, z, steps, eta=case.eta, generators=generators)
        assert relative(z, expected["latents"]) < 5e-5
        ours = to_images(BASE.vae.decode(z)).astype(int)
    assert np.abs(ours - expected["picture"].numpy().astype(int)).max() <= 1


def test_is_its_parts() -> None:
    """One image: seeded noise, prompts and condition encoded, guided DDIM, decoded, rounded."""
    request, sampling, side = REQUESTS[1], replace(SMALL, eta=0.5), control_input(strength=0.5, end=0.7)
    with torch.inference_mode():
        cond, uncond = BASE.text.encode([request.prompt]), BASE.text.encode([request.negative])
        network = GuidedUNet(BASE.unet, TINY.schedule, cond, uncond, (side.with_encoded((5, 7)),), 3, 9.0)
        generators = [torch.Generator().manual_seed(request.seed)]
        z = torch.randn(1, 4, 5, 7, generator=generators[0])
        *_, z = ddim_sample(BASE.schedule, network, z, ddim_steps(BASE.schedule, 3), eta=0.5, generators=generators)
        expected = to_images(BASE.vae.decode(z))[0]
    (ours,) = sampled([request], sampling, [side])
    assert ours.shape == (40, 56, 3)
    assert np.array_equal(ours, expected)


@pytest.mark.parametrize(
    "settings", [{}, {"eta": 1.0}, {"sampler": "euler-a"}, {"sampler": "dpm++2m", "sigmas": "karras"}], ids=str
)
def test_an_image_does_not_depend_on_the_others(settings: dict[str, Any]) -> None:
    """At batch size 1 each of three images has the bytes that it has alone, and images differ."""
    sampling = replace(SMALL, **settings)
    together = sampled(REQUESTS, sampling, [control_input()])
    alone = [sampled([r], sampling, [control_input()])[0] for r in REQUESTS]
    assert [p.tobytes() for p in together] == [p.tobytes() for p in alone]
    assert len({p.tobytes() for p in together}) == 3
    backwards = sampled(REQUESTS[::-1], sampling, [control_input()])
    assert [p.tobytes() for p in backwards[::-1]] == [p.tobytes() for p in together]


@pytest.mark.parametrize("settings", [{"eta": 0.5}, {"sampler": "euler-a", "sigmas": "karras"}], ids=str)
@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_batches_agree(batch_size: int, settings: dict[str, Any]) -> None:
    """In larger batches images are the same but for rounding, the last batch being smaller or not."""
    one = sampled(REQUESTS, replace(SMALL, **settings), [control_input(3)])
    many = sampled(REQUESTS, replace(SMALL, **settings), [control_input(3)], batch_size=batch_size)
    assert len(many) == 3
    for a, b in zip(one, many, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1


def test_one_hint_for_all_or_one_each() -> None:
    """A single row serves every request; with a row each, every request takes its own."""
    rows = control_input(3)
    ours = sampled(REQUESTS, SMALL, [rows])
    for i, request in enumerate(REQUESTS):
        alone = sampled([request], SMALL, [replace(rows, hint=rows.hint[i : i + 1])])
        assert np.array_equal(ours[i], alone[0])
    shared = sampled(REQUESTS, SMALL, [replace(rows, hint=rows.hint[:1])])
    assert np.array_equal(shared[0], ours[0])
    assert not np.array_equal(shared[1], ours[1])


def test_every_setting_matters() -> None:
    """Each of seed, prompt, negative prompt, steps, scale, eta, sampler, guess mode and control changes the image."""
    side = [control_input()]
    base = sampled([Request("a cat", 3)], SMALL, side)[0].tobytes()
    others = [
        sampled([Request("a cat", 4)], SMALL, side),
        sampled([Request("a dog", 3)], SMALL, side),
        sampled([Request("a cat", 3, negative="gray")], SMALL, side),
        sampled([Request("a cat", 3)], replace(SMALL, steps=4), side),
        sampled([Request("a cat", 3)], replace(SMALL, scale=4.0), side),
        sampled([Request("a cat", 3)], replace(SMALL, scale=1.0), side),
        sampled([Request("a cat", 3)], replace(SMALL, eta=1.0), side),
        sampled([Request("a cat", 3)], replace(SMALL, guess=True), side),
        sampled([Request("a cat", 3)], replace(SMALL, sampler="euler"), side),
        sampled([Request("a cat", 3)], replace(SMALL, sampler="euler", sigmas="karras"), side),
        sampled([Request("a cat", 3)], replace(SMALL, sampler="euler-a"), side),
        sampled([Request("a cat", 3)], replace(SMALL, sampler="dpm++2m"), side),
        sampled([Request("a cat", 3)], SMALL, [*side, *side]),
        sampled([Request("a cat", 3)], SMALL),
    ]
    made = [base, *(p[0].tobytes() for p in others)]
    assert len(set(made)) == len(made)


def test_scale_one_ignores_the_negative_prompt() -> None:
    """Without guidance the negative prompt is not read, and the U-Net runs one image at a time."""
    sizes: list[int] = []
    handle = BASE.unet.register_forward_pre_hook(lambda net, args: sizes.append(len(args[0])))
    try:
        one, other = (sampled([Request("a cat", 3, n)], replace(SMALL, scale=1.0))[0] for n in ("", "gray"))
    finally:
        handle.remove()
    assert np.array_equal(one, other)
    assert sizes == [1] * 6


def test_steps_are_reported() -> None:
    """`on_step` is called once a step of every batch, and an image is yielded before the next is begun."""
    seen: list[str] = []
    for _ in generate(BASE, REQUESTS, SMALL, batch_size=2, on_step=lambda: seen.append("step")):
        seen.append("image")
    assert seen == ["step"] * 3 + ["image"] * 2 + ["step"] * 3 + ["image"]


@pytest.mark.parametrize(("height", "width"), [(44, 56), (40, 50), (0, 56), (40, -8), (4, 4)])
def test_wrong_size(height: int, width: int) -> None:
    """Sides must be positive multiples of 8."""
    with pytest.raises(ValueError, match="multiples of 8 pixels"):
        sampled(REQUESTS, replace(SMALL, height=height, width=width))


def test_condition_of_another_size() -> None:
    """The condition has the image's size."""
    with pytest.raises(ValueError, match="another size"):
        sampled(REQUESTS, replace(SMALL, height=56, width=40), [control_input()])


def test_wrong_steps() -> None:
    """The number of steps is checked."""
    with pytest.raises(ValueError, match="between 1 and 1000"):
        sampled(REQUESTS, replace(SMALL, steps=0))


def test_bundled_kind_of_base() -> None:
    """v-prediction from pure noise, trailing steps, strides 2, 2, 1 and a small-scale control with paper's encoder."""
    base = tiny_base(TINY_V)
    net = fill(ControlNet(TINY_V.unet, links="middle")).requires_grad_(False)
    side = ControlInput(net, uniform("hint", (1, 3, 40, 56)).sigmoid())
    (with_control,), (without,) = (list(generate(base, REQUESTS[:1], SMALL, c)) for c in ([side], []))
    assert with_control.shape == (40, 56, 3)
    assert not np.array_equal(with_control, without)


def test_nothing_tracks_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling runs in inference mode even when the caller tracks gradients and the control could learn."""
    seen: list[bool] = []

    def watched(decoded: torch.Tensor) -> torch.Tensor:
        seen.append(decoded.requires_grad)
        return to_pixels(decoded)

    monkeypatch.setattr(decoding, "to_pixels", watched)
    net = fill(ControlNet(TINY.unet))
    assert torch.is_grad_enabled()
    assert all(p.requires_grad for p in net.parameters())
    sampled(REQUESTS[:1], SMALL, [ControlInput(net, uniform("hint", (1, 3, 40, 56)).sigmoid())])
    assert seen == [False]
    assert torch.is_grad_enabled()


def test_a_condition_is_encoded_once_for_all_steps_and_images(monkeypatch):
    """One shared hint once; own hints once each, row by row, so that they do not depend on the batch."""
    seen, encode = [], ControlNet.encode
    monkeypatch.setattr(
        ControlNet, "encode", lambda self, hint, cells: seen.append(tuple(hint.shape)) or encode(self, hint, cells)
    )
    sampled(REQUESTS, SMALL, [control_input()], batch_size=1)
    assert seen == [(1, 3, 40, 56)]
    seen.clear()
    sampled(REQUESTS, SMALL, [control_input(rows=len(REQUESTS))], batch_size=2)
    assert seen == [(1, 3, 40, 56)] * len(REQUESTS)


def test_an_encoded_condition_gives_the_same_image():
    """The bits of encoding at every step."""
    side, z = control_input(), uniform("z", (1, 4, 5, 7))
    text, t = uniform("text", (1, 77, TINY.unet.context_dim)), torch.tensor([500])
    plain, encoded = (c.residuals(z, t, text) for c in (side, side.with_encoded((5, 7))))
    assert all(torch.equal(a, b) for a, b in zip(plain, encoded, strict=True))
