"""Files identified by their content: related models by name, contradictions and damage in one line."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cn.checkpoints.read.inspection import inspect
from cn.checkpoints.read.load import Control, check_fits, open_base, open_control
from cn.checkpoints.read.recognize import recognize
from cn.checkpoints.write.native import save_base, save_control
from cn.errors import WeightsError
from cn.model.base import Base
from cn.model.controlnet import ControlNet
from tests.helpers.layouts import SMALL, convert, native_base, native_control, refusal, tensors


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and a control of each family and layout."""
    folder = tmp_path_factory.mktemp("recognize")
    for name in ("sd1", "sd2"):
        native_base(folder / f"{name}.safetensors", name)
        convert(folder / f"{name}.safetensors", folder / f"{name}-ldm.safetensors", "ldm")
        convert(folder / f"{name}.safetensors", folder / f"{name}-folder", "diffusers", half=True)
    native_control(folder / "control.safetensors", "sd1")
    convert(folder / "control.safetensors", folder / "control-ldm.safetensors", "ldm")
    convert(folder / "control.safetensors", folder / "control-folder", "diffusers")
    return folder


# Related models.

U_NET = "model.diffusion_model."
RELATED = {
    "SDXL": (["conditioner.embedders.0.transformer.text_model.x"], "is made for Stable Diffusion XL; cn supports"),
    "SDXL without conditioner": ([f"{U_NET}label_emb.0.0.weight"], "Stable Diffusion XL"),
    "SVD": ([f"{U_NET}input_blocks.1.0.time_stack.in_layers.0.weight", "conditioner.embedders.0.x"], "a video model"),
    "unCLIP": (["embedder.model.visual.proj", f"{U_NET}label_emb.0.0.weight"], "a Stable unCLIP model"),
    "unCLIP-l": (["noise_augmentor.data_mean", f"{U_NET}label_emb.0.0.weight"], "a Stable unCLIP model"),
    "x4": (["low_scale_model.betas", f"{U_NET}label_emb.weight"], "an upscaler of Stable Diffusion 2"),
}


@pytest.mark.parametrize("name", RELATED)
@pytest.mark.parametrize("base", ["sd1", "sd2"])
def test_a_related_model_with_all_parts_of_a_base(tmp_path, files, name, base):
    marks, words = RELATED[name]
    content = tensors(files / f"{base}-ldm.safetensors") | {mark: torch.zeros(2) for mark in marks}
    save_file(content, tmp_path / "x.safetensors")
    message = refusal(tmp_path / "x.safetensors", words)
    report = inspect(tmp_path / "x.safetensors")
    assert (report.usable, f"{tmp_path / 'x.safetensors'}: {report.what}") == (False, message)


def test_a_whole_sdxl_file_has_no_stable_diffusion_1_text_encoder(tmp_path, files):
    content = {n: t for n, t in tensors(files / "sd2-ldm.safetensors").items() if not n.startswith("cond_stage_model.")}
    content |= {f"{U_NET}label_emb.0.0.weight": torch.zeros(2), "conditioner.embedders.1.model.x": torch.zeros(2)}
    save_file(content, tmp_path / "x.safetensors")
    refusal(tmp_path / "x.safetensors", "is made for Stable Diffusion XL")


@pytest.mark.parametrize("mark", ["add_embedding.linear_1.weight", "class_embedding.linear_1.weight"])
def test_a_related_model_in_a_folder(tmp_path, files, mark):
    shutil.copytree(files / "sd2-folder", tmp_path / "x")
    weights = tmp_path / "x/unet/diffusion_pytorch_model.safetensors"
    save_file(load_file(weights) | {mark: torch.zeros(2)}, weights)
    refusal(tmp_path / "x", "Stable Diffusion XL")


CONTROLS = {
    "add_embedding.linear_1.weight": "is made for Stable Diffusion XL",
    "task_embedding": "a ControlNet-Union",
    "control_add_embedding.linear_1.weight": "a ControlNet-Union",
}


@pytest.mark.parametrize("mark", CONTROLS)
def test_a_control_of_a_related_model(tmp_path, files, mark):
    shutil.copytree(files / "control-folder", tmp_path / "x")
    weights = tmp_path / "x/diffusion_pytorch_model.safetensors"
    save_file(load_file(weights) | {mark: torch.zeros(2)}, weights)
    refusal(tmp_path / "x", CONTROLS[mark], load=open_control)
    refusal(weights, CONTROLS[mark], load=open_control)
    assert not inspect(weights).usable


def test_an_original_control_of_a_related_model(tmp_path, files):
    content = tensors(files / "control-ldm.safetensors")
    save_file(content | {"control_model.label_emb.0.0.weight": torch.zeros(2)}, tmp_path / "x.safetensors")
    refusal(tmp_path / "x.safetensors", "Stable Diffusion XL", load=open_control)


@pytest.mark.parametrize("prefix", ["", "diffusion_model."])
def test_a_bare_u_net(tmp_path, files, prefix):
    content = tensors(files / "sd1-ldm.safetensors")
    bare = {prefix + n.removeprefix(U_NET): t for n, t in content.items() if n.startswith(U_NET)}
    save_file(bare, tmp_path / "x.safetensors")
    refusal(tmp_path / "x.safetensors", "it is only a U-Net")
    assert not inspect(tmp_path / "x.safetensors").usable


def test_a_lllite(tmp_path):
    save_file({"lllite_unet_input_blocks_1_0.down.0.weight": torch.zeros(2)}, tmp_path / "x.safetensors")
    refusal(tmp_path / "x.safetensors", "is a ControlNet-LLLite", load=open_control)
    assert not inspect(tmp_path / "x.safetensors").usable


# Parts that do not fit together.


def test_other_latents_than_the_autoencoder_s(tmp_path, files):
    content = tensors(files / "sd1-ldm.safetensors")
    content[f"{U_NET}input_blocks.0.0.weight"] = torch.zeros(32, 12, 3, 3)
    save_file(content, tmp_path / "x.safetensors")
    refusal(tmp_path / "x.safetensors", "its U-Net has 12 input and 4 output channels, but its VAE's latents have 4")


def test_another_text_width_than_the_u_net_s(tmp_path):
    save_base(tmp_path / "x.safetensors", Base.create(replace(SMALL, unet=replace(SMALL.unet, context_dim=96))))
    refusal(tmp_path / "x.safetensors", "its U-Net takes text of width 96, but its text encoder has width 64")


def test_a_control_that_takes_no_images():
    with torch.device("meta"):
        control = Control(ControlNet(SMALL.unet, condition_channels=4), None)
    with pytest.raises(WeightsError, match=r"^x: this control takes conditions of 4 channels, but images have 3$"):
        check_fits(control, Base.create(SMALL, "meta"), "x")


def test_heads_are_compared_by_what_they_mean():
    """One head of width 64 is a width of 64, in a U-Net of 64 channels; two heads are something else."""
    base = Base.create(SMALL, "meta")
    with torch.device("meta"):
        same = Control(ControlNet(replace(SMALL.unet, heads=1, head_dim=None)), None)
        other = Control(ControlNet(replace(SMALL.unet, heads=2, head_dim=None)), None)
    check_fits(same, base, "x")
    with pytest.raises(WeightsError, match=r"it has attention heads: \(2, 2\), the base \(1, 1\)"):
        check_fits(other, base, "x")


def test_a_control_from_a_folder_fits_a_base_from_a_file(tmp_path):
    """SD 2 with the same number of heads everywhere: the folder says the number, the file's shapes the width."""
    save_base(tmp_path / "b.safetensors", Base.create(SMALL))
    save_control(
        tmp_path / "c.safetensors", ControlNet(SMALL.unet, condition_encoder="released"), kind="", base_sha256=""
    )
    base = open_base(convert(tmp_path / "b.safetensors", tmp_path / "b-ldm.safetensors", "ldm"))
    control = open_control(convert(tmp_path / "c.safetensors", tmp_path / "c", "diffusers"))
    assert (base.config.unet.heads, control.model.config.heads) == (None, 1)
    check_fits(control, base, "c")


# Folders.


@pytest.mark.parametrize(("family", "gelu", "pad"), [("sd1", True, 49407), ("sd2", False, 0)])
def test_missing_text_settings_are_those_of_the_family(tmp_path, files, family, gelu, pad):
    folder = shutil.copytree(files / f"{family}-folder", tmp_path / "x")
    (folder / "text_encoder/config.json").unlink()
    shutil.rmtree(folder / "tokenizer")
    text = recognize(folder).model.text
    assert (text.quick_gelu, text.pad_id) == (gelu, pad)
    assert text == recognize(files / f"{family}-folder").model.text


def test_a_variant_of_the_u_net_alone(tmp_path, files):
    folder = shutil.copytree(files / "sd1-folder", tmp_path / "x")
    refusal(folder, "none of its parts has weights of variant fp16", load=lambda p: recognize(p, variant="fp16"))
    plain = folder / "unet/diffusion_pytorch_model.safetensors"
    plain.rename(folder / "unet/diffusion_pytorch_model.fp16.safetensors")
    found = recognize(folder, variant="fp16")
    assert sorted(file.name for file in found.files) == [
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.safetensors",
        "model.safetensors",
    ]
    assert found.metadata["variant"] == "fp16; not available for vae, text_encoder"


def test_missing_weights_are_named(tmp_path, files):
    folder = shutil.copytree(files / "sd1-folder", tmp_path / "x")
    (folder / "text_encoder/model.safetensors").unlink()
    refusal(folder, "text_encoder: has no weights (model.safetensors or pytorch_model.bin)")


INPUTS = [(8, "InstructPix2Pix"), (5, "depth-to-image"), (7, "upscaler")]


@pytest.mark.parametrize(("channels", "name"), INPUTS)
def test_related_models_are_refused_by_name(tmp_path, channels, name):
    content = tensors(convert(native_base(tmp_path / "a.safetensors", "sd1"), tmp_path / "b.safetensors", "ldm"))
    content["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(32, channels, 3, 3)
    save_file(content, tmp_path / "c.safetensors")
    with pytest.raises(WeightsError, match=rf"c\.safetensors: is an? {name}"):
        open_base(tmp_path / "c.safetensors")


UNRECOGNIZED = [
    ({"conditioner.embedders.0.x": 1}, "Stable Diffusion XL"),
    ({"lora_unet_down.lora_up.weight": 1}, "a LoRA"),
    ({"lora_controlnet": 1, "a.lora_up.weight": 1}, "ControlLoRA"),
    ({"difference": 1, "control_model.x": 1}, "difference file"),
    ({"adapter.body.0.weight": 1}, "T2I-Adapter"),
    ({"first_stage_model.decoder.up.0.x": 1}, "it is only a VAE"),
    ({"text_model.encoder.layers.0.self_attn.q_proj.weight": 1}, "it is only a text encoder"),
    ({"down_blocks.0.x": 1}, "one part of a diffusers folder"),
    ({"something": 1}, "unknown to cn (its first tensor is something)"),
    ({}, "it holds no tensors"),
]


@pytest.mark.parametrize(("names", "message"), UNRECOGNIZED, ids=[message for _, message in UNRECOGNIZED])
def test_unrecognized_files_are_named(tmp_path, names, message):
    save_file({name: torch.zeros(size) for name, size in names.items()}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError) as caught:
        open_control(tmp_path / "x.safetensors")
    assert message in str(caught.value)
