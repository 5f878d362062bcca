"""Images are written completely or not at all, with their text."""

import os
import stat
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from cn import images
from cn.errors import InputError
from tests.helpers.image_files import corners, save


def test_png_round_trip_with_text(tmp_path):
    text = {"cn.condition": '{"kind": "canny"}', "prompt": "Grüße, 世界 🙂", "long": "x" * 3_000_000}
    path = tmp_path / "a.png"
    images.write(path, corners(), text)
    assert np.array_equal(images.read(path), corners())
    assert images.read_info(path) == text
    assert images.encode(corners(), "PNG", text) == path.read_bytes()


def test_read_info_reads_compressed_and_late_chunks_and_never_fails(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("zipped", "z" * 5_000_000, zip=True)
    info.add_itxt("international", "ü" * 2_000_000, zip=True)
    path = save(tmp_path / "a.png", Image.fromarray(corners()), pnginfo=info)
    data = path.read_bytes()
    late = b"tEXtlate\0after the pixels"
    path.write_bytes(data[:-12] + struct.pack(">I", len(late) - 4) + late + b"\0\0\0\0" + data[-12:])
    read = images.read_info(path)
    assert {key: len(value) for key, value in read.items()} == {
        "zipped": 5_000_000,
        "international": 2_000_000,
        "late": 16,
    }
    assert images.read(save(tmp_path / "b.png", Image.fromarray(corners()), pnginfo=info)).shape == (6, 8, 3)
    (tmp_path / "text.png").write_text("words")
    (tmp_path / "short.png").write_bytes(data[:50])
    for other in ("text.png", "short.png", "missing.png", "."):
        assert images.read_info(tmp_path / other) == {}
    assert images.read_info(save(tmp_path / "a.jpg", Image.fromarray(corners()))) == {}


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp", ".bmp", ".tif", ""])
@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_formats_by_suffix(tmp_path, suffix, channels):
    array = np.full((8, 9) if channels is None else (8, 9, channels), 200, np.uint8)
    path = tmp_path / f"a{suffix}"
    images.write(path, array, {"ignored": "where it cannot be kept"})
    with Image.open(path) as image:
        assert (
            image.format
            == {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF", "": "PNG"}[suffix]
        )
        assert image.size == (9, 8)


def test_unknown_suffixes_and_bad_folders_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path, reason in (
        (tmp_path / "a.xyz", "use .png"),
        (tmp_path / "no" / "a.png", "No such file or directory"),
        (tmp_path / "file" / "a.png", "Not a directory"),
        (tmp_path, "cannot write|is a folder"),
    ):
        with pytest.raises(InputError, match=reason) as caught:
            images.write(path, corners())
        assert str(path) in str(caught.value)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_input_error_that_names_the_file():
    with pytest.raises(InputError, match="/dev/full: cannot be written: No space left on device"):
        images.write("/dev/full", corners())


def test_a_device_is_written_to_and_never_replaced():
    images.write("/dev/null", corners())
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_complete_pngs_are_recognized(tmp_path):
    path = tmp_path / "a.png"
    images.write(path, corners())
    assert images.is_complete_png(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert not images.is_complete_png(path)
    path.write_bytes(b"")
    assert not images.is_complete_png(path)
    assert not images.is_complete_png(tmp_path / "missing.png")
