"""Conversion: the published names at full size, and exact round trips between the layouts."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cn.checkpoints.checkpoint import ControlSpec
from cn.checkpoints.read.contents import Contents
from cn.checkpoints.read.load import empty_base, empty_control, open_control, shapes_of
from cn.checkpoints.read.recognize import recognize
from cn.checkpoints.write.native import save_base
from cn.checkpoints.write.plan import plan
from cn.errors import UsageError
from cn.model.config import PRESETS, ModelConfig
from tests.golden.keys import keys
from tests.helpers.layouts import CONFIGS, assert_same, control, convert, native_base, native_control, tensors
from tests.helpers.model_helpers import TINY, tiny_base

FAMILIES = list(CONFIGS)


@dataclass(frozen=True)
class Shaped:
    """A parameter with a shape but no numbers."""

    shape: tuple[int, ...]
    dtype: str = "F32"
    stored: tuple = ()

    def read(self):
        raise AssertionError("a plan reads nothing")


def full_size(preset: str, *, with_base: bool = True, with_control: bool = True) -> Contents:
    """The published model, without numbers."""
    config, parts, spec = PRESETS[preset], {}, None
    if with_base:
        for part, network in empty_base(config).networks.items():
            parts[part] = {name: Shaped(shape) for name, shape in shapes_of(network).items()}
    if with_control:
        spec = ControlSpec(config.unet)
        model = empty_control(spec, Path("x"))
        parts["control"] = {name: Shaped(shape) for name, shape in shapes_of(model).items()}
    return Contents(Path("x"), "native", parts, config if with_base else None, spec, {})


@pytest.mark.parametrize("version", ["sd15", "sd21"])
def test_an_original_file_has_exactly_the_names_that_the_official_code_loads(version):
    """Strictly: the networks, the noise schedule, the position ids; with and without the control."""
    (output,) = plan(full_size(version), "ldm").outputs
    written = {name: item.shape for name, item in output.items.items()}
    assert written == keys(f"ldm/{version}") | keys(f"control/{version}")
    (output,) = plan(full_size(version, with_control=False), "ldm").outputs
    assert set(output.items) == set(keys(f"ldm/{version}"))
    (output,) = plan(full_size(version, with_base=False), "ldm").outputs
    assert {name: item.shape for name, item in output.items.items()} == keys(f"control/{version}")


@pytest.mark.parametrize("version", ["sd15", "sd21"])
def test_a_diffusers_folder_has_exactly_the_names_that_diffusers_writes(version):
    outputs = {output.name: output for output in plan(full_size(version), "diffusers").outputs}
    for part, stem in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model"),
                       ("controlnet", "diffusion_pytorch_model"), ("text_encoder", "model")):  # fmt: skip
        written = {name: item.shape for name, item in outputs[f"{part}/{stem}.safetensors"].items.items()}
        assert written == keys(f"diffusers/{version}/{part}"), part
    heads = json.loads(outputs["unet/config.json"].text)["attention_head_dim"]
    assert heads == (8 if version == "sd15" else [5, 10, 20, 20])
    assert json.loads(outputs["text_encoder/config.json"].text)["num_hidden_layers"] == (
        12 if version == "sd15" else 23
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip_through_the_original_layout(tmp_path, family):
    source = native_base(tmp_path / "a.safetensors", family)
    middle = convert(source, tmp_path / "b.safetensors", "ldm")
    back = convert(middle, tmp_path / "c.safetensors", "native")
    kept = {name: t for name, t in tensors(back).items() if name.startswith("kept.")}
    assert len(kept) == (14 if family == "sd1" else 15)
    assert_same(tensors(source), {name: t for name, t in tensors(back).items() if name not in kept})
    again = convert(back, tmp_path / "d.safetensors", "ldm")
    assert_same(tensors(middle), tensors(again))
    assert recognize(back).model == recognize(again).model == CONFIGS[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip_through_diffusers(tmp_path, family):
    """SD 2's last text layer never runs, and diffusers does not store it: a copy of the one before comes back."""
    source = native_base(tmp_path / "a.safetensors", family)
    folder = convert(source, tmp_path / "folder", "diffusers")
    back = convert(folder, tmp_path / "b.safetensors", "native")
    unused = {name for name in tensors(source) if ".resblocks.2." in name} if family == "sd2" else set()
    assert_same({name: t for name, t in tensors(source).items() if name not in unused}, tensors(back))
    assert_same(tensors(folder), tensors(convert(back, tmp_path / "again", "diffusers")))
    original = convert(folder, tmp_path / "c.safetensors", "ldm")
    assert_same(tensors(folder), tensors(convert(original, tmp_path / "third", "diffusers")))
    assert recognize(folder).model.unet == CONFIGS[family].unet
    assert recognize(folder).prediction == CONFIGS[family].schedule.prediction


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("to", ["ldm", "diffusers"])
def test_round_trip_of_a_control(tmp_path, family, to):
    source = native_control(tmp_path / "a.safetensors", family)
    middle = convert(source, tmp_path / ("b.safetensors" if to == "ldm" else "b"), to)
    back = convert(middle, tmp_path / "c.safetensors", "native")
    assert_same(tensors(source), tensors(back))
    found = open_control(middle)
    assert (found.kind, found.base_sha256) == ("canny", "abc"), "metadata is kept"
    loaded = found.model.state_dict()
    for name, parameter in control(family).state_dict().items():
        assert torch.equal(parameter, loaded[name]), name


def test_a_base_and_a_control_in_one_file_and_apart(tmp_path):
    """The form of ControlNet 1.0: split into two native files, joined again, and separated by --only."""
    (tmp_path / "both").mkdir()
    native_base(tmp_path / "both/base.safetensors", "sd1")
    native_control(tmp_path / "both/control.safetensors", "sd1")
    whole = tmp_path / "whole.safetensors"
    parts = [convert(tmp_path / f"both/{role}.safetensors", tmp_path / f"{role}.safetensors", "ldm")
             for role in ("base", "control")]  # fmt: skip
    save_file(tensors(parts[0]) | tensors(parts[1]), whole)
    assert recognize(whole).what == "a base and a control"
    folder = convert(whole, tmp_path / "apart", "native")
    assert sorted(file.name for file in folder.iterdir()) == ["base.safetensors", "control.safetensors"]
    assert_same(tensors(folder / "control.safetensors"), tensors(tmp_path / "both/control.safetensors"))
    assert_same(tensors(convert(whole, tmp_path / "c.safetensors", "ldm")), tensors(whole))
    assert_same(tensors(convert(whole, tmp_path / "d.safetensors", "ldm", only="control")), tensors(parts[1]))
    assert_same(tensors(convert(whole, tmp_path / "e.safetensors", "ldm", only="base")), tensors(parts[0]))
    both = convert(whole, tmp_path / "pipeline", "diffusers")
    assert json.loads((both / "model_index.json").read_text())["_class_name"] == "StableDiffusionControlNetPipeline"
    assert_same(tensors(convert(both, tmp_path / "f.safetensors", "ldm")), tensors(whole))
    assert_same(tensors(convert(folder, tmp_path / "h.safetensors", "ldm")), tensors(whole))
    with pytest.raises(UsageError, match="a base and a control are written as a folder"):
        convert(whole, tmp_path / "g.safetensors", "native")


def test_half_precision_rounds_numbers_and_nothing_else(tmp_path):
    source = convert(native_base(tmp_path / "a.safetensors", "sd1"), tmp_path / "b.safetensors", "ldm")
    halved = tensors(convert(source, tmp_path / "c.safetensors", "ldm", half=True))
    for name, tensor in tensors(source).items():
        wanted = tensor.half() if name.startswith(("model.", "first_stage", "cond_stage")) else tensor
        wanted = tensor if name.endswith("position_ids") else wanted
        assert halved[name].dtype == wanted.dtype, name
        assert torch.equal(halved[name], wanted), name


def test_converting_to_the_same_layout_changes_nothing(tmp_path):
    """A base keeps its shortened token embedding and its header."""
    source = tmp_path / "a.safetensors"
    save_base(source, tiny_base(TINY), half=False, tokens=[0, 320, 49406, 49407], license="CC0-1.0")
    copy = convert(source, tmp_path / "b.safetensors", "native")
    assert_same(tensors(source), tensors(copy))
    with safe_open(copy, "pt") as file:
        header = json.loads(file.metadata()["cn"])
    with safe_open(source, "pt") as file:
        before = json.loads(file.metadata()["cn"])
    assert {k: v for k, v in before.items() if k != "config"}.items() <= header.items()
    assert ModelConfig.from_dict(before["config"]) == ModelConfig.from_dict(header["config"])
