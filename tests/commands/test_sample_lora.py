"""`cn sample --lora` and cn.api's `lora=`: the images change, say which files they were made with, and come back."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cn import api, images
from cn.errors import UsageError, WeightsError
from cn.files import sha256
from cn.sample.lora_choice import Lora, lora_words
from cn.sample.png_metadata import TEXT_KEY
from tests.helpers import loras
from tests.helpers.model_helpers import tiny_base


@pytest.fixture(scope="session")
def tiny_base_file(tiny_sd_file: Path) -> Path:
    """The layers that LoRA files name are those of Stable Diffusion."""
    return tiny_sd_file


@pytest.fixture
def lora(sample, tmp_path) -> Path:
    state = {part: dict(network.state_dict()) for part, network in tiny_base().networks.items()}
    found = {layer: (3 * up, 3 * down) for layer, (up, down) in loras.pairs(state, loras.LAYERS).items()}
    return loras.write(tmp_path / "style.safetensors", loras.kohya(found))


def record(path: str) -> dict:
    with Image.open(path) as image:
        return json.loads(image.text[TEXT_KEY])


def test_an_image_with_a_lora_is_another_and_is_reproduced(sample, lora):
    assert sample("--out", "out/plain.png")[0] == 0
    base = Path("base.safetensors").read_bytes()
    code, _, err = sample("--lora", "style.safetensors:0.8", "--out", "out/a.png")
    assert code == 0
    assert "style.safetensors, weight 0.8" in err
    assert not np.array_equal(images.read("out/plain.png"), images.read("out/a.png"))
    stored = record("out/a.png")
    assert stored["lora"] == ["style.safetensors:0.8"]
    assert stored["sha256"]["lora style.safetensors"] == sha256(lora)
    code, _, err = sample("--from", "out/a.png", "--out", "out/b.png", base=None, quick=False)
    assert (code, "warning" in err) == (0, False)
    assert Path("out/a.png").read_bytes() == Path("out/b.png").read_bytes()
    assert Path("base.safetensors").read_bytes() == base


def test_weights_add_up(sample, lora):
    shutil.copy(lora, "same.safetensors")
    assert sample("--lora", "style.safetensors", "--lora", "same.safetensors:-1", "--out", "out/none.png")[0] == 0
    assert sample("--lora", "style.safetensors:0", "--out", "out/zero.png")[0] == 0
    assert sample("--out", "out/plain.png")[0] == 0
    plain = images.read("out/plain.png").astype(int)
    assert np.array_equal(images.read("out/zero.png"), plain)
    assert np.abs(images.read("out/none.png") - plain).max() <= 1


def test_a_lora_that_has_moved(sample, lora):
    assert sample("--lora", "style.safetensors:0.8", "--out", "out/a.png")[0] == 0
    again = ["--from", "out/a.png", "--overwrite", "--out", "b.png"]
    # Beside the image it is found by its name and hash.
    shutil.move(lora, "out/style.safetensors")
    code, _, err = sample(*again, base=None, quick=False)
    assert (code, "warning" in err) == (0, False)
    assert np.array_equal(images.read("out/a.png"), images.read("b.png"))
    # Elsewhere it is said what is missing; where it is now keeps its weight.
    os.makedirs("elsewhere")
    shutil.move("out/style.safetensors", "elsewhere/renamed.safetensors")
    code, _, err = sample(*again, base=None, quick=False)
    assert code == 4
    for words in ("style.safetensors", "weight 0.8", sha256("elsewhere/renamed.safetensors"), "--lora"):
        assert words in err
    code, _, err = sample(*again, "--lora", "elsewhere/renamed.safetensors", base=None, quick=False)
    assert (code, "warning" in err) == (0, False)
    assert np.array_equal(images.read("out/a.png"), images.read("b.png"))
    # Another file of that name is not taken for it.
    shutil.copy("base.safetensors", "out/style.safetensors")
    assert sample(*again, base=None, quick=False)[0] == 4


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--lora", "none.safetensors"], 4, "none.safetensors: no such LoRA"),
        (["--lora", "run/control.safetensors"], 4, "a LoRA was expected, but this is a control"),
        (["--lora", "style.safetensors:nan"], 2, "its weight must be a finite number"),
        (["--lora", ":0.5"], 2, "--lora must be FILE or FILE:WEIGHT"),
        (["--lora", ""], 2, "--lora must be FILE or FILE:WEIGHT"),
        (["--lora", "canny.png"], 3, "is an image, not weights"),
    ],
)
def test_what_is_refused(sample, lora, words, code, message):
    found, out, err = sample(*words, "--out", "out/x.png")
    assert (found, out) == (code, "")
    assert message in err
    assert not os.path.exists("out/x.png")


def test_paths_with_colons(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a:1").touch()
    assert Lora.parse("a:1") == Lora("a:1")
    assert Lora.parse("a:1:-0.5") == Lora("a:1", -0.5)
    assert Lora.parse("b:1") == Lora("b", 1.0)
    assert Lora.parse("b:c/d.safetensors") == Lora("b:c/d.safetensors")
    assert Lora.parse("b:c.safetensors:1e-1") == Lora("b:c.safetensors", 0.1)
    assert Lora.parse("b.safetensors", 0.3) == Lora("b.safetensors", 0.3)
    for text in ("a:1:0.123456789", "x:-2"):
        assert str(Lora.parse(text)) == text


def test_from_python(sample, lora):
    settings = {"base": "base.safetensors", "steps": 2, "size": (64, 64)}
    (made,) = api.sample("a house", lora={"style.safetensors": 0.8}, **settings)
    assert sample("--lora", "style.safetensors:0.8", "--size", "64x64", "--out", "out/a.png")[0] == 0
    assert np.array_equal(made.image, images.read("out/a.png"))
    loaded = api.load_base("base.safetensors", lora=Path("style.safetensors:0.8"))
    assert loaded.lora == ("style.safetensors:0.8",)
    (again,) = api.sample("a house", **{**settings, "base": loaded})
    assert np.array_equal(again.image, made.image)
    assert again.text == made.text
    with pytest.raises(UsageError, match="give lora= and vae= to load_base"):
        api.sample("a house", lora="style.safetensors", **{**settings, "base": loaded})
    with pytest.raises(WeightsError, match="no such LoRA"):
        api.load_base("base.safetensors", lora=["none.safetensors"])


def test_lora_in_every_form_of_python():
    assert lora_words(None) == ()
    assert lora_words("a:2") == ("a:2",)
    assert lora_words([Path("a"), "b:0.5"]) == ("a", "b:0.5")
    assert lora_words({"a": 1, "b": -0.5}) == ("a:1", "b:-0.5")


def test_the_next_images_are_free_of_it(sample, lora):
    """In one process, in turn with others: nothing of it remains (stable-diffusion.cpp #410, sdnext #4558)."""
    assert sample("--out", "out/none.png")[0] == 0
    assert sample("--lora", "style.safetensors:0.5", "--out", "out/half.png")[0] == 0
    values = "style.safetensors,,style.safetensors:0.5,style.safetensors:0"
    code, out, err = sample("--sweep", f"lora={values}", "--out", "out/grid")
    assert code == 0, err
    strong, none, half, zero = (images.read(path) for path in out.splitlines()[:4])
    assert np.array_equal(none, images.read("out/none.png"))
    assert np.array_equal(half, images.read("out/half.png"))
    assert np.array_equal(zero, none)
    assert not np.array_equal(strong, half)
