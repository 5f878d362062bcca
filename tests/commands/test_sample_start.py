"""`cn sample --image --mask`: what is kept, what is redrawn, what is refused, and the same image again."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from cn import images
from cn.images import png_text
from cn.model.controlnet import ControlNet
from cn.sample import batches
from cn.sample.png_metadata import TEXT_KEY
from tests.helpers.sampling import CONTROLLED

rng = np.random.default_rng(4)
SIDES = ["--image", "photo.png"]
MASKED = [*SIDES, "--mask", "mask.png"]


@pytest.fixture(scope="session")
def tiny_base_file(tiny_sd_file: Path) -> Path:
    """Rounding shows less in its images than in those of a base with fewer blocks."""
    return tiny_sd_file


@pytest.fixture
def folder(sample, tmp_path):
    """A photo of 64×64, and a mask whose edges lie within latent cells."""
    images.write(tmp_path / "photo.png", rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    images.write(tmp_path / "mask.png", blob() * np.uint8(255))
    return tmp_path


def blob(side: int = 64) -> np.ndarray:
    """uint8 (h, w): 1 in a rectangle."""
    found = np.zeros((side, side), np.uint8)
    found[side * 21 // 64 : side * 43 // 64, side * 10 // 64 : side * 50 // 64] = 1
    return found


def test_all_outside_of_the_mask_stays_and_all_inside_is_redrawn(sample, folder):
    code, _, err = sample(*MASKED, *CONTROLLED, "--count", "2", "--out", "out")
    assert code == 0
    assert "mask.png, 21% is redrawn" in err
    assert "denoise 1: 2 of 2 steps" in err
    photo, inside = images.read("photo.png"), blob().astype(bool)
    made = [images.read(path) for path in sorted(Path("out").glob("*.png"))]
    assert len(made) == 2
    for image in made:
        assert np.array_equal(image[~inside], photo[~inside])
        # Single values may agree by chance; rows of them may not.
        assert (image[inside] != photo[inside]).mean() > 0.95
    assert not np.array_equal(*made)


@pytest.mark.parametrize(
    "words",
    [
        [*SIDES, "--denoise", "0.5"],
        MASKED,
        [*MASKED, "--mask-feather", "5", "--denoise", "0.6", "--steps", "5", "--sampler", "euler-a", "--seed", "3"],
    ],
    ids=["image", "mask", "all options"],
)
def test_the_same_image_again(sample, folder, words):
    assert sample(*words, "--out", "out/a.png")[0] == 0
    for name in ("photo.png", "mask.png"):
        Path(name).unlink()
    assert sample("--from", "out/a.png", "--out", "out/b.png", base=None, quick=False)[0] == 0
    assert Path("out/a.png").read_bytes() == Path("out/b.png").read_bytes()


def test_another_image_for_the_same_recipe(sample, folder):
    """--from with --image and --mask: an inpainting control sees the new image too."""
    assert sample(*MASKED, "--inpaint-control", "run", "--mask-feather", "2", "--out", "out/a.png")[0] == 0
    images.write("other.png", 255 - images.read("photo.png"))
    again = ["--from", "out/a.png", "--image", "other.png", "--mask", "mask.png", "--out", "out/b.png"]
    assert sample(*again, base=None, quick=False)[0] == 0
    words = ["--image", "other.png", "--mask", "mask.png", "--inpaint-control", "run", "--mask-feather", "2"]
    assert sample(*words, "--out", "out/c.png")[0] == 0
    assert Path("out/b.png").read_bytes() == Path("out/c.png").read_bytes()


def test_a_control_for_inpainting_sees_the_image_of_its_line(sample, folder):
    """Beside maps of the line's own; a line with an image and no mask has nothing to redraw."""
    images.write("other.png", 255 - images.read("photo.png"))
    other = ["--image", "other.png", "--mask", "mask.png", "--inpaint-control", "run"]
    for line, words in (
        ('{"image": "other.png", "mask": "mask.png"}', other),
        ('{"image": "other.png", "mask": "mask.png", "cond": "canny.png", "control": "run"}', [*other, *CONTROLLED]),
    ):
        Path("lines.jsonl").write_text(line)
        own = [*MASKED, "--inpaint-control", "run", "--prompts", "lines.jsonl", "--steps", "2"]
        assert sample(*own, "--overwrite", "--out", "out/a.png", quick=False)[0] == 0
        assert sample(*words, "--steps", "2", "--overwrite", "--out", "out/b.png", quick=False)[0] == 0
        assert np.array_equal(images.read("out/a.png"), images.read("out/b.png"))
    Path("lines.jsonl").write_text('{"image": "other.png"}')
    code, _, err = sample(*own, "--out", "out/c.png", quick=False)
    assert (code, err.count("\n")) == (3, 1)
    assert "lines.jsonl, line 1: --inpaint-control sees the image around a mask: give --image and --mask" in err


def test_a_jpeg_without_room_for_its_images_asks_for_them(sample, folder):
    """Of an image that was large when it was given, the metadata is larger than a JPEG holds."""
    rng = np.random.default_rng(0)
    images.write("large.png", rng.integers(0, 256, (192, 192, 3), dtype=np.uint8))
    code, _, err = sample("--image", "large.png", "--mask", "mask.png", "--size", "192x192", "--out", "out/a.jpg")
    assert code == 0
    assert "a JPEG has no room for" in err
    code, _, err = sample("--from", "out/a.jpg", "--out", "out/b.png", base=None, quick=False)
    assert (code, err.count("\n")) == (3, 1)
    assert "the image that it began with did not fit into it; give it with --image" in err
    again = ["--from", "out/a.jpg", "--image", "large.png", "--mask", "mask.png", "--out", "out/b.png"]
    assert sample(*again, base=None, quick=False)[0] == 0


def test_denoise_decides_how_much_of_the_image_is_left(sample, folder):
    """Against the image that the autoencoder makes of it, as one step of 1000 hardly changes it."""
    made = {}
    for share in ("0.1", "0.5", "1"):
        assert sample(*SIDES, "--steps", "10", "--denoise", share, "--out", f"out/{share}.png")[0] == 0
        made[share] = images.read(f"out/{share}.png").astype(int)
    assert sample("--steps", "10", "--out", "out/without.png")[0] == 0
    near, far = (np.abs(made["0.1"] - made[share]).mean() for share in ("0.5", "1"))
    assert 0 < near < far
    assert not np.array_equal(made["1"], images.read("out/without.png"))
    assert "denoise 0.8: 8 of 10 steps" in sample(*SIDES, "--steps", "10", "--out", "out/default.png")[2]


def test_the_mask_feathers_inwards(sample, folder):
    for width in (0, 6):
        assert sample(*MASKED, "--mask-feather", str(width), "--out", f"out/{width}.png")[0] == 0
    photo, hard, soft = (images.read(p).astype(int) for p in ("photo.png", "out/0.png", "out/6.png"))
    inside = blob().astype(bool)
    assert np.array_equal(soft[~inside], photo[~inside])
    assert np.array_equal(soft[32, 20:40], hard[32, 20:40])  # more than 6 pixels inside
    between = (soft >= np.minimum(photo, hard)) & (soft <= np.maximum(photo, hard))
    assert between.all()
    first, whole = (np.abs(one[21, 20:40] - photo[21, 20:40]) for one in (soft, hard))
    assert (first <= 0.2 * whole + 0.5).all()


def test_a_mask_of_another_size_and_one_in_an_alpha_channel(sample, folder):
    from PIL import Image

    assert sample(*MASKED, "--out", "out/a.png")[0] == 0
    images.write(folder / "large.png", blob(256) * np.uint8(255))
    layer = np.full((64, 64, 4), 255, np.uint8)
    layer[..., 3] = blob() * 255
    Image.fromarray(layer).save(folder / "layer.png")
    expected = images.read("out/a.png")
    for name in ("large.png", "layer.png"):
        assert sample(*SIDES, "--mask", name, "--out", f"out/{name}")[0] == 0
        found = images.read(f"out/{name}")
        # Of 256 pixels, the edges fall where they do in 64.
        assert np.array_equal(found, expected)


def test_an_image_of_a_size_that_no_network_takes_is_scaled_and_that_is_said(sample, folder):
    images.write(folder / "odd.png", rng.integers(0, 256, (70, 83, 3), dtype=np.uint8))
    images.write(folder / "mask.png", np.pad(blob(), ((0, 6), (0, 19))) * np.uint8(255))
    code, _, err = sample("--image", "odd.png", "--mask", "mask.png", "--out", "out/a.png")
    assert code == 0
    assert "odd.png is scaled from 83×70 to 80×72, and so is what is kept of it" in err
    assert images.read("out/a.png").shape == (72, 80, 3)
    assert sample("--from", "out/a.png", "--out", "out/b.png", base=None, quick=False)[0] == 0
    assert Path("out/a.png").read_bytes() == Path("out/b.png").read_bytes()
    images.write(folder / "eights.png", rng.integers(0, 256, (72, 88, 3), dtype=np.uint8))
    assert "scaled" not in sample("--image", "eights.png", "--out", "out/c.png")[2]
    assert images.read("out/c.png").shape == (72, 88, 3)


def test_what_is_said_of_images_and_masks(sample, folder):
    from PIL import Image

    images.write(folder / "white.png", np.full((64, 64), 255, np.uint8))
    assert "white.png is white everywhere" in sample(*SIDES, "--mask", "white.png", "--out", "out/a.png")[2]
    Image.fromarray(np.full((64, 64, 4), 128, np.uint8)).save(folder / "glass.png")
    assert (
        "glass.png is transparent in parts: they become white"
        in sample("--image", "glass.png", "--out", "out/b.png")[2]
    )


def test_a_control_for_inpainting_sees_the_image_without_what_is_masked(sample, folder, monkeypatch):
    seen = []
    encode = ControlNet.encode
    monkeypatch.setattr(ControlNet, "encode", lambda self, hint, cells: seen.append(hint) or encode(self, hint, cells))
    words = [*MASKED, "--inpaint-control", "run", "--cond", "canny.png", "--control", "run"]
    code, _, err = sample(*words, "--strength", "0.5", "--strength", "0.7", "--out", "out/a.png")
    assert code == 0
    assert "run, strength 0.5, follows canny.png" in err
    assert "run, strength 0.7, follows photo.png" in err
    inside, photo = blob().astype(bool), images.read("photo.png")
    _, hint = (np.moveaxis(one[0].numpy(), 0, 2) for one in seen)
    assert (hint[inside] == -1).all()
    assert np.allclose(hint[~inside], photo[~inside] / 255)
    assert sample(*MASKED, *CONTROLLED, "--out", "out/other.png")[0] == 0
    assert not np.array_equal(images.read("out/other.png"), images.read("out/a.png"))
    for name in ("photo.png", "mask.png"):
        Path(name).unlink()
    assert sample("--from", "out/a.png", "--out", "out/b.png", base=None, quick=False)[0] == 0
    assert Path("out/a.png").read_bytes() == Path("out/b.png").read_bytes()


def test_a_control_for_inpainting_alone_and_beside_photographs(sample, folder):
    """--detect is for the --cond images; the inpainting control sees the image as it is."""
    assert sample(*MASKED, "--inpaint-control", "run", "--out", "out/a.png")[0] == 0
    images.write("gray.png", np.kron(np.eye(8, dtype=np.uint8), np.full((8, 8), 255, np.uint8)))
    detect = ["--cond", "gray.png", "--detect", "canny", "--control", "run"]
    code, _, err = sample(*MASKED, "--inpaint-control", "run", *detect, "--out", "out/b.png")
    assert (code, err.count("follows")) == (0, 2 + err.count("but run follows"))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--mask", "mask.png"], 2, "--mask says what to redraw of an image: give that with --image"),
        (["--denoise", "0.5"], 2, "--denoise is about an image to start from"),
        ([*SIDES, "--inpaint-control", "run"], 2, "--inpaint-control sees the image around a mask"),
        ([*MASKED, "--inpaint-control", "run", "--control", "run"], 2, "need a --cond image"),
        ([*MASKED, "--inpaint-control", "none.pth"], 4, "none.pth"),
        (["--from", "photo.png", "--inpaint-control", "run"], 2, "--from takes no --inpaint-control"),
        ([*SIDES, "--mask-feather", "3"], 2, "--mask-feather is about a mask"),
        ([*SIDES, "--denoise", "0.4"], 2, "--denoise 0.4 of 2 steps is no step: give at least 0.5"),
        ([*SIDES, "--denoise", "1.5"], 2, "--denoise"),
        ([*SIDES, "--mask", "black.png"], 3, "black.png: marks nothing to redraw"),
        ([*SIDES, "--mask", "wide.png"], 3, "wide.png: a mask of 8000×64 pixels does not fit an image of 64×64"),
        ([*SIDES, "--size", "64x128"], 3, "photo.png: an image of 64×64 pixels does not fit an image of 64×128"),
        ([*SIDES, "--cond", "tall.png", "--control", "run"], 3, "tall.png: a condition of 64×128"),
        (["--image", "text.png"], 3, "text.png"),
        (["--image", "none.png"], 3, "none.png"),
        ([*SIDES, "--mask", "cut.png"], 3, "cut.png"),
        (["--image", "-", "--mask", "-"], 2, "standard input is read once"),
        (["--from", "photo.png", "--image", "photo.png"], 3, "has no sampling metadata"),
        ([*SIDES, "--out", "photo.png", "--overwrite"], 2, "would replace its own condition or start"),
        ([*MASKED, "--out", "mask.png", "--overwrite"], 2, "would replace its own condition or start"),
    ],
)
def test_what_is_refused(sample, folder, words, code, message):
    images.write(folder / "black.png", np.zeros((64, 64), np.uint8))
    images.write(folder / "tall.png", np.zeros((128, 64), np.uint8))
    found, out, err = sample(*words)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


CONDITION_OF_NO_MASK = {"mask": None, "conditions": [{"name": "x", "control": "run", "masked": True}]}


@pytest.mark.parametrize(
    "change",
    [{"image": 3}, {"mask": {"name": "x"}}, {"image": {"name": "x", "png": "!"}}, CONDITION_OF_NO_MASK],
)
def test_damaged_metadata_is_a_short_error(sample, folder, change):
    assert sample(*MASKED, "--out", "out/a.png")[0] == 0
    record = json.loads(png_text.read_text(io.BytesIO(Path("out/a.png").read_bytes()))[TEXT_KEY]) | change
    record = {name: value for name, value in record.items() if value is not None or name != "mask"}
    images.write("out/b.png", images.read("out/a.png"), {TEXT_KEY: json.dumps(record)})
    code, _, err = sample("--from", "out/b.png", base=None, quick=False)
    assert code == 3
    assert "its sampling metadata is damaged" in err


@pytest.mark.parametrize("words", [SIDES, MASKED], ids=["image", "masked"])
def test_lines_from_the_same_image_are_sampled_at_once(sample, folder, monkeypatch, words):
    """They are those of each line alone, up to rounding; another denoise or number of steps is another batch."""
    lines = [
        {"prompt": "a house", "seed": 1},
        {"prompt": "a red tree", "seed": 2},
        {"prompt": "a dog", "seed": 3, "denoise": 0.5},
        {"prompt": "a cat", "seed": 4, "denoise": 0.5, "count": 2},
        {"prompt": "a cat", "seed": 6, "steps": 3},
    ]
    Path("lines").write_text("\n".join(map(json.dumps, lines)))
    seen, original = [], batches.launch

    def watched(base, requests, *rest):
        seen.append(len(requests))
        return original(base, requests, *rest)

    monkeypatch.setattr(batches, "launch", watched)
    words = [*words, *CONTROLLED, "--steps", "2", "--prompts", "lines"]
    assert sample(*words, "--batch-size", "4", "--out", "many", quick=False)[0] == 0
    assert seen == [2, 3, 1]
    for number, line in enumerate(lines):
        Path("lines").write_text(json.dumps(line))
        assert sample(*words, "--out", f"alone{number}", quick=False)[0] == 0
    assert seen[3:] == [1] * 6
    many = sorted(Path("many").iterdir())
    alone = [path for number in range(len(lines)) for path in sorted(Path(f"alone{number}").iterdir())]
    assert len(many) == len(alone) == 6
    for a, b in zip(many, alone, strict=True):
        assert np.abs(images.read(a).astype(int) - images.read(b)).max() <= 1
