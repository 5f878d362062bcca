"""What a hostile folder, pipe or size does."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.detect.lines.canny import canny
from tests.helpers.canny_cases import make, photo, tree
from tests.helpers.cli import cn


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


def test_a_broken_file_is_named_once_and_a_line_break_in_its_name_breaks_no_line(tmp_path):
    make(tmp_path / "in", "a.png")
    (tmp_path / "in" / "b\nc.png").write_text("words")
    done = cn("detect", "canny", "in", "out", cwd=tmp_path)
    assert done.stderr.splitlines() == [
        "cn: in/b\\nc.png: not an image but text",
        "out: 1 written, 1 failed",
        "cn: 1 of 2 images failed; the others are done",
    ]
