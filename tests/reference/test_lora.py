"""A LoRA merged here gives the weights and the images of diffusers' load_lora_weights and fuse_lora."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cn.checkpoints.read.load import open_base
from cn.checkpoints.read.lora.file import open_lora
from cn.checkpoints.read.lora.merge import merge
from cn.model.base import Base
from cn.model.generate import Request, Sampling, generate
from tests.helpers import loras
from tests.helpers.model_helpers import relative
from tests.reference.test_same_image import psnr

ALL = loras.LAYERS + loras.MORE_LAYERS
FORMS = {
    "kohya": lambda found: loras.kohya(found, alpha=1.0),
    "kohya without alpha": lambda found: loras.kohya(found, alpha=None),
    "peft": loras.peft,
}
WEIGHT = 0.7


@pytest.fixture(autouse=True)
def peft() -> None:
    pytest.importorskip("peft")


def file(folder: Path, base: Base, form: str, salt: str = "") -> Path:
    state = {part: dict(network.state_dict()) for part, network in base.networks.items()}
    return loras.write(folder / f"{salt}x.safetensors", FORMS[form](loras.pairs(state, ALL, salt)))


def fused(pipe: Any, folder: Path, *paths: Path) -> Any:
    """A copy of the pipeline with the LoRA files fused into its weights by diffusers, written and read again."""
    names = [path.stem for path in paths]
    for path, name in zip(paths, names, strict=True):
        pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name=name)
    pipe.set_adapters(names, [WEIGHT] * len(names))
    pipe.fuse_lora(components=["unet", "text_encoder"])
    pipe.unload_lora_weights()
    pipe.save_pretrained(folder / "fused")
    return pipe


def drawn(base: Base) -> np.ndarray:
    return next(generate(base, [Request("a red house", 3)], Sampling(64, 64, steps=5, scale=5.0)))


@pytest.mark.parametrize("layout", ["sd1", "sd2"])
@pytest.mark.parametrize("form", FORMS)
def test_the_weights_are_those_that_diffusers_fuses(shelf, layout, form, scratch):
    ours = open_base(shelf.base_folder(layout))
    path = file(scratch, ours, form)
    fused(shelf.pipelines.base(layout), scratch, path)
    theirs = open_base(scratch / "fused")
    before = {name: tensor.clone() for name, tensor in ours.unet.state_dict().items()}
    merge(ours, [(open_lora(path), WEIGHT)])
    changed = sum(not torch.equal(tensor, before[name]) for name, tensor in ours.unet.state_dict().items())
    assert changed == sum(layer.startswith("unet.") for layer in ALL)
    for part in ("unet", "text"):
        expected = theirs.networks[part].state_dict()
        for name, tensor in ours.networks[part].state_dict().items():
            if name in expected:
                assert relative(tensor, expected[name]) < 1e-6, name


def test_the_image_is_the_one_that_diffusers_draws(shelf, scratch):
    ours = open_base(shelf.base_folder("sd1", "calm"))
    paths = [file(scratch, ours, "kohya"), file(scratch, ours, "peft", "other-")]
    plain = drawn(ours)
    pipe = fused(shelf.pipelines.base("sd1", "calm"), scratch, *paths)
    pipe = shelf.pipelines.StableDiffusionPipeline(
        **{**pipe.components, "scheduler": shelf.pipelines.DDIMScheduler.from_config(pipe.scheduler.config)},
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    (image,) = pipe(
        "a red house",
        height=64,
        width=64,
        num_inference_steps=5,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(3),
    ).images
    expected = np.asarray(image)
    merge(ours, [(open_lora(path), WEIGHT) for path in paths])
    made = drawn(ours)
    assert np.abs(made.astype(int) - expected.astype(int)).max() <= 1
    assert psnr(made, expected) >= 70
    assert psnr(plain, expected) < 45, "the files change the image"
