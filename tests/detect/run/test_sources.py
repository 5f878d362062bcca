"""What SRC and DST may be: patterns, paths on standard input, pipes, bad images and bad destinations."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.conditions import ConditionInfo, get
from cn.detect.lines.canny import canny, random_thresholds
from cn.detect.run import inputs, jobs
from cn.errors import InputError, UsageError
from tests.helpers.canny_cases import make, photo, tree
from tests.helpers.cli import cn, cn_process


def test_random_thresholds_depend_on_seed_and_path_only(tmp_path):
    make(tmp_path / "in", *(f"{number}.png" for number in range(6)), "sub/0.png")
    words = ("--random-thresholds", "--seed", "4", "--recursive", "-q")
    assert cn("detect", "canny", "in", "one", *words, "--workers", "1", cwd=tmp_path).returncode == 0
    assert cn("detect", "canny", tmp_path / "in", "three", *words, "--workers", "3", cwd=tmp_path).returncode == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "three")
    low, high = random_thresholds(4, "sub/0.png")
    assert np.array_equal(images.read(tmp_path / "one/sub/0.png")[..., 0], canny(photo(6), low, high))
    info = ConditionInfo.from_text(images.read_info(tmp_path / "one/sub/0.png"))
    assert info is not None
    assert info.params == {"low": low, "high": high, "seed": 4, "convention": get("canny").convention}
    (tmp_path / "in" / "3.png").unlink()
    cn("detect", "canny", "in", "fewer", *words, cwd=tmp_path)
    fewer = tree(tmp_path / "fewer")
    assert fewer == {name: data for name, data in tree(tmp_path / "one").items() if name != "3.png"}


def test_globs_and_their_structure(tmp_path):
    make(tmp_path / "in", "a.jpg", "b.png", "sub/c.jpg")
    assert cn("detect", "canny", "in/*.jpg", "one", cwd=tmp_path).stdout.split() == ["one/a.png"]
    deep = cn("detect", "canny", "in/**/*.jpg", "two", cwd=tmp_path)
    assert sorted(deep.stdout.split()) == ["two/a.png", "two/sub/c.png"]
    assert cn("detect", "canny", "in/sub/*.jpg", "in", cwd=tmp_path).stdout.split() == ["in/c.png"]
    nothing = cn("detect", "canny", "in/*.gif", "three", cwd=tmp_path)
    assert nothing.returncode == 3
    make(tmp_path, "odd[1].png")
    assert cn("detect", "canny", "odd[1].png", "four/", cwd=tmp_path).stdout == "four/odd[1].png\n"


@pytest.mark.parametrize("separator", [b"\n", b"\0"])
def test_paths_on_standard_input(tmp_path, separator):
    make(tmp_path, "in/a.jpg", "in/sub/b c.jpg", "in/not.jpg")
    listed = separator.join([b"in/a.jpg", b"./in/sub/b c.jpg", b"in/missing.jpg", b""])
    done = cn("detect", "canny", "-", "out", cwd=tmp_path, stdin=listed)
    assert done.returncode == 5
    assert sorted(done.stdout.splitlines()) == ["out/a.png", "out/sub/b c.png"]
    assert "in/missing.jpg: no such file" in done.stderr
    assert cn("detect", "canny", "-", "out", cwd=tmp_path, stdin=b"\n").returncode == 3


def test_a_pipeline_of_images(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, "PNG")
    done = cn_process("detect", "canny", "-", "-", stdin=buffer.getvalue())
    assert (done.returncode, done.stderr) == (0, b"")
    assert np.array_equal(images.decode(done.stdout, "out")[..., 0], canny(photo()))
    named = cn("detect", "canny", "-", "x.png", stdin=buffer.getvalue(), cwd=tmp_path)
    assert named.stdout == "x.png\n"
    make(tmp_path / "in", "a.png", "b.png")
    several = cn("detect", "canny", "in", "-", cwd=tmp_path)
    assert (several.returncode, several.stdout) == (2, "")


def test_file_names_that_are_no_utf8_come_out_as_they_went_in(tmp_path):
    name = b"caf\xe9.png"
    make(tmp_path / "in", "a.png")
    os.rename(tmp_path / "in" / "a.png", os.fsencode(tmp_path / "in") + b"/" + name)
    done = cn_process("detect", "canny", "in", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"out/" + name + b"\n")


def test_inputs_are_never_written_over(tmp_path):
    make(tmp_path, "in/a.png", "in/sub/b.png")
    before = tree(tmp_path / "in")
    (tmp_path / "link").symlink_to("in")
    for src, dst in (("in", "in"), ("in", "link"), ("in/*.png", "in"), ("in/a.png", "in/a.png"), ("in/a.png", "in/"),
                     ("in/a.png", "link/a.png")):  # fmt: skip
        done = cn("detect", "canny", src, dst, "--overwrite", cwd=tmp_path)
        assert done.returncode == 2, (src, dst)
        assert done.stderr.count("\n") == 1
    listed = cn("detect", "canny", "-", "in/sub", "--overwrite", cwd=tmp_path, stdin=b"in/a.png\nin/sub/b.png\n")
    assert listed.returncode == 2
    assert tree(tmp_path / "in") == before


def test_several_images_need_a_folder(tmp_path):
    """A destination that cannot be a folder is one error, not one for every image."""
    make(tmp_path / "in", "a.png", "b.png")
    (tmp_path / "there.txt").write_text("words")
    file, name = (inputs.find(str(tmp_path / "in"), "", suffixes=images.SUFFIXES) for _ in range(2))
    with pytest.raises(InputError, match="is a file, but a folder is needed"):
        list(jobs.of(file, str(tmp_path / "there.txt")))
    with pytest.raises(UsageError, match="several images need a folder"):
        list(jobs.of(name, str(tmp_path / "edges.png")))
    assert len(list(jobs.of(name, f"{tmp_path}/edges.png/"))) == 2


def test_results_inside_the_source_folder_are_no_sources(tmp_path):
    make(tmp_path / "in", "a.png", "sub/b.png")
    for _ in range(2):
        assert cn("detect", "canny", "in", "in/out", "--recursive", cwd=tmp_path).returncode == 0
        assert cn("detect", "canny", "in/**/*.png", "in/out", cwd=tmp_path).returncode == 0
    assert sorted(tree(tmp_path / "in/out")) == ["a.png", "sub/b.png"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("words.png", b"just text", "not an image but text"),
        ("empty.png", b"", "empty"),
        ("half.png", images.encode(photo())[:300], "broken or cut off"),
        ("missing.png", None, "no such file"),
    ],
)
def test_a_bad_image_is_one_line_and_exit_code_3(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = cn("detect", "canny", name, "out.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert name in done.stderr
    assert reason in done.stderr
    assert not (tmp_path / "out.png").exists()


def test_exit_codes_when_all_or_none_of_several_are_bad(tmp_path):
    (tmp_path / "in").mkdir()
    assert cn("detect", "canny", "in", "out", cwd=tmp_path).returncode == 3
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_text("words")
    done = cn("detect", "canny", "in", "out", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.count("not an image but text") == 2
    make(tmp_path / "in", "c.png")
    done = cn("detect", "canny", "in", "out", "--workers", "2", cwd=tmp_path)
    assert done.returncode == 5
    assert done.stdout == "out/c.png\n"
    assert "out: 1 written, 2 failed" in done.stderr


def test_bad_destinations(tmp_path):
    make(tmp_path / "in", "a.png", "b.png")
    (tmp_path / "file").write_text("")
    done = cn("detect", "canny", "in", "file", cwd=tmp_path)
    assert done.returncode == 3
    assert "file: is a file, but a folder is needed there" in done.stderr
    done = cn("detect", "canny", "in/a.png", "a.xyz", cwd=tmp_path)
    assert done.returncode == 3
    assert "use .png" in done.stderr


def test_photographs_of_every_sort(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    rgb = Image.fromarray(photo(3))
    exif = Image.Exif()
    exif[0x0112] = 8
    rgb.save(folder / "exif.jpg", exif=exif)
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    rgb.convert("L").save(folder / "gray.png")
    rgb.convert("LA").save(folder / "gray_alpha.png")
    rgb.convert("RGBA").save(folder / "rgba.png")
    rgb.convert("P").save(folder / "palette.png", transparency=3)
    rgb.convert("1").save(folder / "bits.tif")
    Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(np.asarray(rgb.convert("L")).astype(np.float32)).save(folder / "float.tif")
    rgb.save(folder / "animated.gif", save_all=True, append_images=[Image.new("RGB", rgb.size)])
    rgb.save(folder / "animated.webp", save_all=True, append_images=[Image.new("RGB", rgb.size)], lossless=True)
    done = cn("detect", "canny", folder, "out", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sizes = {Path(r["path"]).name: r["size"] for r in map(json.loads, done.stdout.splitlines())}
    assert sizes.pop("exif.jpg") == [48, 64]
    assert len(sizes) == 10
    assert set(map(tuple, sizes.values())) == {(64, 48)}
    gray = images.read(tmp_path / "out/gray.png")
    assert gray.any()
    assert np.array_equal(images.read(tmp_path / "out/deep.png"), gray)
    assert np.array_equal(images.read(tmp_path / "out/float.png"), gray)
    assert np.array_equal(images.read(tmp_path / "out/animated.webp.png")[..., 0], canny(photo(3)))
