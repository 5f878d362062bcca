"""The same image, to rounding, as diffusers' StableDiffusionControlNetPipeline makes, from the same files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cn.checkpoints.read.diffusers_settings import schedule_settings
from cn.checkpoints.read.load import open_base, open_control
from cn.model.base import Base
from cn.model.generate import Request, Sampling, generate, to_hint
from cn.model.guidance import ControlInput
from cn.model.start import StartImage

LONG = "a very long street with many houses, " * 12
UNICODE = "naïve café in 東京, at 12:45 🙂 — l'été"


@dataclass(frozen=True)
class Case:
    """One run of both; `files` says whether cn reads diffusers' folders or the original single files."""

    layout: str
    files: str = "folder"
    steps: int = 3
    eta: float = 0.0
    size: tuple[int, int] = (64, 64)
    prompts: tuple[str, ...] = ("a red house by the sea",)
    negative: str = "blurry, gray"
    scale: float = 9.0
    strengths: tuple[float, ...] = (1.0,)
    controls: tuple[str, ...] = ("one", "two")
    """As many of these as there are strengths."""
    window: tuple[float, float] = (0.0, 1.0)
    seed: int = 7
    scheduler: tuple[tuple[str, object], ...] = ()
    """Settings in scheduler_config.json other than the published ones."""
    sampler: str = "ddim"
    sigmas: str = "default"


TRAILING = ("timestep_spacing", "trailing")
ZERO = (TRAILING, ("rescale_betas_zero_snr", True))
CLEAN, LEVEL_0 = ("set_alpha_to_one", True), ("set_alpha_to_one", False)
CASES = {
    "sd1": Case("sd1", steps=20),
    "sd2": Case("sd2"),
    "v": Case("sd2-v", steps=7),  # 7 does not divide 1000
    "sd1, original file": Case("sd1", "file", seed=11),
    "sd2, original file": Case("sd2", "file", seed=11),
    "v, original file": Case("sd2-v", "file", seed=11),
    "sd1, noise at every step": Case("sd1", eta=1.0),
    "sd2, noise at every step": Case("sd2", "file", eta=1.0),
    "v, noise at every step": Case("sd2-v", eta=1.0),
    "upright": Case("sd1", "file", size=(96, 64)),
    "wide": Case("sd2", size=(64, 96)),
    "latents of odd size": Case("sd1", size=(72, 88)),
    "latents of odd size, v, noise": Case("sd2-v", size=(88, 72), eta=1.0),
    "three in a batch": Case("sd1", prompts=("a red house", "", "two boats"), size=(72, 88)),
    "two in a batch, noise": Case("sd2", prompts=("a red house", "a tree"), eta=1.0),
    "half strength": Case("sd1", "file", strengths=(0.5,)),
    "the control leaves halfway": Case("sd1", steps=4, window=(0.0, 0.5)),
    "the control comes late, v": Case("sd2-v", window=(0.4, 1.0)),
    "two controls": Case("sd1", strengths=(0.7, 1.2)),
    "two controls, halfway, v": Case("sd2-v", "file", strengths=(1.0, 0.4), window=(0.0, 0.5)),
    "a pooled control": Case("sd1", strengths=(0.8,), controls=("pooled",)),
    "empty prompts": Case("sd2", prompts=("",), negative=""),
    "unicode, sd1": Case("sd1", prompts=(UNICODE,)),
    "unicode, sd2": Case("sd2", prompts=(UNICODE,), negative="naïve"),
    "too long, sd1": Case("sd1", prompts=(LONG,), negative=LONG[::-1]),
    "too long, sd2": Case("sd2", "file", prompts=(LONG,)),
    "no guidance": Case("sd1", scale=1.0),
    "no guidance, v, noise": Case("sd2-v", scale=1.0, eta=1.0),
    "linspace": Case("sd1", scheduler=(("timestep_spacing", "linspace"),)),
    "trailing, v": Case("sd2-v", scheduler=(TRAILING, LEVEL_0)),
    "trailing to a clean image": Case("sd2", scheduler=(TRAILING, CLEAN)),
    "from pure noise": Case("sd2-v", scheduler=(*ZERO, LEVEL_0)),
    "from pure noise to a clean image": Case("sd2-v", scheduler=(*ZERO, CLEAN)),
    "no offset": Case("sd2-v", scheduler=(("steps_offset", 0),)),
    "no offset, clean, noise": Case("sd1", eta=1.0, scheduler=(("steps_offset", 0), CLEAN)),
}


def condition(number: int, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3): rectangles of noise; one image for each number."""
    rng = np.random.default_rng(number)
    cells = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    return cells.repeat(8, axis=0).repeat(8, axis=1)


def reference(shelf: Any, case: Case) -> np.ndarray:
    """uint8 (B, H, W, 3), rounded by diffusers."""
    several, count = len(case.strengths) > 1, len(case.prompts)
    controls = [shelf.control(case.layout, "calm", name) for name in case.controls[: len(case.strengths)]]
    pipe = shelf.pipelines.controlled(
        shelf.base(case.layout, "calm"), controls, dict(case.scheduler), case.sampler, case.sigmas
    )
    conditions = [Image.fromarray(condition(number, case.size)) for number in range(len(controls))]
    images = pipe(
        list(case.prompts),
        negative_prompt=[case.negative] * count,
        image=conditions if several else conditions[0],
        num_inference_steps=case.steps,
        guidance_scale=case.scale,
        eta=case.eta,
        controlnet_conditioning_scale=list(case.strengths) if several else case.strengths[0],
        control_guidance_start=case.window[0],
        control_guidance_end=case.window[1],
        generator=[torch.Generator().manual_seed(case.seed + i) for i in range(count)],
    ).images
    return np.stack([np.asarray(image) for image in images])


# As many as one layout needs; its cases run after each other.
@lru_cache(maxsize=6)
def _opened(function: Any, path: Any, **options: Any) -> Any:
    return function(path, **options)


def _rescheduled(base: Base, folder: Path, settings: dict[str, object]) -> Base:
    """The base as it would be read with these settings in its scheduler_config.json."""
    published = json.loads((folder / "scheduler/scheduler_config.json").read_text())
    with TemporaryDirectory() as scratch:
        changed = Path(scratch, "scheduler_config.json")
        changed.write_text(json.dumps(published | settings))
        return replace(base, config=replace(base.config, schedule=schedule_settings(changed)))


def ours(shelf: Any, case: Case, start: StartImage | None = None, hints: Sequence[torch.Tensor] = ()) -> np.ndarray:
    """uint8 (B, H, W, 3), from the files on disk; with `hints` instead of the conditions."""
    folder = case.files == "folder"
    # An original SD 2 file does not say what the network predicts; a folder's scheduler does.
    stated = folder or case.layout.startswith("sd1")
    options: dict[str, Any] = {} if stated else {"prediction": "v" if case.layout == "sd2-v" else "eps"}
    options |= {"inpainting": True} if case.layout.endswith("inpaint") else {}
    base = _opened(open_base, (shelf.base_folder if folder else shelf.base_file)(case.layout, "calm"), **options)
    if case.scheduler:
        base = _rescheduled(base, shelf.base_folder(case.layout, "calm"), dict(case.scheduler))
    controls = []
    for number, (name, strength) in enumerate(zip(case.controls, case.strengths, strict=False)):
        path = (shelf.control_folder if folder else shelf.control_file)(case.layout, "calm", name)
        hint = hints[number] if hints else to_hint(condition(number, case.size), base.device, base.dtype)
        controls.append(ControlInput(_opened(open_control, path).model, hint, strength, *case.window))
    height, width = case.size
    requests = [Request(prompt, case.seed + i, case.negative) for i, prompt in enumerate(case.prompts)]
    sampling = Sampling(height, width, case.steps, case.scale, case.eta, sampler=case.sampler, sigmas=case.sigmas)
    return np.stack(list(generate(base, requests, sampling, controls, start=start, batch_size=len(requests))))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR of uint8 images, in decibels."""
    error = np.mean((a.astype(float) - b.astype(float)) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("name", sorted(CASES, key=lambda name: CASES[name].layout))
def test_the_image_is_the_one_that_diffusers_draws(shelf, name):
    case = CASES[name]
    expected, drawn = reference(shelf, case), ours(shelf, case)
    assert drawn.shape == expected.shape == (len(case.prompts), *case.size, 3)
    assert expected.std() > 20, "not a uniform image"
    assert np.abs(drawn.astype(int) - expected.astype(int)).max() <= 1
    assert psnr(drawn, expected) >= 70
