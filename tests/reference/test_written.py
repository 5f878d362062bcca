"""What cn writes, diffusers loads: the same tensors, and the same image from a pipeline that cn wrote."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.helpers.layouts import convert, tensors
from tests.reference.test_same_image import condition, psnr

LAYOUTS = ("sd1", "sd2", "sd2-v")


def assert_same(ours, reference):
    expected = reference.state_dict()
    assert set(ours.state_dict()) == set(expected)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def draw(pipe, base):
    """uint8 (H, W, 3) by diffusers alone."""
    from diffusers import DDIMScheduler

    pipe.scheduler = DDIMScheduler.from_config(base.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    condition_image = Image.fromarray(condition(0, (64, 96)))
    (image,) = pipe(
        "a red house!", image=condition_image, num_inference_steps=5, generator=torch.Generator().manual_seed(3)
    ).images
    return np.asarray(image)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pipeline_from_an_original_file_draws_what_the_reference_draws(shelf, layout, scratch):
    """An official file of the first release → a diffusers folder written by cn → StableDiffusionControlNetPipeline."""
    from diffusers import StableDiffusionControlNetPipeline

    state = shelf.base_state(layout, "calm") | shelf.control_state(layout, "calm")
    save_file({name: tensor.clone() for name, tensor in state.items()}, scratch / "whole.safetensors")
    prediction = "v" if layout == "sd2-v" else "eps"
    folder = convert(scratch / "whole.safetensors", scratch / "folder", "diffusers", prediction=prediction)
    pipe = StableDiffusionControlNetPipeline.from_pretrained(folder, local_files_only=True)
    base, control = shelf.base(layout, "calm"), shelf.control(layout, "calm")
    for ours, reference in (
        (pipe.unet, base.unet),
        (pipe.vae, base.vae),
        (pipe.text_encoder, base.text_encoder),
        (pipe.controlnet, control),
    ):
        assert_same(ours, reference)
    prompts = ["a red house!", "", "naïve café 東京", "very " * 90]
    padded = {"padding": "max_length", "truncation": True, "max_length": 77}
    assert pipe.tokenizer(prompts, **padded).input_ids == base.tokenizer(prompts, **padded).input_ids
    assert pipe.scheduler.config["prediction_type"] == ("v_prediction" if layout == "sd2-v" else "epsilon")
    drawn, expected = draw(pipe, pipe), draw(shelf.pipelines.controlled(base, [control]), base)
    assert expected.std() > 20
    # The same numbers at other memory alignments: sums are rounded in another order.
    assert np.abs(drawn.astype(int) - expected.astype(int)).max() <= 1
    assert psnr(drawn, expected) >= 70


@pytest.mark.parametrize("layout", ["sd1", "sd2"])
def test_an_original_file_of_ours_is_read_by_diffusers(shelf, layout, scratch):
    """`from_single_file` recognizes it and fills its networks with the same tensors."""
    from diffusers import ControlNetModel, StableDiffusionPipeline

    folder = shelf.base_folder(layout, "calm")
    base = convert(folder, scratch / "base.safetensors", "ldm")
    pipe = StableDiffusionPipeline.from_single_file(str(base), config=str(folder), local_files_only=True)
    for part in ("unet", "vae", "text_encoder"):
        assert_same(getattr(pipe, part), getattr(shelf.base(layout, "calm"), part))
    folder = shelf.control_folder(layout, "calm")
    control = convert(folder, scratch / "control.safetensors", "ldm")
    loaded = ControlNetModel.from_single_file(str(control), config=str(folder), local_files_only=True)
    assert_same(loaded, shelf.control(layout, "calm"))


@pytest.mark.parametrize("layout", ["sd1", "sd2"])
def test_folders_come_back_as_diffusers_wrote_them(shelf, layout, scratch):
    """Through cn's own layout and through the original: every tensor, and every setting that affects images."""
    folder = shelf.base_folder(layout, "calm")
    native = convert(folder, scratch / "native.safetensors", "native")
    original = convert(folder, scratch / "original.safetensors", "ldm", prediction="eps")
    before = {name.removeprefix("text_encoder/model.safetensors:text_model."): t for name, t in tensors(folder).items()}
    for number, source in enumerate((native, original)):
        back = convert(source, scratch / f"back-{number}", "diffusers")
        after = {
            name.removeprefix("text_encoder/model.safetensors:text_model."): t for name, t in tensors(back).items()
        }
        shorter = {name.removeprefix("text_encoder/model.safetensors:"): t for name, t in before.items()}
        assert set(after) == set(shorter)
        assert all(torch.equal(tensor, shorter[name]) for name, tensor in after.items())
        for part in ("unet", "vae", "text_encoder", "scheduler"):
            name = "scheduler_config.json" if part == "scheduler" else "config.json"
            mine, theirs = (json.loads((f / part / name).read_text()) for f in (back, folder))
            ignored = {"_class_name", "_diffusers_version", "pad_token_id", "sample_size", "projection_dim"}
            common = (set(mine) & set(theirs)) - ignored
            assert {k: mine[k] for k in common} == {k: theirs[k] for k in common}, part


def test_a_control_folder_holds_what_diffusers_expects(shelf, scratch):
    """A pooled control stays pooled, and its file is marked as PyTorch's."""
    from diffusers import ControlNetModel

    source = shelf.control_folder("sd1", "calm", "pooled")
    native = convert(source, scratch / "native.safetensors", "native")
    back = convert(native, scratch / "back", "diffusers")
    loaded = ControlNetModel.from_pretrained(back, local_files_only=True)
    assert loaded.config["global_pool_conditions"] is True
    assert_same(loaded, shelf.control("sd1", "calm", "pooled"))
    assert load_file(back / "diffusion_pytorch_model.safetensors").keys() == loaded.state_dict().keys()
