"""Conversion: exact round trips, the published names at full size, and errors that give the reason."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cn.checkpoints.checkpoint import ControlSpec
from cn.checkpoints.read.contents import Contents
from cn.checkpoints.read.load import empty_base, empty_control, open_base, open_control, shapes_of
from cn.checkpoints.read.recognize import recognize
from cn.checkpoints.write.plan import plan
from cn.checkpoints.write.writer import check_destination, write_conversion
from cn.errors import CnError, InputError, UsageError, WeightsError
from cn.model.config import PRESETS, ModelConfig
from tests.golden.keys import keys
from tests.helpers.layouts import (
    CONFIGS,
    assert_same,
    base,
    control,
    convert,
    native_base,
    native_control,
    tensors,
)

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
    for name, parameter in control(family).state_dict().items():
        assert torch.equal(parameter, found.model.state_dict()[name]), name


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


def test_converting_to_the_same_layout_changes_nothing(tmp_path):
    """The bundled base keeps its shortened token embedding and its header."""
    source = Path(__file__).parent.parent.parent / "cn/weights/base.safetensors"
    copy = convert(source, tmp_path / "b.safetensors", "native")
    assert_same(tensors(source), tensors(copy))
    with safe_open(copy, "pt") as file:
        header = json.loads(file.metadata()["cn"])
    with safe_open(source, "pt") as file:
        before = json.loads(file.metadata()["cn"])
    assert {k: v for k, v in before.items() if k != "config"}.items() <= header.items()
    assert ModelConfig.from_dict(before["config"]) == ModelConfig.from_dict(header["config"])


@pytest.mark.parametrize("marked", [True, False])
def test_the_unused_text_layer_is_identified_by_other_tensors(tmp_path, marked):
    """In files made from diffusers folders, which lack the projection, all layers run."""
    source = convert(native_base(tmp_path / "a.safetensors", "sd2"), tmp_path / "b.safetensors", "ldm")
    content = tensors(source)
    if not marked:
        content = {n: t for n, t in content.items() if not n.endswith(("text_projection", "logit_scale"))}
    save_file(content, tmp_path / "c.safetensors")
    text = open_base(tmp_path / "c.safetensors", prediction="v").config.text
    assert (text.layers, text.run_layers) == ((3, 2) if marked else (3, 3))


def test_tensors_missing_from_a_pruned_file_are_recomputed(tmp_path):
    """Unusual names and dtypes of merged models are written as the official code requires."""
    source = convert(native_base(tmp_path / "a.safetensors", "sd1"), tmp_path / "b.safetensors", "ldm")
    whole = tensors(source)
    merged = {n: t for n, t in whole.items() if "." in n}
    ids = "cond_stage_model.transformer.text_model.embeddings.position_ids"
    merged = {n.replace("text_model.", ""): t for n, t in merged.items() if n != ids}
    merged[ids.replace("text_model.", "")] = whole[ids].half()
    save_file(merged, tmp_path / "c.safetensors", {"modelspec.license": "somebody's"})
    back = convert(tmp_path / "c.safetensors", tmp_path / "d.safetensors", "ldm")
    assert_same(tensors(back), whole)
    with safe_open(back, "pt") as file:
        header = json.loads(file.metadata()["cn"])
    assert header["source_metadata"] == {"modelspec.license": "somebody's"}
    notes = Contents.of(recognize(tmp_path / "c.safetensors")).notes
    assert notes == (f"left out 1 tensor ({ids.replace('text_model.', '')}): "
                     "position ids stored as floating-point numbers, which are recomputed",)  # fmt: skip


def test_a_pooled_control_stays_pooled(tmp_path):
    """A shuffle control's tensors do not show it: its yaml does, or --pooled."""
    source = convert(native_control(tmp_path / "a.safetensors", "sd1"), tmp_path / "b.safetensors", "ldm")
    bare = tmp_path / "bare.safetensors"
    save_file(load_file(source), bare)
    assert not open_control(bare).model.pooled
    pooled = convert(bare, tmp_path / "c.safetensors", "native", pooled=True)
    assert open_control(pooled).model.pooled
    assert open_control(convert(pooled, tmp_path / "d", "diffusers")).model.pooled
    assert open_control(convert(pooled, tmp_path / "e.safetensors", "ldm")).model.pooled
    bare.with_suffix(".yaml").write_text("model: {params: {global_average_pooling: true, only_mid_control: false}}")
    assert open_control(bare).model.pooled
    with pytest.raises(UsageError, match="--pooled is for controls"):
        convert(native_base(tmp_path / "f.safetensors", "sd1"), tmp_path / "g.safetensors", "native", pooled=True)


def test_a_prediction_that_no_file_says_must_be_given(tmp_path):
    source = convert(native_base(tmp_path / "a.safetensors", "sd2"), tmp_path / "b.safetensors", "ldm")
    bare = tmp_path / "bare.safetensors"
    save_file(load_file(source), bare)
    with pytest.raises(WeightsError, match=r"bare\.safetensors: .* give --prediction eps"):
        open_base(bare)
    assert open_base(bare, prediction="v").config.schedule.prediction == "v"
    assert open_base(bare, prediction="v").config.image_size == 768
    assert open_base(bare, prediction="eps").config.image_size == 512
    save_file(load_file(source), bare, {"modelspec.prediction_type": "v"})
    assert open_base(bare).config.schedule.prediction == "v"
    save_file(load_file(source), bare)
    bare.with_suffix(".yaml").write_text("model: {params: {parameterization: v, timesteps: 1000}}")
    assert open_base(bare).config.schedule.prediction == "v"
    assert open_base(source).config == base("sd2").config, "cn's own export says it"


def test_ema_weights_on_request(tmp_path):
    """They have names without dots, next to the plain ones, which are the default."""
    source = convert(native_base(tmp_path / "a.safetensors", "sd1"), tmp_path / "b.safetensors", "ldm")
    content = tensors(source)
    unet = {n.removeprefix("model."): t for n, t in content.items() if n.startswith("model.diffusion_model.")}
    save_file(content | {f"model_ema.{n.replace('.', '')}": t + 1 for n, t in unet.items()}, tmp_path / "c.safetensors")
    plain = convert(tmp_path / "c.safetensors", tmp_path / "d.safetensors", "ldm")
    assert_same(tensors(plain), content)
    averaged = tensors(convert(tmp_path / "c.safetensors", tmp_path / "e.safetensors", "ldm", ema=True))
    for name in unet:
        assert torch.equal(averaged[f"model.{name}"], unet[name] + 1), name
    notes = Contents.of(recognize(tmp_path / "c.safetensors", ema=True)).notes
    assert len(notes) == 1
    assert "the plain weights of the U-Net, replaced by the EMA weights" in notes[0]
    with pytest.raises(WeightsError, match="has no EMA weights"):
        recognize(source, ema=True)


def test_a_control_with_pieces_of_a_base_is_a_control(tmp_path):
    """What is left out is reported; a complete base in the same file would have been converted too."""
    base_file = convert(native_base(tmp_path / "a.safetensors", "sd1"), tmp_path / "b.safetensors", "ldm")
    control_file = convert(native_control(tmp_path / "c.safetensors", "sd1"), tmp_path / "d.safetensors", "ldm")
    pieces = {n: t for n, t in tensors(base_file).items() if n.startswith(("first_stage", "betas"))}
    save_file(tensors(control_file) | pieces, tmp_path / "e.safetensors")
    found = recognize(tmp_path / "e.safetensors")
    assert found.what == "a control"
    notes = "\n".join(Contents.of(found).notes)
    assert "tensors (first_stage_model." in notes
    assert "left out 1 tensor (betas): they belong to a base, which is missing" in notes
    assert_same(tensors(convert(tmp_path / "e.safetensors", tmp_path / "f.safetensors", "ldm")), tensors(control_file))


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
