"""`cn detect KIND` for kinds other than Canny: maps, what their PNGs say, options that exclude each other."""

import json

import numpy as np
import pytest
from PIL import Image

from cn.conditions import ConditionInfo, get
from cn.detect.lines import hed, lineart, scribble
from cn.detect.lines import hough as lines
from cn.detect.lines.hough import HoughDetector
from cn.detect.lines.lineart import DARK, WHITE
from cn.detect.lines.scribble_augmentation import augmented_scribble, random_augmentation
from cn.detect.lines.soft_edge_gradient import gradient_soft_edge
from cn.detect.nets.cpu import optimize_for_cpu
from cn.detect.nets.loading import load_net
from cn.detect.surfaces import depth, normal
from cn.detect.surfaces.normal import BGR
from cn.files import sha256
from tests.helpers.cli import cn
from tests.helpers.detect_cases import (
    MLSD,
    TIN,
    WEIGHT_FREE,
    house,
    info_of,
    needs_real,
    one_thread,
    photographs,
    the_map,
    tree,
)


@pytest.mark.parametrize("name", WEIGHT_FREE)
def test_workers_and_interruptions_change_no_byte(name, tmp_path):
    photographs(tmp_path / "in")
    words = ("detect", *WEIGHT_FREE[name], "--recursive")
    one = cn(*words[:2], "in", "one", *words[2:], "--workers", "1", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    assert sorted(one.stdout.split()) == ["one/0.png", "one/2.png", "one/sub/1.png"]
    two = cn(*words[:2], "in", "two", *words[2:], "--workers", "2", cwd=tmp_path)
    assert two.returncode == 0, two.stderr
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    before = tree(tmp_path / "one")
    (tmp_path / "one" / "2.png").unlink()
    again = cn(*words[:2], "in", "one", *words[2:], cwd=tmp_path)
    assert (again.stdout, again.stderr) == ("one/2.png\n", "one: 1 written, 2 already there\n")
    assert tree(tmp_path / "one") == before


def test_maps_without_weights_are_those_of_the_functions_and_say_so(tmp_path):
    photograph = house()
    Image.fromarray(photograph).save(tmp_path / "a.png")
    soft = gradient_soft_edge(photograph)
    random = random_augmentation(7, "a.png")
    expected = {
        "hough": lines.draw_lines(lines.lsd_lines(photograph), (96, 130)),
        "hed": soft,
        "scribble": scribble.released_scribble(soft, min(soft.shape) / 512),
        "random scribble": augmented_scribble(soft, random),
        "drawing": scribble.scribble_from_drawing(photograph),
        "lineart": lineart.standard_lineart(photograph),
        "dark lineart": lineart.standard_lineart(photograph, invert=True),
    }
    conventions = {"lineart": WHITE, "dark lineart": DARK}
    for name, (kind, *options) in WEIGHT_FREE.items():
        out = tmp_path / f"{name}.png"
        done = cn("detect", kind, "a.png", out, *options, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        assert (record["status"], record["size"]) == ("written", [130, 96])
        found, info = the_map(out), info_of(out)
        assert (found.dtype, found.shape) == (np.uint8, (96, 130))
        assert np.array_equal(found, expected[name]), name
        # Something was found, and the ground is black, but for dark lines on white.
        assert 0 < (found > 127).mean() < 1
        assert np.median(found) == (255 if name == "dark lineart" else 0)
        assert (info.kind, info.weights_sha256) == (kind, None)
        assert info.params["convention"] == conventions.get(name, get(kind).convention)
        assert info.params["method"] == ("from-drawing" if name == "drawing" else options[1])
    assert info_of(tmp_path / "random scribble.png").params["augmentation"] == random.record()


@needs_real
def test_published_weights_draw_lines_and_edges_and_their_hash_is_kept(tmp_path):
    photographs(tmp_path / "in", count=2)
    cases = {
        "hough": (MLSD, "M-LSD tiny", {"method": "mlsd", "score": 0.1, "length": 0.1}),
        "hed": (TIN, "TIN", {"method": "tin"}),
        "scribble": (TIN, "scribble from TIN", {"method": "tin"}),
    }
    for kind, (weights, detector, params) in cases.items():
        # Scribbles come from the same edges: their second run would show nothing more.
        for workers in ("1",) if kind == "scribble" else ("1", "2"):
            words = ("--weights", weights, "--recursive", "--workers", workers)
            done = cn("detect", kind, "in", f"{kind}{workers}", *words, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert tree(tmp_path / f"{kind}{workers}") == tree(tmp_path / f"{kind}1")
        info = info_of(tmp_path / f"{kind}1" / "sub" / "1.png")
        stated = {**params, "convention": get(kind).convention}
        assert info == ConditionInfo(kind, detector, stated, sha256(weights))
    with one_thread():
        soft = hed.soft_edges(optimize_for_cpu(load_net("hed", TIN)), house(1)[None])[0]
        (found,) = lines.mlsd_lines(optimize_for_cpu(load_net("hough", MLSD)), house(1)[None])
    assert np.array_equal(the_map(tmp_path / "hed1/sub/1.png"), soft)
    assert np.array_equal(the_map(tmp_path / "hough1/sub/1.png"), lines.draw_lines(found, (96, 130)))
    assert np.array_equal(the_map(tmp_path / "scribble1/sub/1.png"), scribble.released_scribble(soft))
    for kind in cases:
        assert (the_map(tmp_path / f"{kind}1/sub/1.png") > 127).any(), kind


@needs_real
def test_weights_of_another_method_are_one_line_and_exit_code_4(tmp_path):
    photographs(tmp_path / "in")
    for words, said in (
        (("hed", "--weights", MLSD), "holds M-LSD tiny; give ControlNetHED.pth"),
        (("hough", "--weights", TIN), "holds TIN; give mlsd_large_512_fp32.pth"),
        (("hed", "--method", "hed", "--weights", TIN), "holds TIN, but --method hed takes"),
        (("normal", "--weights", TIN), "holds TIN; give dpt_hybrid-midas"),
    ):
        done = cn("detect", words[0], "in", "out", *words[1:], cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1), done.stderr
        assert str(words[-1]) in done.stderr
        assert said in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("hough",), ["mlsd_large_512_fp32.pth", "--weights", "--method lsd"]),
        (("hed",), ["ControlNetHED.pth", "--weights", "--method gradient"]),
        (("hed", "--method", "tin"), ["TIN2.pth", "--method gradient"]),
        (("scribble",), ["ControlNetHED.pth", "--from-drawing"]),
        (("depth",), ["dpt_hybrid-midas-501f0c75.pt", "--weights"]),
        (("normal", "--method", "midas-small"), ["midas_v21_small_256.pt", "--weights"]),
        (("lineart",), ["netG.pth", "--method standard"]),
        (("hed", "--weights", "nothing.pth"), ["nothing.pth"]),
    ],
)
def test_missing_weights_are_one_line_that_says_what_to_do(words, named, tmp_path):
    photographs(tmp_path / "in")
    empty = {
        name: str(tmp_path / "empty") for name in ("HOME", "CN_WEIGHTS", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME")
    }
    done = cn("detect", words[0], "in", "out", *words[1:], cwd=tmp_path, env=empty)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1), done.stderr
    assert [name for name in named if name not in done.stderr] == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("hed", "--method", "canny"),
        ("hough", "--method", "lsd", "--weights", "x.pth"),
        ("scribble", "--from-drawing", "--random"),
        ("scribble", "--from-drawing", "--method", "gradient"),
        ("scribble", "--method", "gradient", "--seed", "1"),
        ("canny", "--seed", "1"),
        ("canny", "--random-thresholds", "--low", "50"),
        ("canny", "--random-thresholds", "--high", "50"),
        ("canny", "--low", "201"),
        ("hough", "--method", "lsd", "--score", "0.2"),
        ("normal", "--strength", "0"),
        ("depth", "--batch-size", "0"),
    ],
)
def test_options_that_exclude_each_other(words, tmp_path):
    photographs(tmp_path / "in")
    done = cn("detect", words[0], "in", "out", *words[1:], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert not (tmp_path / "out").exists()


def test_an_image_is_not_weights(tmp_path):
    Image.fromarray(house()).save(tmp_path / "a.png")
    done = cn("detect", "depth", "a.png", "b.png", "--weights", "a.png", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "a.png: is an image, not weights" in done.stderr


def test_depth_and_normals_by_midas(made_up, tmp_path):
    Image.fromarray(house()).save(tmp_path / "a.png")
    weights = made_up["midas"]
    for kind, *options in (("depth",), ("normal", "--strength", "0.05", "--bgr")):
        done = cn("detect", kind, "a.png", f"{kind}.png", *options, "--weights", weights, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    network = optimize_for_cpu(load_net("depth", weights))
    (inverse,) = depth.inverse_depth(network, [house()])
    near = depth.depth_map(inverse, (96, 130))
    normals = normal.normal_from_depth(inverse, (96, 130), strength=0.05)
    assert np.array_equal(the_map(tmp_path / "depth.png"), near)
    assert (near.min(), near.max()) == (0, 255)
    assert np.array_equal(the_map(tmp_path / "normal.png"), normals[..., ::-1])
    assert not np.array_equal(normals, normals[..., ::-1])
    info = info_of(tmp_path / "normal.png")
    assert (info.kind, info.detector, info.weights_sha256) == (
        "normal", "normals from MiDaS v2.1 small", sha256(weights)
    )  # fmt: skip
    assert info.params == {"strength": 0.05, "background": 0.1, "bgr": True, "convention": BGR}
    assert info_of(tmp_path / "depth.png").params["convention"] == get("depth").convention


def test_line_drawings_by_anime2sketch(made_up, tmp_path):
    Image.fromarray(house()).save(tmp_path / "a.png")
    weights = made_up["sketch"]
    done = cn("detect", "lineart", "a.png", "b.png", "--weights", weights, "--invert", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (drawn,) = lineart.sketches(optimize_for_cpu(load_net("lineart", weights)), house()[None], invert=True)
    assert np.array_equal(the_map(tmp_path / "b.png"), drawn)
    info = info_of(tmp_path / "b.png")
    assert (info.detector, info.weights_sha256, info.params["convention"]) == ("Anime2Sketch", sha256(weights), DARK)


def test_lines_shorter_than_asked_for_are_left_out():
    (every,) = HoughDetector(length=0.0).detect([house()], ["a"])
    (long,) = HoughDetector(length=0.6).detect([house()], ["a"])
    assert 0 < np.count_nonzero(long.map) < np.count_nonzero(every.map)
    assert 0 < long.found["lines"] < every.found["lines"]
    (none,) = HoughDetector().detect([np.full((40, 50, 3), 9, np.uint8)], ["a"])
    assert none.map.shape == (40, 50)
    assert none.empty
    assert not none.map.any()
