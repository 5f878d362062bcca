"""What sampled images carry in PNG, JPEG and WebP, read by Pillow and by `cn sample --from`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from cn import images
from cn.conditions import ConditionInfo
from cn.sample.png_metadata import TEXT_KEY
from tests.helpers.sampling import CONTROLLED


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_jpegs_and_webps_are_reproduced(sample, name):
    assert sample(*CONTROLLED, "--seed", "4", "--out", f"out/{name}")[0] == 0
    assert sample("--from", f"out/{name}", "--out", "out/b.png", base=None, quick=False)[0] == 0
    assert sample(*CONTROLLED, "--seed", "4", "--out", "out/c.png")[0] == 0
    assert Path("out/b.png").read_bytes() == Path("out/c.png").read_bytes()
    with Image.open(f"out/{name}") as image, Image.open("out/c.png") as png:
        exif = image.getexif()
        comment = exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
        assert comment[:8] == b"UNICODE\0"
        assert comment[8:].decode("utf-16-be") == png.text["parameters"]
        assert png.text["parameters"].startswith(
            "a house\nSteps: 2, Sampler: DDIM, CFG scale: 9.0, Seed: 4, Size: 64x64"
        )


def test_a_jpeg_without_room_for_its_condition(sample):
    """It is written, with a warning; --from says what is missing."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    images.write("noise.png", noise, ConditionInfo("canny", "test").to_text())
    words = ["--cond", "noise.png", "--control", "run", "--size", "256x256", "--steps", "1"]
    code, _, err = sample(*words, "--out", "out/a.jpg", quick=False)
    assert code == 0
    assert "warning: out/a.jpg: a JPEG has no room for the images that it is made of" in err
    code, _, err = sample("--from", "out/a.jpg", "--out", "out/b.png", base=None, quick=False)
    assert code == 3
    assert "out/a.jpg: its condition images did not fit into it; give them with --cond" in err
    assert "no room" not in sample(*words, "--out", "out/a.webp", quick=False)[2]


def test_an_image_that_an_editor_wrote(sample):
    """Without its metadata; with what other programs read; and cut."""
    assert sample("--out", "out/a.png")[0] == 0
    with Image.open("out/a.png") as image:
        text = dict(image.text)
        image.save("out/bare.png")
        image.save("out/bare.jpg")
    for name, is_a in (("bare.png", ""), ("bare.jpg", "is a JPEG file and ")):
        code, _, err = sample("--from", f"out/{name}", "--out", "out/b.png", base=None, quick=False)
        assert code == 3
        assert f"out/{name}: {is_a}has no sampling metadata of cn sample: programs that edit, copy or upload" in err
    images.write("out/cut.png", images.read("out/a.png"), {TEXT_KEY: text[TEXT_KEY][:-20]})
    code, _, err = sample("--from", "out/cut.png", "--out", "out/b.png", base=None, quick=False)
    assert (code, "its sampling metadata is damaged" in err) == (3, True)
    images.write("out/kept.png", images.read("out/a.png"), {"parameters": text["parameters"]})
    code, _, err = sample("--from", "out/kept.png", "--out", "out/b.png", quick=False)
    assert code == 0
    assert (
        "warning: out/kept.png has lost the metadata of cn sample: only prompt, steps, scale, seed, size and sampler"
        in err
    )
    assert np.array_equal(images.read("out/b.png"), images.read("out/a.png"))


def test_the_same_recipe_with_something_changed(sample):
    """As if it had been sampled so: options, prompts, the condition."""
    assert sample(*CONTROLLED, "--seed", "4", "--strength", "0.5", "--out", "out/a.png")[0] == 0
    whole = ["--strength", "0.5", "--steps", "2", "--seed", "6"]
    for changes, same in (
        (["--seed", "6"], [*CONTROLLED, *whole, "-p", "a house"]),
        (["--seed", "6", "-p", "a tree", "--scale", "2"], [*CONTROLLED, *whole, "-p", "a tree", "--scale", "2"]),
        (
            ["--seed", "6", "--cond", "plain.png"],
            ["--cond", "plain.png", "--control", "run", *whole, "-p", "a house"],
        ),
    ):
        overwritten = ["--overwrite", "--out"]
        code, _, err = sample("--from", "out/a.png", *changes, *overwritten, "out/b.png", base=None, quick=False)
        assert (code, "warning" in err) == (0, False)
        assert sample(*same, *overwritten, "out/c.png", quick=False)[0] == 0
        assert Path("out/b.png").read_bytes() == Path("out/c.png").read_bytes()
    words = ["--from", "out/a.png", "--count", "2", "--prompt-mode", "none", "--out", "out/two"]
    assert sample(*words, base=None, quick=False)[1] == "out/two/canny-seed4.png\nout/two/canny-seed5.png\n"


def test_a_seed_that_is_drawn(sample):
    """It is said in the plan and the record, and stored."""
    code, out, err = sample("--seed", "random", "--json", "--out", "out/a.png")
    seed = json.loads(out)["seed"]
    assert (code, f"seed {seed}" in err) == (0, True)
    assert sample("--seed", str(seed), "--out", "out/b.png")[0] == 0
    assert Path("out/a.png").read_bytes() == Path("out/b.png").read_bytes()
    assert json.loads(sample("--seed", "-1", "--json", "--out", "out/c.png")[1])["seed"] != seed
    code, _, err = sample("--seed", "x", "--out", "out/d.png")
    assert (code, "--seed must be a whole number or random, not 'x'" in err) == (2, True)


def test_a_second_run_into_the_same_folder(sample):
    """Complete, refused, or numbered on; what is there stays."""
    assert sample("--count", "2", "--out", "out")[0] == 0
    before = [path.read_bytes() for path in sorted(Path("out").iterdir())]
    assert sample("--count", "2", "--out", "out")[:2] == (0, "")
    code, _, err = sample("--out", "out")
    assert (code, "give another --out, --number to keep it" in err) == (3, True)
    code, _, err = sample("--count", "2", "--seed", "1", "--steps", "1", "--out", "out")
    assert (code, "was sampled with another number of steps, 2 and not 1; give another --out" in err) == (3, True)
    for number in (2, 3):
        _, out, _ = sample("--count", "2", "--seed", "1", "--out", "out", "--number")
        # Where one name is taken, all get the number, so that a run is seen as one.
        assert out.splitlines() == [f"out/base-seed{seed}-{number}.png" for seed in (1, 2)]
    assert sample("--out", "out/base-seed0.png", "--number")[1] == "out/base-seed0-2.png\n"
    assert [Path(f"out/base-seed{seed}.png").read_bytes() for seed in (0, 1)] == before
    assert "give one of them" in sample("--out", "out", "--number", "--overwrite")[2]


def test_conditions_of_another_shape_and_resolutions(sample):
    """The image carries the fitted condition, so that --from makes it again; another resolution scales it."""
    words = [*CONTROLLED, "--size", "128x64"]
    code, _, err = sample(*words, "--out", "out/a.png")
    assert (code, "give --fit crop, pad or stretch" in err) == (3, True)
    made = []
    for how in ("crop", "pad", "stretch"):
        assert sample(*words, "--fit", how, "--out", f"out/{how}.png")[0] == 0
        assert sample("--from", f"out/{how}.png", "--out", f"out/{how}2.png", base=None, quick=False)[0] == 0
        made.append(Path(f"out/{how}.png").read_bytes())
        assert Path(f"out/{how}2.png").read_bytes() == made[-1]
    assert len(set(made)) == 3
    larger = ["--from", "out/crop.png", "--resolution", "128", "--steps", "1", "--out", "out/large.png"]
    assert sample(*larger, base=None, quick=False)[0] == 0
    assert images.read("out/large.png").shape == (128, 256, 3)
    assert sample(*CONTROLLED, "--resolution", "128", "--out", "out/b.png")[0] == 0
    assert images.read("out/b.png").shape == (128, 128, 3)
    assert "give 96x64 or 104x64" in sample("--size", "100x64")[2]
