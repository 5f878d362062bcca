"""`cn sample --vae` and cn.api's `vae=`."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from cn import api, images
from cn.checkpoints.keymaps import ldm
from cn.files import sha256
from cn.model.vae import AutoencoderKL
from cn.sample.png_metadata import TEXT_KEY
from tests.helpers.model_helpers import TINY, fill


@pytest.fixture(scope="session")
def tiny_base_file(tiny_sd_file: Path) -> Path:
    """Its images are less sensitive to half precision than those of a base with fewer blocks."""
    return tiny_sd_file


@pytest.fixture(scope="module")
def vae_file(tmp_path_factory) -> Path:
    """A VAE of the tiny base's shapes and other numbers, as the web UI's users have them: bare names."""
    path = tmp_path_factory.mktemp("vae") / "vae-ft.safetensors"
    save_file(vae_tensors(), path)
    return path


def vae_tensors(conv_in: float = 0.9) -> dict[str, Tensor]:
    """By the names of the original layout; the decoder's first convolution is multiplied by `conv_in`."""
    table, found = ldm.vae(TINY.vae), {}
    for name, tensor in fill(AutoencoderKL(TINY.vae)).state_dict().items():
        found[table.translate(name)[0]] = (conv_in if name.startswith("decoder.conv_in.") else 0.9) * tensor.detach()
    return found


def test_an_image_with_a_vae_is_another_and_is_reproduced(sample, vae_file):
    shutil.copy(vae_file, "ft.safetensors")
    assert sample("--out", "out/plain.png")[0] == 0
    code, _, err = sample("--vae", "ft.safetensors", "--out", "out/a.png")
    assert (code, "ft.safetensors" in err) == (0, True)
    assert not np.array_equal(images.read("out/plain.png"), images.read("out/a.png"))
    with Image.open("out/a.png") as image:
        stored = json.loads(image.text[TEXT_KEY])
    assert (stored["vae"], stored["sha256"]["vae"]) == ("ft.safetensors", sha256(vae_file))
    again = ["--from", "out/a.png", "--overwrite", "--out", "b.png"]
    code, _, err = sample(*again, base=None, quick=False)
    assert (code, "warning" in err) == (0, False)
    assert Path("out/a.png").read_bytes() == Path("b.png").read_bytes()
    os.makedirs("elsewhere")
    shutil.move("ft.safetensors", "elsewhere/ft.safetensors")
    code, _, err = sample(*again, base=None, quick=False)
    assert code == 4
    assert f"ft.safetensors: the VAE of this image is no longer there (its SHA-256 is {sha256(vae_file)})" in err
    code, _, err = sample(*again, "--vae", "elsewhere/ft.safetensors", base=None, quick=False)
    assert (code, "warning" in err) == (0, False)
    assert np.array_equal(images.read("out/a.png"), images.read("b.png"))


def test_the_bases_own_vae_changes_nothing(sample):
    assert sample("--out", "out/plain.png")[0] == 0
    assert sample("--vae", "base.safetensors", "--out", "out/same.png")[0] == 0
    assert np.array_equal(images.read("out/plain.png"), images.read("out/same.png"))


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("none.safetensors", 4, "none.safetensors: no such weights file"),
        ("run/control.safetensors", 4, "a VAE was expected, but this is a control"),
        ("other-base.safetensors", 4, "its latents are scaled by 1, and those of the base 'tiny' by 0.18215"),
    ],
)
def test_what_is_refused(sample, path, code, message):
    found, out, err = sample("--vae", path, "--out", "out/x.png")
    assert (found, out) == (code, "")
    assert message in err
    assert not os.path.exists("out/x.png")


def test_a_vae_that_overflows_makes_no_black_images(sample, tmp_path):
    """In half precision its numbers leave the range of float16; that is said once for all images."""
    save_file(vae_tensors(conv_in=4e4), tmp_path / "overflows.safetensors")
    words = ["--vae", "overflows.safetensors", "--count", "2"]
    code, _, err = sample(*words, "--precision", "fp16", "--out", "half")
    assert code == 0
    assert err.count("warning: the VAE overflowed in float16: images are decoded again in float32") == 1
    assert sample(*words, "--out", "full")[0] == 0
    for path in Path("half").iterdir():
        exact = images.read(f"full/{path.name}").astype(int)
        assert exact.std() > 1
        assert np.abs(images.read(str(path)) - exact).mean() < 3


def test_from_python(sample, vae_file):
    settings = {"steps": 2, "size": (64, 64), "vae": vae_file}
    (made,) = api.sample("a house", base="base.safetensors", **settings)
    assert sample("--vae", str(vae_file), "--size", "64x64", "--out", "out/a.png")[0] == 0
    assert np.array_equal(made.image, images.read("out/a.png"))
    loaded = api.load_base("base.safetensors", vae=settings.pop("vae"))
    (again,) = api.sample("a house", base=loaded, **settings)
    assert again.text == made.text
