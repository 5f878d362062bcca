"""Inpainting bases, whose U-Net takes nine channels: read, converted, named, and given to nothing that has no mask."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cn import app, images
from cn.checkpoints.read.inspection import inspect
from cn.checkpoints.read.load import check_fits, open_base, open_control
from cn.checkpoints.write.native import save_base
from cn.errors import WeightsError
from cn.model.base import Base
from cn.model.generate import Request, Sampling, generate
from tests.helpers.layouts import assert_same, convert, refusal, tensors
from tests.helpers.model_helpers import TINY, fill
from tests.helpers.sampling import write_condition, write_control

INPAINTING = replace(TINY, name="inpainting", unet=replace(TINY.unet, in_channels=9, heads=8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A base in all layouts, a control of a base that is none, an image and a mask."""
    folder = tmp_path_factory.mktemp("inpainting")
    base = Base.create(INPAINTING)
    for network in base.networks.values():
        fill(network)
    save_base(folder / "native.safetensors", base, half=False)
    convert(folder / "native.safetensors", folder / "ldm.safetensors", "ldm")
    convert(folder / "native.safetensors", folder / "folder", "diffusers")
    write_control(
        folder / "control.safetensors", folder / "native.safetensors", replace(TINY, unet=replace(TINY.unet, heads=8))
    )
    write_condition(folder / "canny.png")
    images.write(folder / "photo.png", np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    images.write(folder / "mask.png", np.pad(np.full((24, 40), 255, np.uint8), ((20, 20), (12, 12))))
    return folder


FORMS = ["native.safetensors", "ldm.safetensors", "folder"]
every_form = pytest.mark.parametrize("name", FORMS)


@every_form
def test_read_from_every_layout(folder, name):
    base = open_base(folder / name, inpainting=True)
    assert (base.config.unet.in_channels, base.config.unet.out_channels) == (9, 4)
    assert base.config.unet.has_mask
    expected = open_base(folder / "native.safetensors", inpainting=True)
    for part, network in base.networks.items():
        assert_same(dict(network.state_dict()), dict(expected.networks[part].state_dict()))


def test_converted_back_to_the_same_tensors(folder, tmp_path):
    for name in FORMS[1:]:
        again = convert(folder / name, tmp_path / f"{name}-again.safetensors", "native")
        mine = {name: tensor for name, tensor in tensors(again).items() if not name.startswith("kept.")}
        assert_same(mine, tensors(folder / "native.safetensors"))
    assert '"StableDiffusionInpaintPipeline"' in (folder / "folder/model_index.json").read_text()


@every_form
def test_named(folder, name):
    assert inspect(folder / name).family.endswith(", inpainting")


@every_form
def test_refused_where_there_is_no_mask(folder, name):
    assert "is an inpainting model, which only cn sample takes" in refusal(folder / name, "inpainting")
    base = open_base(folder / name, inpainting=True)
    with pytest.raises(ValueError, match="needs an image and a mask"):
        next(generate(base, [Request("x", 0)], Sampling(64, 64, steps=1)))


def test_a_control_of_the_base_without_a_mask_fits(folder):
    base, control = open_base(folder / "folder", inpainting=True), open_control(folder / "control.safetensors")
    check_fits(control, base, "control")
    nine = write_control(folder / "nine/control.safetensors", folder / "native.safetensors", INPAINTING)
    with pytest.raises(WeightsError, match="latent channels: 9, the base 4"):
        check_fits(open_control(nine), base, "nine")


@every_form
def test_cn_sample_redraws_what_the_mask_marks(folder, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    base = ["--base", name, "--steps", "2", "--prompt", "x"]
    for words in ([], ["--image", "photo.png"]):
        assert app.run(["sample", *base, *words, "--out", str(tmp_path / "x.png")]) == 2
        assert "this is an inpainting base: give it --image and --mask" in capsys.readouterr().err
    words = ["--image", "photo.png", "--mask", "mask.png", "--cond", "canny.png", "--control", "control.safetensors"]
    assert app.run(["sample", *base, *words, "--out", str(tmp_path / "a.png")]) == 0
    made, photo = images.read(tmp_path / "a.png"), images.read("photo.png")
    inside = images.read("mask.png")[..., 0] > 0
    assert np.array_equal(made[~inside], photo[~inside])
    assert (made[inside] != photo[inside]).mean() > 0.9


def test_other_commands_say_so(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    train = ["train", "--cond", "canny", "--base", "ldm.safetensors", "--steps", "1", "--out", str(tmp_path / "run")]
    assert app.run(train) == 4
    assert "is an inpainting model, which only cn sample takes" in capsys.readouterr().err
