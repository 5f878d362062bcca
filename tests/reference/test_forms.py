"""Every published form of one model is read to the same bits as the plain diffusers folder."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cn.checkpoints.read.load import open_base, open_control
from cn.model.base import Base
from tests.reference import forms
from tests.reference import ldm_layout as ldm

LAYOUTS = ("sd1", "sd2")
FOLDERS = {"half": forms.half, "sharded": forms.sharded, "pickled": forms.pickled, "aged": forms.aged}


def bits(network: nn.Module) -> dict[str, Tensor]:
    return dict(network.state_dict())


def assert_same(network: nn.Module, expected: dict[str, Tensor], *, half: bool) -> None:
    """Bit for bit; of a half-precision file, the rounded values. The network may hold text layers that never run."""
    own = bits(network)
    assert all(name in expected or ".resblocks.3." in name for name in own)
    for name, tensor in expected.items():
        assert torch.equal(own[name], tensor.half().float() if half else tensor), name


@cache
def plain_base(shelf: Any, layout: str) -> Base:
    return open_base(shelf.base_folder(layout))


@cache
def plain_control(shelf: Any, layout: str) -> dict[str, Tensor]:
    return bits(open_control(shelf.control_folder(layout)).model)


def assert_base(shelf: Any, layout: str, path: Path, *, half: bool = False) -> Base:
    """Read from `path`, it is the plain one."""
    base = open_base(path, prediction="eps")
    for part, expected in plain_base(shelf, layout).networks.items():
        assert_same(base.networks[part], bits(expected), half=half)
    return base


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", FOLDERS)
def test_folder_of_a_base(shelf, layout, form, scratch):
    FOLDERS[form](shelf.base(layout), scratch / "base")
    assert_base(shelf, layout, scratch / "base", half=form == "half")


@pytest.mark.parametrize("form", [form for form in FOLDERS if form != "aged"])
def test_folder_of_a_control(shelf, form, scratch):
    FOLDERS[form](shelf.control("sd1"), scratch / "control")
    control = open_control(scratch / "control")
    assert_same(control.model, plain_control(shelf, "sd1"), half=form == "half")


def test_half_and_full_precision_side_by_side(shelf, scratch):
    forms.half(shelf.base("sd1"), scratch / "base")
    forms.plain(shelf.base("sd1"), scratch / "base")
    assert_base(shelf, "sd1", scratch / "base")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["model.ckpt", "model.safetensors"])
def test_original_file_with_ema_weights(shelf, layout, name, scratch):
    """The plain weights are taken, as diffusers and the official release do, never `model_ema.*`."""
    state = shelf.base_state(layout) | ldm.ema_junk(shelf.base(layout).unet.state_dict())
    assert_base(shelf, layout, ldm.write(scratch / name, state))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["model.ckpt", "model.safetensors"])
def test_original_file_in_half_precision(shelf, layout, name, scratch):
    """Its noise schedule is rounded too, and must not be read."""
    state = ldm.half(shelf.base_state(layout))
    path = ldm.write(scratch / name, state)
    base = assert_base(shelf, layout, path, half=True)
    assert torch.equal(base.schedule.alphas_cumprod, plain_base(shelf, layout).schedule.alphas_cumprod)


def test_original_file_without_the_schedule_or_position_ids(shelf, scratch):
    unwanted = {*ldm.schedule_state(), f"{ldm.SD1_TEXT}embeddings.position_ids"}
    state = {name: tensor for name, tensor in shelf.base_state("sd1").items() if name not in unwanted}
    assert_base(shelf, "sd1", ldm.write(scratch / "model.safetensors", state))


def test_merges_that_lack_text_model_and_hold_position_ids_as_numbers_with_a_point(shelf, scratch):
    state = {name.replace(".text_model.", "."): tensor for name, tensor in shelf.base_state("sd1").items()}
    ids = "cond_stage_model.transformer.embeddings.position_ids"
    assert_base(shelf, "sd1", ldm.write(scratch / "model.safetensors", state | {ids: state[ids].float()}))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_official_control_of_the_first_release_holds_a_whole_base(shelf, layout, scratch):
    state = shelf.base_state(layout) | shelf.control_state(layout)
    path = ldm.write(scratch / "control_sd15_canny.pth", state)
    assert_same(open_control(path).model, plain_control(shelf, layout), half=False)
    assert_base(shelf, layout, path)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("prefix", [ldm.CONTROL, ""], ids=["release 1.1", "bare names"])
@pytest.mark.parametrize(
    ("name", "half"), [("control.pth", False), ("control.ckpt", True), ("control.safetensors", True)]
)
def test_original_file_of_a_control(shelf, layout, prefix, name, half, scratch):
    state = ldm.unet_state(shelf.control(layout).state_dict(), prefix)
    path = ldm.write(scratch / name, ldm.half(state) if half else state)
    assert_same(open_control(path).model, plain_control(shelf, layout), half=half)


def test_single_file_with_the_names_of_diffusers(shelf, scratch):
    """`diffusion_pytorch_model.safetensors`, downloaded without its folder."""
    file = shelf.control_folder("sd1") / "diffusion_pytorch_model.safetensors"
    alone = scratch / file.name
    alone.write_bytes(file.read_bytes())
    assert_same(open_control(alone).model, plain_control(shelf, "sd1"), half=False)


def test_the_file_ending_says_nothing(shelf, scratch):
    path = ldm.write(scratch / "model.safetensors", shelf.base_state("sd1"))
    assert_base(shelf, "sd1", path.rename(scratch / "model.ckpt"))
    path = ldm.write(scratch / "other.ckpt", shelf.base_state("sd1"))
    assert_base(shelf, "sd1", path.rename(scratch / "other.safetensors"))
