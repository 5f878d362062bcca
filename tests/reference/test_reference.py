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
def draw(
    shelf: Any, layout: str, *, prompt: str = "a red house", hint: int = 0, strength: float = 1.0, shift: float = 0.0
) -> np.ndarray:
    pipe = shelf.pipelines.controlled(shelf.base(layout, "calm"), [shelf.control(layout, "calm")])
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn((1, 4, 8, 8), generator=generator)
    latents = latents + shift * torch.randn(latents.shape, generator=generator)
    image = pipe(
        prompt,
        image=Image.fromarray(condition(hint, (64, 64))),
        num_inference_steps=20,
        controlnet_conditioning_scale=strength,
        guidance_scale=9.0,
        latents=latents,
    ).images[0]
    return np.asarray(image).astype(int)


@both
def test_a_millionth_in_the_noise_does_not_show(shelf, layout):
    assert np.abs(draw(shelf, layout, shift=1e-6) - draw(shelf, layout)).max() <= 1


@both
@pytest.mark.parametrize(
    "change", [{"strength": 0.0}, {"hint": 1}, {"prompt": "two blue boats"}], ids=["control", "condition", "prompt"]
)
def test_everything_that_steers_shows(shelf, layout, change):
    assert np.abs(draw(shelf, layout, **change) - draw(shelf, layout)).mean() >= 5
