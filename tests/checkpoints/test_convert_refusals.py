"""Conversion: what is refused, with the reason, and that no existing file is lost."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cn.checkpoints.read.contents import Contents
from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.read.recognize import recognize
from cn.checkpoints.write.destination import check_destination
from cn.checkpoints.write.plan import plan
from cn.checkpoints.write.writer import write_conversion
from cn.errors import CnError, InputError, UsageError, WeightsError
from tests.helpers.layouts import assert_same, convert, native_base, native_control, tensors


def test_too_large_for_half_precision(tmp_path):
    path = native_control(tmp_path / "a.safetensors", "sd1")
    content = tensors(path)
    content["zero_middle.bias"][3] = 1e5
    with safe_open(path, "pt") as file:
        save_file(content, path, file.metadata())
    with pytest.raises(InputError, match=r"a\.safetensors: zero_middle.bias holds .* too large for half precision"):
        convert(path, tmp_path / "b.safetensors", "native", half=True)
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("to", ["native", "ldm"])
def test_numbers_that_are_not_finite_are_never_written(tmp_path, value, to):
    path = native_control(tmp_path / "a.safetensors", "sd1")
    content = tensors(path)
    content["encoder.blocks.0.weight"][0, 0, 0, 0] = value
    with safe_open(path, "pt") as file:
        save_file(content, path, file.metadata())
    with pytest.raises(InputError, match="not finite"):
        convert(path, tmp_path / "b.safetensors", to)
    with pytest.raises(InputError, match=r"encoder\.blocks\.0\.weight holds numbers that are not finite"):
        open_control(path)
    assert list(tmp_path.iterdir()) == [path]


def test_what_other_layouts_cannot_store(tmp_path):
    paper = native_control(tmp_path / "paper.safetensors", "sd1", "paper")
    for to in ("ldm", "diffusers"):
        with pytest.raises(WeightsError, match=r"paper\.safetensors: has the paper's .*--cond-encoder"):
            convert(paper, tmp_path / "x", to)
    bundled = Path(__file__).parent.parent.parent / "cn/weights/base.safetensors"
    with pytest.raises(WeightsError, match="strides 2, 2, 1"):
        convert(bundled, tmp_path / "x", "diffusers")
    assert list(tmp_path.iterdir()) == [paper]


def test_weights_are_floating_point_numbers(tmp_path):
    path = native_control(tmp_path / "a.safetensors", "sd1")
    content = tensors(path)
    with safe_open(path, "pt") as file:
        header = file.metadata()
    for change, kind, message in (
        (lambda t: t.to(torch.int8), WeightsError, r"zero_middle\.bias is I8, but weights are floating-point"),
        (lambda t: torch.full_like(t, float("nan")).to(torch.float8_e4m3fn), InputError, "holds numbers"),
        (lambda t: torch.full_like(t, float("inf")).to(torch.float8_e5m2), InputError, "holds numbers"),
    ):
        save_file(content | {"zero_middle.bias": change(content["zero_middle.bias"])}, path, header)
        with pytest.raises(kind, match=message):
            open_control(path)
        with pytest.raises(kind, match=r"zero_middle\.bias"):
            convert(path, tmp_path / "b.safetensors", "native")


MISMATCHES = [
    (lambda t: t.pop("model.diffusion_model.out.2.bias"), "the tensors of its U-Net do not match: missing out.2.bias"),
    (lambda t: t.update({"model.diffusion_model.extra": torch.zeros(1)}), "unexpected extra"),
    (lambda t: t.update({"strange.thing": torch.zeros(1)}), "unrecognized tensors: strange.thing"),
    (lambda t: t.update({"first_stage_model.quant_conv.bias": torch.zeros(3)}), "quant_conv.bias is 3, should be 8"),
    (lambda t: [t.pop(n) for n in list(t) if n.startswith("first_stage")], "has a U-Net but no VAE"),
    (lambda t: [t.pop(n) for n in list(t) if n.startswith("cond_stage")], "no text encoder"),
]


@pytest.mark.parametrize(("change", "message"), MISMATCHES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_tensor_is_accounted_for(tmp_path, change, message):
    content = tensors(convert(native_base(tmp_path / "a.safetensors", "sd1"), tmp_path / "b.safetensors", "ldm"))
    change(content)
    save_file(content, tmp_path / "c.safetensors")
    with pytest.raises(WeightsError) as caught:
        open_base(tmp_path / "c.safetensors")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "c.safetensors"))


def test_existing_files_are_never_lost(tmp_path, monkeypatch):
    source = native_control(tmp_path / "a.safetensors", "sd1")
    conversion = plan(Contents.of(recognize(source)), "diffusers")

    def refused(
        target: Path, kind: type[CnError], words: str, *, overwrite: bool = False, single: bool = False
    ) -> None:
        made = plan(Contents.of(recognize(source)), "ldm") if single else conversion
        with pytest.raises(kind, match=words):
            check_destination(made, target, "ldm" if single else "diffusers", overwrite=overwrite)

    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/dog.jpg").write_bytes(b"dog")
    refused(tmp_path / "photos", InputError, "is not empty")
    refused(tmp_path / "photos", InputError, r"holds dog\.jpg, which would be lost", overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_text("{}")
    (tmp_path / "mine/model.safetensors").write_bytes(b"")
    refused(tmp_path / "mine", InputError, r"holds model\.safetensors, which would be lost", overwrite=True)
    refused(tmp_path / "photos", UsageError, r"name it photos\.safetensors", single=True)
    refused(tmp_path / "x.ckpt", UsageError, r"name it x\.safetensors", single=True)
    refused(tmp_path / "x.safetensors", UsageError, "is a folder")
    refused(source, InputError, "already exists", single=True)
    monkeypatch.chdir(tmp_path / "photos")
    refused(Path("."), UsageError, "the working directory and its parents cannot be replaced", overwrite=True)
    refused(tmp_path, UsageError, "the working directory and its parents cannot be replaced", overwrite=True)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    refused(tmp_path / "new", InputError, "1,000 bytes free, but the new folder takes")
    assert (tmp_path / "photos/dog.jpg").read_bytes() == b"dog"


def test_a_folder_is_replaced_atomically(tmp_path, monkeypatch):
    source, target = native_control(tmp_path / "a.safetensors", "sd1"), tmp_path / "folder"
    convert(source, target, "diffusers")
    before = tensors(target)
    broken = plan(Contents.of(recognize(source)), "diffusers")

    def fail(*words: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cn.checkpoints.write.writer.write_atomic", fail)
        with pytest.raises(KeyboardInterrupt):
            write_conversion(broken, target)
    assert_same(tensors(target), before)
    assert sorted(tmp_path.iterdir()) == [source, target]
    (target / "config.json").write_text("{}")
    write_conversion(broken, target)
    assert json.loads((target / "config.json").read_text())["_class_name"] == "ControlNetModel"
    assert sorted(tmp_path.iterdir()) == [source, target]
