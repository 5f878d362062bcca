"""The reference itself: its images are not chaotic, so that equal and wrong implementations can be distinguished."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.reference.test_same_image import condition

both = pytest.mark.parametrize("layout", ["sd1", "sd2", "sd2-v"])


@cache
def drawn(shelf: Any, layout: str) -> dict[str, np.ndarray]:
    """The same image five times: as it is, and each time with one other thing."""
    pipe = shelf.pipelines.controlled(shelf.base(layout, "calm"), [shelf.control(layout, "calm")])
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn((1, 4, 8, 8), generator=generator)
    shifted = latents + 1e-6 * torch.randn(latents.shape, generator=generator)
    plain, other = (Image.fromarray(condition(number, (64, 64))) for number in (0, 1))
    prompt = "a red house"
    steps = 20 if layout == "sd1" else 7  # as many as the comparisons with cn take at most
    differing = {
        "nothing": (prompt, plain, latents),
        "noise": (prompt, plain, shifted),
        "condition": (prompt, other, latents),
        "prompt": ("two blue boats", plain, latents),
    }

    def draw(prompts: list[str], conditions: list[Image.Image], noise: torch.Tensor, strength: float) -> np.ndarray:
        images = pipe(
            prompts,
            image=conditions,
            num_inference_steps=steps,
            controlnet_conditioning_scale=strength,
            guidance_scale=9.0,
            latents=noise,
        ).images
        return np.stack([np.asarray(image).astype(int) for image in images])

    # In one batch, which takes half the time; only the strength is the same for all of a batch.
    prompts, conditions, noise = zip(*differing.values(), strict=True)
    made = draw(list(prompts), list(conditions), torch.cat(noise), 1.0)
    return dict(zip(differing, made, strict=True)) | {"control": draw([prompt], [plain], latents, 0.0)[0]}


@both
def test_a_millionth_in_the_noise_does_not_show(shelf, layout):
    images = drawn(shelf, layout)
    assert np.abs(images["noise"] - images["nothing"]).max() <= 1


@both
@pytest.mark.parametrize("change", ["control", "condition", "prompt"])
def test_everything_that_steers_shows(shelf, layout, change):
    images = drawn(shelf, layout)
    assert np.abs(images[change] - images["nothing"]).mean() >= 5
