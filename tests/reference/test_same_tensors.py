"""The same numbers as diffusers and transformers give for every network, read from both layouts, in both precisions.

In double precision equal implementations differ by 1e-14 at most, so that any mistake shows: the smallest known, a
wrong epsilon in a LayerNorm, makes 4e-6. In single precision each of the two is 1e-6 off the exact result.
"""

import copy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cn.checkpoints.read.load import open_base, open_control
from cn.model.base import Base
from cn.model.controlnet import ControlNet
from cn.model.text import tokenize
from tests.helpers.model_helpers import relative, uniform

LIMITS = {torch.float32: 4e-6, torch.float64: 1e-12}
UNET_LIMITS = {torch.float32: 2e-6, torch.float64: 1e-12}
"""For the U-Net and the residuals of a ControlNet."""
PROMPTS = ["a red house by the sea", "", "naïve café in 東京 🙂", "a very long street with many houses, " * 12]


@dataclass(frozen=True)
class Case:
    """What is read: a layout from diffusers' folders or the original single files, computed in `dtype`."""

    layout: str
    form: str
    dtype: torch.dtype

    @property
    def limit(self) -> float:
        return LIMITS[self.dtype]

    @property
    def unet_limit(self) -> float:
        return UNET_LIMITS[self.dtype]

    def input(self, name: str, *shape: int) -> Tensor:
        return uniform(name, shape).to(self.dtype)


# In what precision is computed says nothing about how a file was read.
FORMS = (("folder", torch.float32), ("folder", torch.float64), ("file", torch.float64))
CASES = [Case(layout, *form) for layout in ("sd1", "sd2") for form in FORMS]
# The scope runs all tests of a case after each other, so that the caches need not hold the others.
every_case = pytest.mark.parametrize(
    "case", CASES, ids=lambda c: f"{c.layout}-{c.form}-{str(c.dtype)[6:]}", scope="module"
)


@lru_cache(maxsize=1)
def reference(shelf: Any, layout: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """The pipeline and the ControlNetModel."""
    parts = shelf.base(layout), shelf.control(layout)
    return parts if dtype == torch.float32 else tuple(copy.deepcopy(part).to(dtype=dtype) for part in parts)


@lru_cache(maxsize=1)
def ours(shelf: Any, case: Case) -> tuple[Base, ControlNet]:
    folder = case.form == "folder"
    base: Path = (shelf.base_folder if folder else shelf.base_file)(case.layout)
    control: Path = (shelf.control_folder if folder else shelf.control_file)(case.layout)
    return open_base(base, dtype=case.dtype, prediction="eps"), open_control(control, dtype=case.dtype).model


def inputs(case: Case, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two latents of 9×11 cells (odd at three levels), an early and a late timestep, text states."""
    return case.input("z", 2, 4, 9, 11), torch.tensor([981, 3]), case.input("text", 2, 77, width)


@every_case
@torch.inference_mode()
def test_the_unet_predicts_the_same(shelf, case):
    (theirs, _), (base, _) = reference(shelf, case.layout, case.dtype), ours(shelf, case)
    arguments = inputs(case, base.config.unet.context_dim)
    assert relative(base.unet(*arguments), theirs.unet(*arguments).sample) <= case.unet_limit


@every_case
@torch.inference_mode()
def test_every_residual_of_a_control_and_the_controlled_prediction_are_the_same(shelf, case):
    (theirs, their_control), (base, control) = reference(shelf, case.layout, case.dtype), ours(shelf, case)
    arguments = inputs(case, base.config.unet.context_dim)
    hint = case.input("hint", 2, 3, 72, 88).sigmoid()
    down, middle = their_control(*arguments, hint, return_dict=False)
    residuals = control(*arguments, hint)
    assert len(residuals) == len(down) + 1 == 13
    errors = [relative(a, b) for a, b in zip(residuals, [*down, middle], strict=True)]
    assert max(errors) <= case.unet_limit, errors
    expected = theirs.unet(*arguments, down_block_additional_residuals=down, mid_block_additional_residual=middle)
    assert relative(base.unet(*arguments, residuals), expected.sample) <= case.unet_limit


@every_case
@torch.inference_mode()
def test_the_autoencoder_encodes_and_decodes_the_same(shelf, case):
    (theirs, _), (base, _) = reference(shelf, case.layout, case.dtype), ours(shelf, case)
    images, latents, scale = case.input("pictures", 2, 3, 72, 88).tanh(), case.input("latents", 2, 4, 9, 11), 0.18215
    expected, posterior = theirs.vae.encode(images).latent_dist, base.vae.encode(images)
    assert relative(posterior.mean, expected.mean * scale) <= case.limit
    assert relative(posterior.std, expected.std * scale) <= case.limit
    assert relative(base.vae.decode(latents), theirs.vae.decode(latents / scale).sample) <= case.limit


@every_case
@torch.inference_mode()
def test_the_text_encoder_reads_the_same(shelf, case):
    (theirs, _), (base, _) = reference(shelf, case.layout, case.dtype), ours(shelf, case)
    ids = theirs.tokenizer(PROMPTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    assert torch.equal(tokenize(PROMPTS, base.config.text), ids)
    for states, expected in zip(base.text.encode(PROMPTS), theirs.text_encoder(ids)[0], strict=True):
        assert relative(states, expected) <= case.limit
