"""`cn detect canny` through the command line: what it reads, writes and skips."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.conditions import ConditionInfo, get
from cn.detect.lines.canny import canny
from tests.helpers.canny_cases import make, photo, tree
from tests.helpers.cli import cn


def test_one_image_to_a_file(tmp_path):
    make(tmp_path, "a.png")
    done = cn("detect", "canny", "a.png", "edges.png", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "edges.png\n", "")
    with Image.open(tmp_path / "edges.png") as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), canny(photo()))
    info = ConditionInfo.from_text(images.read_info(tmp_path / "edges.png"))
    params = {"low": 100, "high": 200, "convention": get("canny").convention}
    assert info == ConditionInfo("canny", "canny (OpenCV)", params)


def test_thresholds_and_resolution(tmp_path):
    make(tmp_path, "a.png")
    assert cn("detect", "canny", "a.png", "b.png", "--low", "30", "--high", "70.5", cwd=tmp_path).returncode == 0
    assert np.array_equal(images.read(tmp_path / "b.png")[..., 0], canny(photo(), 30, 70.5))
    done = cn("detect", "canny", "a.png", "c.png", "--resolution", "128", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["size"] == [192, 128]
    read = images.read(tmp_path / "c.png")
    assert np.array_equal(read[..., 0], canny(images.resize_short_side(photo(), 128)))
    info = ConditionInfo.from_text(images.read_info(tmp_path / "c.png"))
    assert info is not None
    assert info.params["resolution"] == 128


@pytest.mark.parametrize("dst", ["out/", "out", "there"])
def test_one_image_to_a_folder(tmp_path, dst):
    make(tmp_path, "sub/a.jpg")
    (tmp_path / "there").mkdir()
    done = cn("detect", "canny", "sub/a.jpg", dst, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == f"{dst.rstrip('/')}/a.png\n"


def test_folders_keep_their_structure(tmp_path):
    make(tmp_path / "in", "a.jpg", "b.PNG", "sub/c.webp", "sub/deep/d.bmp", ".hidden.png", ".cache/e.png")
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    flat = cn("detect", "canny", "in", "flat", cwd=tmp_path)
    assert sorted(flat.stdout.split()) == ["flat/a.png", "flat/b.png"]
    deep = cn("detect", "canny", "in", "deep", "--recursive", cwd=tmp_path)
    assert deep.returncode == 0
    assert sorted(deep.stdout.split()) == ["deep/a.png", "deep/b.png", "deep/sub/c.png", "deep/sub/deep/d.png"]
    assert deep.stderr == "deep: 4 written; 1 file left out: 1 .txt\n"
    assert sorted(tree(tmp_path / "deep")) == ["a.png", "b.png", "sub/c.png", "sub/deep/d.png"]


def test_json_has_one_record_for_each_file_and_quiet_is_quiet(tmp_path):
    make(tmp_path / "in", "a.jpg", "b.jpg")
    (tmp_path / "in" / "c.jpg").write_text("words")
    done = cn("detect", "canny", "in", "out", "--json", "-q", cwd=tmp_path)
    records = {record["path"]: record for record in map(json.loads, done.stdout.splitlines())}
    assert sorted(records) == ["in/a.jpg", "in/b.jpg", "in/c.jpg"]
    good, bad = records["in/a.jpg"], records["in/c.jpg"]
    assert (good["output"], good["status"], good["size"]) == ("out/a.png", "written", [64, 48])
    assert good["seconds"] > 0
    assert (bad["status"], bad["size"]) == ("failed", None)
    assert "not an image but text" in bad["reason"]
    assert done.stderr.splitlines() == [
        "cn: in/c.jpg: not an image but text",
        "cn: 1 of 3 images failed; the others are done",
    ]


def test_what_is_there_is_skipped_unless_overwritten(tmp_path):
    make(tmp_path / "in", "a.jpg", "b.jpg")
    first = cn("detect", "canny", "in", "out", cwd=tmp_path)
    before = {path: os.stat(tmp_path / "out" / path).st_mtime_ns for path in ("a.png", "b.png")}
    again = cn("detect", "canny", "in", "out", cwd=tmp_path)
    assert (first.returncode, again.returncode) == (0, 0)
    assert again.stdout == ""
    assert again.stderr == "out: 0 written, 2 already there\n"
    other = cn("detect", "canny", "in", "out", "--low", "20", cwd=tmp_path)
    assert "2 of those already there were made with other settings" in other.stderr
    assert before == {path: os.stat(tmp_path / "out" / path).st_mtime_ns for path in before}
    (tmp_path / "out" / "a.png").unlink()
    assert cn("detect", "canny", "in", "out", cwd=tmp_path).stdout == "out/a.png\n"
    forced = cn("detect", "canny", "in", "out", "--low", "20", "--overwrite", cwd=tmp_path)
    assert sorted(forced.stdout.split()) == ["out/a.png", "out/b.png"]
    assert np.array_equal(
        images.read(tmp_path / "out" / "b.png")[..., 0], canny(images.read(tmp_path / "in/b.jpg"), 20)
    )


def test_half_a_file_is_made_again(tmp_path):
    make(tmp_path / "in", "a.png")
    cn("detect", "canny", "in", "out", cwd=tmp_path)
    whole = (tmp_path / "out" / "a.png").read_bytes()
    (tmp_path / "out" / "a.png").write_bytes(whole[:-20])
    assert cn("detect", "canny", "in", "out", cwd=tmp_path).stdout == "out/a.png\n"
    assert (tmp_path / "out" / "a.png").read_bytes() == whole


def test_images_of_one_name_keep_their_endings_and_it_is_said(tmp_path):
    make(tmp_path / "in", "a.jpg", "a.png", "a-b.png", "b.png")
    done = cn("detect", "canny", "in", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert sorted(tree(tmp_path / "out")) == ["a-b.png", "a.jpg.png", "a.png.png", "b.png"]
    assert "2 images share their name" in done.stderr
