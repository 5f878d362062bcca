"""cn's own files in 8 bits: errors, exact differences, sizes, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cn.archives.metadata import METADATA_KEY
from cn.checkpoints.read.inspection import inspect
from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.write import eight_bit
from cn.checkpoints.write.native import save_base, save_control
from cn.errors import InputError, WeightsError
from cn.model.base import Base
from cn.model.config import PRESETS
from cn.model.controlnet import ControlNet
from cn.weights import bundled
from tests.helpers.cli import cn
from tests.helpers.differences import CHANGED, trained, write_both
from tests.helpers.layouts import base, convert
from tests.helpers.native_files import header, rewritten


def errors_in_steps(name: str, value: Tensor, exact: Tensor) -> float:
    """The largest error in steps of each row's 8 bits, or of half precision."""
    error = (value - exact).abs()
    if eight_bit.stored_in_8_bits(name, exact):
        rows = exact.reshape(len(exact), -1).abs().amax(1) / 127
        return float((error.reshape(len(exact), -1).amax(1) / rows).max())
    return float((error / (exact.abs() * 2**-10 + 2**-24)).max())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, and a control with one changed tensor, both in 8 bits."""
    return write_both(tmp_path_factory.mktemp("eight"))


def test_a_base_has_errors_of_half_a_step(folder: Path) -> None:
    loaded = open_base(folder / "base.safetensors")
    assert loaded.config == base("sd1").config
    count = 0
    for part, network in base("sd1").networks.items():
        state = loaded.networks[part].state_dict()
        for name, exact in network.state_dict().items():
            assert errors_in_steps(name, state[name], exact) <= 0.501, name
            count += eight_bit.stored_in_8_bits(name, exact)
    stored = load_file(folder / "base.safetensors")
    assert sum(tensor.dtype == torch.int8 for tensor in stored.values()) == count > 100
    assert stored["unet.decoder.conv_out.weight"].dtype == torch.float16
    assert stored["vae.quant.weight"].dtype == stored["text.tower.token_embedding.weight"].dtype == torch.float16


def test_a_control_is_exact_where_it_did_not_change(folder: Path) -> None:
    stored, loaded = open_base(folder / "base.safetensors"), open_control(folder / "control.safetensors")
    model, unet, state = trained(stored), stored.unet.state_dict(), loaded.model.state_dict()
    assert (loaded.kind, loaded.base_sha256, loaded.meta["base"]) == ("canny", stored.sha256, "base")
    for name, exact in model.state_dict().items():
        if name == CHANGED:
            change = exact - unet[name]
            assert errors_in_steps(name, state[name] - unet[name], change) <= 0.501
            assert float((state[name] - exact).norm() / change.norm()) < 0.01
        elif name.startswith("encoder."):
            assert torch.equal(state[name], unet[name]), name
        else:
            assert errors_in_steps(name, state[name], exact) <= 0.501, name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_asked_precision(folder: Path, dtype: torch.dtype) -> None:
    loaded = open_control(folder / "control.safetensors", dtype=dtype)
    whole = open_control(folder / "control.safetensors")
    assert torch.equal(loaded.model.state_dict()[CHANGED], whole.model.state_dict()[CHANGED].to(dtype))


def test_rows_of_zeros_and_single_numbers() -> None:
    numbers, scales = eight_bit.quantize(torch.tensor([[0.0, 0.0], [-3.0, 1.0], [1e-30, 0.0]]))
    assert numbers.tolist() == [[0, 0], [-127, 42], [127, 0]]
    assert scales[0] == 0
    assert scales[1:].tolist() == pytest.approx([3 / 127, 1e-30 / 127])


def test_a_control_without_its_base_stands_alone(folder: Path, tmp_path: Path) -> None:
    model = trained(open_base(folder / "base.safetensors"))
    save_control(tmp_path / "alone.safetensors", model, kind="canny", base_sha256="abc", bits=8)
    state = open_control(tmp_path / "alone.safetensors").model.state_dict()
    for name, exact in model.state_dict().items():
        assert errors_in_steps(name, state[name], exact) <= 0.501, name


def test_inspect(folder: Path) -> None:
    for name in ("base", "control"):
        report = inspect(folder / f"{name}.safetensors")
        assert (report.usable, report.warnings, report.layout) == (True, (), "native")
        assert set(report.dtypes) == {"I8", "F16"}
    stored = open_base(folder / "base.safetensors")
    assert report.parameters == {"control": sum(p.numel() for p in trained(stored).parameters())}
    assert bundled.describe(folder / "control.safetensors").parameters == report.parameters["control"]
    done = cn("inspect", folder / "control.safetensors")
    assert done.returncode == 0
    assert "cn's own, safetensors, 8 bits, as differences to its base" in done.stdout


@pytest.mark.parametrize("to", ["native", "diffusers"])
def test_converted_files_hold_the_weights_themselves(folder: Path, tmp_path: Path, to: Any) -> None:
    """They are read without the base, and are the same numbers."""
    name, out = ("base", "out") if to == "diffusers" else ("control", "out.safetensors")
    written = convert(folder / f"{name}.safetensors", tmp_path / out, to)
    if name == "base":
        state, expected = open_base(written).unet.state_dict(), open_base(folder / "base.safetensors").unet.state_dict()
    else:
        assert {"bits", "differences"}.isdisjoint(header(written))
        state = open_control(written).model.state_dict()
        expected = open_control(folder / "control.safetensors").model.state_dict()
    assert set(state) == set(expected)
    assert all(torch.equal(state[key], value) for key, value in expected.items())
    if to == "native":
        assert inspect(written).warnings == ()


def test_sizes(tmp_path: Path) -> None:
    """A base as large as the bundled one will be, with random weights, and a control of it."""
    scenes = PRESETS["scenes"]
    config = replace(scenes, unet=replace(scenes.unet, channels=(96, 96, 128, 128)))
    save_base(tmp_path / "base.safetensors", Base.create(config), bits=8, tokens=range(300))
    stored = open_base(tmp_path / "base.safetensors")
    save_control(tmp_path / "control.safetensors", ControlNet.from_unet(stored.unet), kind="canny", bits=8, base=stored)
    sizes = {path.stem: path.stat().st_size for path in tmp_path.iterdir()}
    assert 17e6 < sizes["base"] < 19e6
    assert 5e6 < sizes["control"] < 6e6
    assert sizes["base"] + 11 * sizes["control"] < 100e6


DAMAGED = {
    "no scale": (lambda text, tensors: tensors.pop(f"{CHANGED}_scale"), "not one scale for each of its rows"),
    "one scale": (
        lambda text, tensors: tensors.update({f"{CHANGED}_scale": torch.ones(1)}),
        "not one scale for each of its rows",
    ),
    "whole scales": (
        lambda text, tensors: tensors.update({f"{CHANGED}_scale": tensors[f"{CHANGED}_scale"].long()}),
        "not one scale for each of its rows",
    ),
    "bits": (lambda text, tensors: text.update(bits=4), "stores weights in 4 bits"),
    "another name": (
        lambda text, tensors: tensors.update({"encoder.x.weight": torch.ones(2)}),
        "no tensor of this name and shape",
    ),
    "another shape": (
        lambda text, tensors: tensors.update({"encoder.blocks.0.bias": torch.ones(2)}),
        "no tensor of this name and shape",
    ),
    "no bits": (lambda text, tensors: text.pop("bits"), "do not match"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files(folder: Path, tmp_path: Path, case: str) -> None:
    change, words = DAMAGED[case]
    shutil.copy(folder / "base.safetensors", tmp_path / "base.safetensors")
    path = rewritten(folder / "control.safetensors", tmp_path / "control.safetensors", change)
    with pytest.raises(WeightsError, match=words):
        open_control(path)
    assert not inspect(path).usable


def test_scales_that_are_not_finite(folder: Path, tmp_path: Path) -> None:
    tensors, text = load_file(folder / "base.safetensors"), header(folder / "base.safetensors")
    name = f"unet.{CHANGED}_scale"
    tensors[name][3] = torch.nan
    save_file(tensors, tmp_path / "base.safetensors", {METADATA_KEY: json.dumps(text)})
    with pytest.raises(InputError, match="not finite"):
        open_base(tmp_path / "base.safetensors")
    assert not inspect(tmp_path / "base.safetensors").usable


def test_differences_to_another_base_are_not_written(folder: Path, tmp_path: Path) -> None:
    stored = open_base(folder / "base.safetensors")
    model = trained(stored)
    changed = replace(stored, added={"lora": "abc"})
    for wrong in (open_base(folder / "base.safetensors", dtype=torch.float16), base("sd1"), changed):
        with pytest.raises(ValueError, match="as its file has it"):
            save_control(tmp_path / "x.safetensors", model, kind=None, bits=8, base=wrong)
    with pytest.raises(ValueError, match="with the file's hash"):
        save_control(tmp_path / "x.safetensors", model, kind=None, bits=8, base=stored, base_sha256="abc")
    assert list(tmp_path.iterdir()) == []
