"""Conversion of files that hold more or less than a model, or do not state everything about it."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cn.checkpoints.read.contents import Contents
from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.read.recognize import recognize
from cn.errors import UsageError, WeightsError
from tests.helpers.layouts import assert_same, base, convert, native_base, native_control, tensors


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
