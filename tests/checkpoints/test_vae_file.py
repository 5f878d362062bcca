"""Stand-alone autoencoders in every form replace the one of a base, and nothing else does."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cn.checkpoints.read.vae_file import open_vae, replace_vae
from cn.errors import CnError, InputError, WeightsError
from cn.files import sha256
from cn.model.base import Base
from tests.helpers.layouts import CONFIGS, base, convert, native_base, native_control
from tests.helpers.model_helpers import fill

CONFIG = CONFIGS["sd1"]
PREFIX = "first_stage_model."


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A base of other numbers than `layouts.base`, in each layout."""
    folder = tmp_path_factory.mktemp("vae")
    native_base(folder / "native.safetensors", "sd1")
    for to in ("ldm", "diffusers"):
        suffix = ".safetensors" if to == "ldm" else ""
        convert(folder / "native.safetensors", folder / f"{to}{suffix}", to)
    return folder


def other() -> Base:
    """A base whose own VAE has other weights."""
    made = Base.create(CONFIG)
    with torch.no_grad():
        for p in fill(made.vae).parameters():
            p.mul_(-0.5)
    return made.lock()


def ldm(files: Path) -> dict[str, Tensor]:
    found = load_file(files / "ldm.safetensors")
    return {name.removeprefix(PREFIX): t for name, t in found.items() if name.startswith(PREFIX)}


def forms(files: Path, folder: Path) -> dict[str, Path]:
    """Every form of one autoencoder."""
    bare = ldm(files)
    trained = bare | {"loss.logvar": torch.zeros(()), "model_ema.decay": torch.zeros(())}
    save_file(trained, folder / "bare.safetensors")
    save_file({f"{PREFIX}{name}": t for name, t in trained.items()}, folder / "prefixed.safetensors")
    torch.save({"state_dict": bare, "global_step": 3}, folder / "pruned.ckpt")
    single = files / "diffusers/vae/diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    content = load_file(single)
    for new, before in old.items():
        content = {name.replace(f".{new}.", f".{before}."): t for name, t in content.items()}
    save_file(content, folder / "old.safetensors")
    found = {path.stem: path for path in folder.iterdir()}
    found |= {"single": single, "folder": files / "diffusers/vae", "pipeline": files / "diffusers"}
    return found | {"whole": files / "ldm.safetensors", "native": files / "native.safetensors"}


def test_every_form_replaces_the_vae_and_nothing_else(files, tmp_path):
    expected = base("sd1").vae.state_dict()
    found = forms(files, tmp_path)
    assert len(found) == 9
    for form, path in found.items():
        made = other()
        unet = {name: tensor.clone() for name, tensor in made.unet.state_dict().items()}
        hashed = replace_vae(made, open_vae(path, made.config))
        if path.is_file():
            assert hashed == sha256(path), form
        for name, tensor in made.vae.state_dict().items():
            assert torch.equal(tensor, expected[name]), (form, name)
        assert all(torch.equal(tensor, unet[name]) for name, tensor in made.unet.state_dict().items())
        assert not any(p.requires_grad for p in made.vae.parameters())
        assert made.config.vae.scale == CONFIG.vae.scale


def test_it_gets_the_precision_of_the_base(files):
    made = other()
    for network in made.networks.values():
        network.half()
    replace_vae(made, open_vae(files / "ldm.safetensors", made.config))
    assert {p.dtype for p in made.vae.parameters()} == {torch.float16}


def refusal(path: Path) -> CnError:
    made = other()
    with pytest.raises(CnError) as caught:
        replace_vae(made, open_vae(path, made.config))
    assert str(caught.value).startswith(str(path)), str(caught.value)
    return caught.value


def test_other_shapes(files, tmp_path):
    path = tmp_path / "x.safetensors"
    content = ldm(files)
    save_file({**content, "post_quant_conv.weight": torch.zeros(16, 16, 1, 1)}, path)
    assert "its latents have 16 channels, and those of the base 'sd1' 4" in refusal(path).what
    wide = {name: t.repeat(2, *(1,) * (t.ndim - 1)) if "encoder.down.2" in name else t for name, t in content.items()}
    save_file(wide, path)
    assert "its VAE has other shapes than that of the base 'sd1': channels 32, 32, 64, 32" in refusal(path).what
    save_file({name: t for name, t in content.items() if name != "quant_conv.bias"}, path)
    error = refusal(path)
    assert isinstance(error, WeightsError)
    assert "the tensors of its VAE do not match: missing quant_conv.bias" in error.what
    save_file(content | {"decoder.conv_in.weight": torch.zeros(32, 5, 3, 3)}, path)
    assert "wrong shape: decoder.conv_in.weight is 32×5×3×3, should be 32×4×3×3" in refusal(path).what


def test_another_scale_of_latents(files, tmp_path):
    folder = tmp_path / "vae"
    folder.mkdir()
    for file in (files / "diffusers/vae").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"scaling_factor": 0.13025}))
    assert "scaled by 0.13025, and those of the base 'sd1' by 0.18215" in refusal(folder).what


def test_what_is_no_vae(files, tmp_path):
    native_control(tmp_path / "control.safetensors", "sd1")
    assert "a VAE was expected, but this is a control" in refusal(tmp_path / "control.safetensors").what
    save_file({"lora_unet_x.lora_up.weight": torch.ones(2, 2)}, tmp_path / "lora.safetensors")
    assert "a VAE was expected, but this is not one: a LoRA" in refusal(tmp_path / "lora.safetensors").what
    (tmp_path / "text.safetensors").write_text("hello")
    assert isinstance(refusal(tmp_path / "text.safetensors"), InputError)
    (tmp_path / "empty").mkdir()
    assert "is an empty folder" in refusal(tmp_path / "empty").what


def test_numbers_that_are_not_finite(files, tmp_path):
    content = ldm(files)
    content["decoder.conv_in.bias"] = torch.full_like(content["decoder.conv_in.bias"], torch.nan)
    save_file(content, tmp_path / "x.safetensors")
    assert "not finite" in refusal(tmp_path / "x.safetensors").what
