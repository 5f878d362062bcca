"""`cn sample --vae` and cn.api's `vae=`."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from cn import api, images
from cn.checkpoints.keymaps import ldm
from cn.files import sha256
from cn.model.vae import AutoencoderKL
from cn.sample.png_metadata import TEXT_KEY
from tests.helpers.model_helpers import TINY, fill


@pytest.fixture(scope="module")
def vae_file(tmp_path_factory) -> Path:
    """A VAE of the tiny base's shapes and other numbers, as the web UI's users have them: bare names."""
    network = AutoencoderKL(TINY.vae)
    table = ldm.vae(TINY.vae)
    content = {table.translate(name)[0]: 0.9 * t.detach() for name, t in fill(network).state_dict().items()}
    path = tmp_path_factory.mktemp("vae") / "vae-ft.safetensors"
    save_file(content, path)
    return path


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


def test_from_python(sample, vae_file):
    settings = {"steps": 2, "size": (64, 64), "vae": vae_file}
    (made,) = api.sample("a house", base="base.safetensors", **settings)
    assert sample("--vae", str(vae_file), "--size", "64x64", "--out", "out/a.png")[0] == 0
    assert np.array_equal(made.image, images.read("out/a.png"))
    loaded = api.load_base("base.safetensors", vae=settings.pop("vae"))
    (again,) = api.sample("a house", base=loaded, **settings)
    assert again.text == made.text
