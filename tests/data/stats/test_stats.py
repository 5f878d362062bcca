"""`cn dataset stats`: numbers counted by hand, and plots that can be drawn of anything."""

import io
import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from cn import app, images
from cn.data.stats.counts import Counts, spread
from cn.data.stats.plots import plot
from cn.data.stats.table import rows
from tests.data.formats.sets import image, put, write_kinds, write_lines


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


EMPTY = png(np.zeros((16, 24, 3), np.uint8))
LONG = " ".join(["cat"] * 80)


def write_set(root):
    lines = [
        {"source": "source/a.png", "target": "target/a.png", "prompt": "a cat", "original_size": [240, 160]},
        {"source": "source/b.png", "target": "target/b.png", "prompt": "a cat"},
        {"source": "source/c.png", "target": "target/c.png", "prompt": LONG},
        {"source": "source/a.png", "target": "target/a.png", "prompt": ""},
        {"source": "source/b.png", "target": "target/b.png"},
        {"source": "source/gone.png", "target": "target/a.png", "prompt": "x"},
        {"source": "source/d.png", "target": "target/a.png", "prompt": "four words of text"},
    ]
    for name, size in (("a", (24, 16)), ("b", (16, 24)), ("c", (20, 20))):
        put(root / f"target/{name}.png", image(ord(name), "PNG", size))
        put(root / f"source/{name}.png", image(9, "PNG", size))
    put(root / "source/c.png", EMPTY)
    put(root / "source/d.png", b"no image")
    write_lines(root / "prompt.json", lines)


def run(*words) -> int:
    return app.run(["dataset", "stats", *map(str, words)])


def test_numbers_by_hand(tmp_path, capsys):
    write_set(tmp_path)
    assert run(tmp_path, "--json") == 5
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert (record["samples"], record["images"]) == (7, 3)
    assert record["kinds"] == {"": {"maps": 5, "empty": 1}}
    assert record["other_frames"] == 1, "c.png is square, its map is not"
    assert record["sizes"] == {"24x16": 1, "16x24": 1, "20x20": 1}
    assert record["original_short_side"] == {"min": 160, "median": 160, "mean": 160, "max": 160}
    assert record["aspect_ratio"] == {
        "min": 0.667,
        "median": 1,
        "mean": pytest.approx((2 / 3 + 1 + 1.5) / 3, abs=2e-3),
        "max": 1.5,
    }
    captions = record["captions"]
    assert (captions["missing"], captions["empty"], captions["different"], captions["too_long"]) == (1, 1, 2, 1)
    assert captions["words"] == {"min": 2, "median": 2, "mean": 28, "max": 80}
    assert captions["tokens"]["min"] == 2, "each of these words is one token of CLIP"
    assert captions["tokens"]["max"] == 80
    files = {name: (tmp_path / "target" / f"{name}.png").stat().st_size for name in "abc"}
    assert record["bytes"]["images"] == sum(files.values())
    assert sum(map(len, record["broken"].values())) == 2
    assert "2 of 7 samples cannot be used" in captured.err


def test_the_table(tmp_path, capsys):
    write_set(tmp_path)
    assert run(tmp_path) == 5
    lines = capsys.readouterr().out.splitlines()
    table = {line[:13].strip(): line[15:] for line in lines if line[:13].strip()}
    assert table["samples"] == "7, of 3 images"
    assert table["maps"] == "one kind 5 (20 % empty)"
    assert table["sizes"].startswith("24×16 33 %, 20×20 33 %") or "33 %" in table["sizes"]
    assert table["aspect ratios"] == "portrait 33 %, square 33 %, landscape 33 %; 0.667 to 1.5, median 1"
    assert table["captions"] == "3 (60 %), 2 different, 1 missing, 1 empty"
    assert table["tokens"] == "2 to 80, median 2; 1 captions beyond 75"
    assert any("source/gone.png is missing" in line for line in lines)
    assert any("d.png" in line and "not an image" in line for line in lines)


def test_kinds_and_turned_images(tmp_path, capsys):
    write_kinds(tmp_path)
    turned = Image.new("RGB", (40, 20))
    exif = turned.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    turned.save(buffer, "JPEG", exif=exif)
    put(tmp_path / "target/3f/0.jpg", buffer.getvalue())
    assert run(tmp_path, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert {kind: counts["maps"] for kind, counts in record["kinds"].items()} == {"canny": 4, "depth": 3, "openpose": 4}
    assert record["sizes"] == {"24x16": 3, "20x40": 1}
    assert record["other_frames"] == 3


def test_spread():
    assert spread(Counter({1: 1, 4: 1})) == {"min": 1, "median": 2.5, "mean": 2.5, "max": 4}
    assert spread(Counter({5: 3, 1: 1, 9: 1}))["median"] == 5
    assert spread(Counter()) == {}


def many(count: int) -> Counts:
    random = np.random.default_rng(0)
    counts = Counts(samples=count)
    for number in range(count):
        counts.images.add(str(number))
        counts.sizes[int(random.integers(64, 2000)), int(random.integers(64, 2000))] += 1
        counts.words[int(random.integers(1, 300))] += 1
        counts.tokens[int(random.integers(1, 300))] += 1
        counts.captions.add(number)
    counts.maps["canny"] = count
    return counts


def extreme() -> Counts:
    counts = Counts(samples=3)
    counts.sizes.update({(20000, 1): 1, (1, 20000): 1, (512, 512): 1})
    counts.words.update({1: 1, 5000: 1})
    counts.tokens.update({1: 1, 9000: 1})
    counts.maps.update(dict.fromkeys("abcdefghijk", 1))
    return counts


@pytest.mark.parametrize("counts", [Counts(), Counts(samples=1), many(1), many(3000), extreme()])
def test_plots_of_anything(counts):
    picture = images.decode(plot(counts, "a set with a long name " * 9), "plots")
    assert picture.shape[2] == 3
    assert min(picture.shape[:2]) > 800
    assert picture[0, 0].tolist() == [255, 255, 255]
    blue = (np.abs(picture.astype(int) - (0x3B, 0x6F, 0xB6)).sum(axis=2) < 10).mean()
    assert (blue > 0.005) == bool(counts.sizes), "bars"
    assert rows(counts)["samples"]


def test_the_plots_of_the_command(tmp_path, capsys):
    write_kinds(tmp_path / "set")
    assert run(tmp_path / "set", "--plots", tmp_path / "plots.png", "-q") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == str(tmp_path / "plots.png")
    assert images.read(tmp_path / "plots.png").shape[1] > 1000
    assert run(tmp_path / "set", "--plots", tmp_path / "plots.svg") == 2
    assert "ends in .png" in capsys.readouterr().err


def test_plots_without_matplotlib(tmp_path):
    write_kinds(tmp_path / "set")
    script = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'matplotlib' else find(name, *a)\n"
        "from cn import app; sys.exit(app.run(['dataset', 'stats', 'set', '--plots', 'p.png']))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "controlnet-cn[plots]" in " ".join(done.stderr.split())
