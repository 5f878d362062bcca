"""Weights of 8 bits, with and without scales: read as what they stand for."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cn.checkpoints.read.inspection import inspect
from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.write.native import save_base
from cn.errors import InputError
from tests.helpers.layouts import base, convert, native_base, native_control, refusal, tensors

E4M3 = torch.float8_e4m3fn


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fp8")
    native_base(folder / "sd1.safetensors", "sd1")
    convert(folder / "sd1.safetensors", folder / "sd1-ldm.safetensors", "ldm")
    convert(folder / "sd1.safetensors", folder / "sd1-folder", "diffusers")
    native_control(folder / "control.safetensors", "sd1")
    convert(folder / "control.safetensors", folder / "control-ldm.safetensors", "ldm")
    return folder


def quantized(
    content: dict[str, Tensor], kind: str, dtype: torch.dtype = E4M3, rows: bool = False
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The linear weights as 8 bits with scales in a spelling, and what they stand for, computed here."""
    stored, meant = dict(content), dict(content)
    for name, tensor in content.items():
        if name.endswith(".weight") and tensor.ndim == 2 and tensor.is_floating_point():
            peak = tensor.abs().amax(1, keepdim=True) if rows else tensor.abs().max()
            scale = (peak / torch.finfo(dtype).max).clamp(min=1e-12).float()
            stored[name] = (tensor / scale).to(dtype)
            stored[name.removesuffix("weight") + kind] = scale
            meant[name] = stored[name].float() * scale
    return stored, meant


@pytest.mark.parametrize("dtype", [E4M3, torch.float8_e5m2], ids=str)
@pytest.mark.parametrize(("kind", "rows"), [("scale_weight", False), ("weight_scale", False), ("weight_scale", True)])
def test_a_single_file_with_scales(tmp_path, files, kind, rows, dtype):
    stored, meant = quantized(load_file(files / "sd1-ldm.safetensors"), kind, dtype, rows)
    layer = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q."
    stored |= {f"{layer}scale_input": torch.ones(()), f"{layer}comfy_quant": torch.zeros(9, dtype=torch.uint8)}
    stored |= {"model.diffusion_model.scaled_fp8": torch.zeros(2, dtype=dtype)}
    save_file(stored, tmp_path / "fp8.safetensors")
    save_file(meant, tmp_path / "meant.safetensors")
    left, right = (
        convert(tmp_path / f"{n}.safetensors", tmp_path / f"{n}-ours.safetensors", "native") for n in ("fp8", "meant")
    )
    ours, expected = tensors(left), tensors(right)
    assert set(ours) == set(expected)
    for name, tensor in expected.items():
        assert ours[name].dtype == tensor.dtype, name
        assert torch.equal(ours[name], tensor), name
    loaded, reference = (open_base(tmp_path / f"{n}.safetensors").unet.state_dict() for n in ("fp8", "meant"))
    assert set(loaded) == set(reference)
    for name, tensor in reference.items():
        assert torch.equal(loaded[name], tensor), name


def test_the_report_of_a_file_with_scales(tmp_path, files):
    stored, _ = quantized(load_file(files / "control-ldm.safetensors"), "scale_weight")
    count = sum(name.endswith("scale_weight") for name in stored)
    stored |= {
        f"{name.removesuffix('weight')}scale_input": torch.ones(()) for name in list(stored) if ".to_q.w" in name
    }
    save_file(stored | {"scaled_fp8": torch.zeros(0, dtype=E4M3)}, tmp_path / "x.safetensors")
    report = inspect(tmp_path / "x.safetensors")
    assert report.usable
    assert report.what == "a control"
    assert report.dtypes["F8_E4M3"] == count
    assert f"{count} weights have 8 bits and a scale: cn reads their products, in F32" in report.warnings
    assert any("scaled_fp8 (marks of weights with scales)" in warning for warning in report.warnings)
    assert any("scale_input and" in warning and "scales of inputs" in warning for warning in report.warnings)
    open_control(tmp_path / "x.safetensors")


def test_a_diffusers_folder_with_a_scale_in_another_shard(tmp_path, files):
    shutil.copytree(files / "sd1-folder", tmp_path / "x")
    unet = tmp_path / "x/unet"
    stored, meant = quantized(load_file(unet / "diffusion_pytorch_model.safetensors"), "weight_scale")
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    shards = {
        f"diffusion_pytorch_model-0000{n}-of-00002.safetensors": {
            k: t for k, t in stored.items() if k.endswith("_scale") == (n == 2)
        }
        for n in (1, 2)
    }
    for name, content in shards.items():
        save_file(content, unet / name)
    index = {"weight_map": {key: name for name, content in shards.items() for key in content}}
    (unet / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    shutil.copytree(files / "sd1-folder", tmp_path / "meant")
    save_file(meant, tmp_path / "meant/unet/diffusion_pytorch_model.safetensors")
    loaded, reference = open_base(tmp_path / "x").unet.state_dict(), open_base(tmp_path / "meant").unet.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in reference.items())


@pytest.mark.parametrize("to", ["native", "ldm", "diffusers"])
def test_plain_8_bits_are_copied(tmp_path, files, to):
    content = load_file(files / "sd1-ldm.safetensors")
    plain = {name: t.to(E4M3) if t.ndim > 1 and t.is_floating_point() else t for name, t in content.items()}
    save_file(plain, tmp_path / "x.safetensors")
    convert(tmp_path / "x.safetensors", tmp_path / "out.safetensors" if to != "diffusers" else tmp_path / "out", to)
    written = tensors(tmp_path / "out" if to == "diffusers" else tmp_path / "out.safetensors")
    assert any(tensor.dtype == E4M3 for tensor in written.values())
    loaded = open_base(tmp_path / "x.safetensors").unet.state_dict()
    for name, tensor in base("sd1").unet.state_dict().items():
        assert torch.equal(loaded[name], tensor.to(E4M3).float() if tensor.ndim > 1 else tensor), name


def test_a_name_like_a_scale_beside_a_weight_of_16_bits_is_an_unknown_tensor(tmp_path, files):
    content = load_file(files / "sd1-ldm.safetensors")
    name = next(name for name in content if name.endswith(".to_q.weight"))
    save_file(content | {name.replace("weight", "weight_scale"): torch.ones(())}, tmp_path / "x.safetensors")
    refusal(tmp_path / "x.safetensors", "weight_scale")


OTHERS = {
    "blocks": ("weight_scale", torch.ones(2, 2), "has one scale for each block of its weight"),
    "inverse": ("weight_scale_inv", torch.ones(2, 2), "has one scale for each block of its weight"),
    "columns": ("weight_scale", torch.ones(1, 64), "has one scale for each block of its weight"),
    "whole": ("weight_scale", torch.ones((), dtype=torch.int64), "is I64, and should be a floating-point number"),
    "nf4": ("weight.quant_state.bitsandbytes__nf4", torch.zeros(9, dtype=torch.uint8), "is quantized by bitsandbytes"),
    "quanto": ("weight._data", torch.zeros(2, 2), "is quantized by optimum-quanto"),
    "nvfp4": ("weight_scale_2", torch.ones(()), "is quantized to 4 bits (NVFP4)"),
    "gptq": ("qweight", torch.zeros(2, 2), "is quantized to 4 bits (GPTQ"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_ways_to_quantize_are_named(tmp_path, files, case):
    kind, tensor, words = OTHERS[case]
    content = load_file(files / "sd1-ldm.safetensors")
    name = next(name for name in content if name.endswith(".to_q.weight"))
    content |= {name: content[name].to(E4M3), name.removesuffix("weight") + kind: tensor}
    save_file(content, tmp_path / "x.safetensors")
    refusal(tmp_path / "x.safetensors", words)
    assert not inspect(tmp_path / "x.safetensors").usable


def test_scales_that_are_not_finite(tmp_path):
    save_base(tmp_path / "x.safetensors", base("sd1"), half=False)
    stored, _ = quantized(
        load_file(convert(tmp_path / "x.safetensors", tmp_path / "y.safetensors", "ldm")), "scale_weight"
    )
    name = next(name for name in stored if name.endswith("to_q.scale_weight"))
    save_file(stored | {name: torch.tensor(float("nan"))}, tmp_path / "z.safetensors")
    refusal(tmp_path / "z.safetensors", "not finite", InputError)
    assert not inspect(tmp_path / "z.safetensors").usable
