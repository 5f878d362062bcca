"""`cn detect canny` through the command line: what it reads, writes, skips, refuses and survives."""

import io
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.conditions import ConditionInfo, get
from cn.detect.lines.canny import canny, random_thresholds
from cn.detect.run import inputs, jobs
from cn.errors import InputError, UsageError
from tests.helpers.cli import cn, cn_bytes, start_cn


def photo(seed: int = 0, height: int = 48, width: int = 64) -> np.ndarray:
    """Blobs on a slope: something with edges, different for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.repeat(((x + y) % 256)[..., None], 3, axis=2).astype(np.uint8)
    for _ in range(6):
        cy, cx, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(3, 12)
        image[(y - cy) ** 2 + (x - cx) ** 2 < r**2] = rng.integers(0, 256, 3)
    return image


def make(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(number)).save(folder / name)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
    assert deep.stderr == "deep: 4 written\n"
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
    done = cn_bytes("detect", "canny", "-", "-", stdin=buffer.getvalue())
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
    done = cn_bytes("detect", "canny", "in", "out", cwd=tmp_path)
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


# ---- interruptions ----


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A folder of 48 large images that take a while, and what a run without interruption makes of them."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "in").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "first.jpg", quality=80)
    for number in range(48):
        os.link(folder / "first.jpg", folder / "in" / f"{number:03}.jpg")
    assert (
        cn("detect", "canny", "in", "clean", "--workers", "2", "--random-thresholds", "-q", cwd=folder).returncode == 0
    )
    return folder


@pytest.mark.parametrize(
    ("number", "code", "workers"), [(signal.SIGKILL, -9, 2), (signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 1)]
)
def test_an_interrupted_run_leaves_whole_files_only_and_goes_on_to_the_same_bytes(many, number, code, workers):
    out = many / f"out{int(number)}"
    words = ("detect", "canny", "in", out, "--workers", str(workers), "--random-thresholds")
    process = start_cn(*words, cwd=many)
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.png"))) < 8:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    # Ctrl-C reaches the whole group, kill -9 only the parent.
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    time.sleep(0.5 if number == signal.SIGKILL else 0)
    files = {name: data for name, data in tree(out).items() if not name.startswith(".")}
    clean = tree(many / "clean")
    assert 8 <= len(files) < 48
    assert files == {name: clean[name] for name in files}
    if number != signal.SIGKILL:
        assert sorted(tree(out)) == sorted(files), "no temporary is left"
        assert " written\n" in errors.decode()
        assert errors.decode().splitlines()[-1].startswith("cn: ")
    again = cn(*words, cwd=many)
    assert again.returncode == 0
    assert f"{len(files)} already there" in again.stderr
    assert {name: data for name, data in tree(out).items() if not name.startswith(".")} == clean
    shutil.rmtree(out)


# ---- what a hostile folder, pipe or size does ----


def test_no_two_images_ever_have_one_result(tmp_path):
    make(tmp_path / "in", "a.jpg", "a.webp", "a.jpg.png", "b.png")
    done = cn("detect", "canny", "in", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert sorted(tree(tmp_path / "out")) == ["a.jpg.png", "a.jpg.png.png", "a.webp.png", "b.png"]
    assert np.array_equal(images.read(tmp_path / "out" / "a.jpg.png.png")[..., 0], canny(photo(2)))


def test_links_in_circles_and_pipes_in_a_folder_take_nothing_down(tmp_path):
    make(tmp_path / "in", "a.png")
    (tmp_path / "in" / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    done = cn("detect", "canny", "in", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (5, "out/a.png\n")
    assert "in/loop.jpg" in done.stderr
    assert "pipe" not in done.stderr


def test_an_image_that_would_become_far_too_large_is_one_line(tmp_path):
    Image.new("RGB", (3000, 1)).save(tmp_path / "a.png")
    done = cn("detect", "canny", "a.png", "b.png", "--resolution", "768", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("cn: a.png: 3000×1 with the short side at 768 is 2304000×768: too many pixels")


@pytest.mark.parametrize("name", ["BMW.jpg", "GIF8.jpg", "RIFF.jpg", "P6.jpg"])
def test_names_that_begin_as_images_do_are_names(name, tmp_path):
    make(tmp_path, name)
    done = cn("detect", "canny", "-", "out/", cwd=tmp_path, stdin=name.encode())
    assert (done.returncode, done.stdout) == (0, f"out/{name[:-4]}.png\n")


@pytest.mark.parametrize("format", ["PPM", "BMP", "GIF", "WEBP", "TIFF", "ICO", "JPEG"])
def test_images_of_many_formats_come_through_a_pipe(format, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(photo(1, 64, 64)).save(buffer, format)
    done = cn("detect", "canny", "-", "a.png", cwd=tmp_path, stdin=buffer.getvalue())
    assert (done.returncode, done.stdout) == (0, "a.png\n"), done.stderr


def test_one_path_on_standard_input_may_have_a_file_as_its_result(tmp_path):
    make(tmp_path, "in/a.jpg")
    assert cn("detect", "canny", "-", "b.png", cwd=tmp_path, stdin=b"in/a.jpg\n").stdout == "b.png\n"


def test_other_formats_are_not_said_to_be_made_otherwise(tmp_path):
    make(tmp_path, "a.png")
    for _ in range(2):
        done = cn("detect", "canny", "a.png", "b.jpg", cwd=tmp_path)
        assert done.returncode == 0
    assert "other settings" not in done.stderr


def test_an_empty_map_of_an_earlier_run_does_not_stay(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    assert cn("detect", "canny", "a.png", "out.png", cwd=tmp_path).returncode == 0
    done = cn("detect", "canny", "a.png", "out.png", "--on-empty", "skip", "--overwrite", cwd=tmp_path)
    assert done.returncode == 0
    assert not (tmp_path / "out.png").exists()


def test_a_name_with_a_line_break_keeps_the_summary_on_its_line(tmp_path):
    make(tmp_path / "in", "a.png")
    (tmp_path / "in" / "b\nc.png").write_text("words")
    done = cn("detect", "canny", "in", "out", cwd=tmp_path)
    assert "failed: in/b\\nc.png" in done.stderr.splitlines()
