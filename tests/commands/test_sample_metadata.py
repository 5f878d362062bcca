"""What sampled images carry in PNG, JPEG and WebP, read by Pillow and by `cn sample --from`."""

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
    assert "warning: out/a.jpg: a JPEG has no room for its condition images" in err
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
    assert "warning: out/kept.png has lost the metadata of cn sample: only prompt, steps, scale, seed and size" in err
    assert np.array_equal(images.read("out/b.png"), images.read("out/a.png"))
