"""The same image, to rounding, as diffusers' ControlNet pipelines that start from an image, with and without a mask."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cn.model.generate import to_hint
from cn.model.start import StartImage, hide
from cn.sample.start_image import put_together, to_start
from tests.reference.test_same_image import CLEAN, ZERO, Case, condition, ours, psnr

CASES = {
    "img2img": (Case("sd1", steps=5), 0.6),
    "img2img, all steps": (Case("sd1"), 1.0),
    "img2img, v, noise": (Case("sd2-v", steps=7, eta=1.0), 0.8),
    "img2img, three in a batch": (Case("sd1", steps=5, prompts=("a red house", "", "two boats"), size=(72, 88)), 0.5),
    "img2img, a control leaves halfway": (Case("sd1", steps=5, window=(0.0, 0.5)), 0.6),
    "img2img, no guidance": (Case("sd1", scale=1.0), 0.7),
    "img2img, euler, karras": (Case("sd1", steps=5, sampler="euler", sigmas="karras"), 0.6),
    "img2img, euler-a, v": (Case("sd2-v", steps=5, sampler="euler-a"), 0.6),
    "img2img, dpm++2m, karras": (Case("sd1", steps=5, sampler="dpm++2m", sigmas="karras"), 0.6),
    "img2img, from pure noise": (Case("sd2-v", steps=5, scheduler=(*ZERO, CLEAN)), 0.8),
    "mask": (Case("sd1", steps=5), 1.0),
    "mask, a part of the steps": (Case("sd1", steps=5), 0.6),
    "mask, v, noise": (Case("sd2-v", steps=7, eta=1.0), 1.0),
    "mask, two in a batch": (Case("sd2", steps=4, prompts=("a red house", "a tree"), size=(72, 88)), 0.8),
    "mask, two controls": (Case("sd1", strengths=(0.7, 1.2), window=(0.2, 1.0)), 0.9),
    "mask, euler": (Case("sd1", steps=5, sampler="euler"), 1.0),
    "mask, euler-a, karras": (Case("sd1", steps=5, sampler="euler-a", sigmas="karras"), 0.7),
    "mask, dpm++2m, karras, v": (Case("sd2-v", steps=5, sampler="dpm++2m", sigmas="karras"), 1.0),
    "mask, linspace, euler": (
        Case("sd1", steps=5, sampler="euler", scheduler=(("timestep_spacing", "linspace"),)),
        1.0,
    ),
    "mask, 9 channels": (Case("sd1-inpaint", steps=5), 1.0),
    "mask, 9 channels, a part of the steps": (Case("sd1-inpaint", "file", steps=5), 0.6),
    "mask, 9 channels, euler-a, two in a batch": (
        Case("sd1-inpaint", steps=5, sampler="euler-a", prompts=("a red house", "a tree"), size=(72, 88)),
        0.8,
    ),
    "mask, 9 channels, sd2, noise, no guidance": (Case("sd2-inpaint", "file", steps=4, eta=1.0, scale=1.0), 1.0),
}


def photo(size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3): a smooth image."""
    rows, columns = np.mgrid[: size[0], : size[1]] / 17
    return np.stack([127 + 100 * np.sin(rows * k + columns) for k in (1, 2, 3)], axis=2).astype(np.uint8)


def mask(size: tuple[int, int]) -> np.ndarray:
    """bool (H, W): an L of whole latent cells (of cells that a mask cuts through, cn redraws all, diffusers some)."""
    found = np.zeros(size, bool)
    found[16:48, 8:24] = found[32:48, 8:56] = True
    return found


def reference(shelf: Any, case: Case, denoise: float, masked: bool, hint: torch.Tensor | None = None) -> np.ndarray:
    """uint8 (B, H, W, 3), rounded by diffusers; with `hint` instead of the condition."""
    several, count, pipelines = len(case.strengths) > 1, len(case.prompts), shelf.pipelines
    controls = [shelf.control(case.layout, "calm", name) for name in case.controls[: len(case.strengths)]]
    kind = pipelines.WITH_MASK if masked else pipelines.FROM_IMAGE
    settings = dict(case.scheduler)
    pipe = pipelines.controlled(
        shelf.base(case.layout, "calm"), controls, settings, case.sampler, case.sigmas, kind=kind
    )
    conditions = [Image.fromarray(condition(number, case.size)) for number in range(len(controls))]
    condition_of_all: Any = conditions if several else conditions * count
    given = {"mask_image": [Image.fromarray(mask(case.size))] * count} if masked else {}
    return np.stack(
        [
            np.asarray(image)
            for image in pipe(
                list(case.prompts),
                negative_prompt=[case.negative] * count,
                image=[Image.fromarray(photo(case.size))] * count,
                control_image=condition_of_all if hint is None else hint,
                height=case.size[0],
                width=case.size[1],
                strength=denoise,
                num_inference_steps=case.steps,
                guidance_scale=case.scale,
                eta=case.eta,
                controlnet_conditioning_scale=list(case.strengths) if several else case.strengths[0],
                control_guidance_start=case.window[0],
                control_guidance_end=case.window[1],
                generator=[torch.Generator().manual_seed(case.seed + i) for i in range(count)],
                **given,
            ).images
        ]
    )


@pytest.mark.parametrize("name", sorted(CASES, key=lambda name: CASES[name][0].layout))
def test_the_image_is_the_one_that_diffusers_draws(shelf, name):
    case, denoise = CASES[name]
    masked = name.startswith("mask")
    image, where = photo(case.size), mask(case.size) if masked else None
    start: StartImage = to_start(image, where, denoise)
    expected, drawn = reference(shelf, case, denoise, masked), ours(shelf, case, start)
    assert drawn.shape == expected.shape == (len(case.prompts), *case.size, 3)
    assert expected.std() > 20, "not a uniform image"
    if where is not None:
        for one, reference_of_it in zip(drawn, expected, strict=True):
            whole = put_together(one, image, where)
            assert np.array_equal(whole[~where], image[~where])
            assert np.array_equal(whole[where], one[where])
            assert np.abs(one[where].astype(int) - image[where]).mean() > 5, "redrawn"
            assert reference_of_it[where].std() > 20
    assert np.abs(drawn.astype(int) - expected.astype(int)).max() <= 1
    assert psnr(drawn, expected) >= 70


def test_the_mask_and_the_rest_of_the_image_show(shelf):
    """Else the cases of 9 channels would compare nothing but those of the latents."""
    case = Case("sd1-inpaint", steps=4)
    where, image = mask(case.size), photo(case.size)
    made = [
        ours(shelf, case, to_start(*given, 1.0)) for given in ((image, where), (image, ~where), (255 - image, where))
    ]
    for other in made[1:]:
        assert np.abs(made[0].astype(int) - other).mean() > 3


def inpaint_condition(image: np.ndarray, where: np.ndarray) -> torch.Tensor:
    """`make_inpaint_condition` of the model card of lllyasviel/control_v11p_sd15_inpaint."""
    found = image.astype(np.float32) / 255.0
    found[where] = -1.0
    return torch.from_numpy(found[None].transpose(0, 3, 1, 2))


@pytest.mark.parametrize("layout", ["sd1", "sd1-inpaint"])
def test_a_control_for_inpainting_sees_what_it_does_in_diffusers(shelf, layout):
    case = Case(layout, steps=4)
    where, image = mask(case.size), photo(case.size)
    hint = hide(to_hint(image, torch.device("cpu"), torch.float32), torch.from_numpy(where)[None, None].float())
    expected = reference(shelf, case, 1.0, True, inpaint_condition(image, where))
    drawn = ours(shelf, case, to_start(image, where, 1.0), [hint])
    assert np.abs(drawn.astype(int) - expected.astype(int)).max() <= 1
    assert psnr(drawn, expected) >= 70
    plain = ours(shelf, case, to_start(image, where, 1.0), [to_hint(image, torch.device("cpu"), torch.float32)])
    assert np.abs(plain.astype(int) - drawn).mean() > 2, "the mask shows"
