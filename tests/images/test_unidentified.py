"""What is said of files that are not read as images."""

import contextlib
import io
import struct

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.errors import InputError
from tests.helpers.image_files import corners
from tests.images.test_frames import tiff


def message(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        images.decode(data, "a")
    assert "\n" not in caught.value.what
    return caught.value.what


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x76\x2f\x31\x01" + bytes(100), "holds numbers, not an image; `cn detect depth --from-depth` reads it"),
        (b"\x93NUMPY\x01\0v\0{'descr': '<f4'}", "holds numbers"),
        (b"PK\3\4" + bytes(26) + b"depth.npy" + bytes(50), "holds numbers"),
        (b"PF\n2 2\n-1.0\n" + bytes(48), "holds numbers"),
        (b"Pf\n2 2\n-1.0\n" + bytes(16), "holds numbers"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "tone-map it"),
        (b"8BPS\0\1" + bytes(30), ".psd images are not read; export it as PNG or TIFF first"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "document or drawing"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "document or drawing"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "document or drawing"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(40), "raw file"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(40), "raw file"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp42" + bytes(40), "is a video"),
        (b"RIFF\x10\0\0\0AVI LIST" + bytes(40), "is a video"),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(2), "broken or cut off"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(40), "is an AVIF that is broken or cut off"),
    ],
)
def test_other_files_are_called_by_their_names(data, expected):
    assert expected in message(data)


def one_strip(values: np.ndarray, form: int, channels: int = 1, compression: int = 1) -> bytes:
    """An uncompressed little-endian TIFF with samples of any type, (h, w) or (h, w, channels)."""
    stored = values.tobytes()
    height, width = values.shape[:2]
    bits = values.dtype.itemsize * 8
    entries = [(256, width), (257, height), (258, bits), (259, compression), (262, 1), (273, 8), (277, channels)]
    entries += [(278, height), (279, len(stored)), (339, form)]
    data = b"II*\0" + struct.pack("<I", 8 + len(stored)) + stored + struct.pack("<H", len(entries))
    return data + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries) + bytes(4)


@pytest.mark.parametrize(
    ("dtype", "form", "expected"),
    [
        (np.float64, 3, "is a TIFF of 64-bit floats, which are numbers, not an image; `cn detect depth --from-depth`"),
        (np.float16, 3, "is a TIFF of 16-bit floats, which are numbers"),
        (np.int64, 2, "is a TIFF of 64-bit signed integers, which are numbers"),
        (np.uint64, 1, "is a TIFF of 64-bit integers, which are numbers"),
        (np.complex64, 6, "is a TIFF of 64-bit complex numbers, which are not read"),
    ],
)
def test_a_tiff_of_numbers_is_called_that(dtype, form, expected):
    assert message(one_strip(np.ones((4, 5), dtype), form)).startswith(expected)


def test_a_tiff_of_many_channels_or_with_an_unknown_compression():
    many = np.zeros((4, 5, 7), np.uint16)
    assert message(one_strip(many, 1, 7)).startswith("is a TIFF of 7 channels of 16-bit integers, which are not read")
    assert "compression 34887" in message(one_strip(np.zeros((4, 5), np.float64), 3, compression=34887))


def test_a_tiff_of_32_bit_floats_is_read_as_gray():
    read = images.decode(one_strip(np.full((4, 5), 0.5, np.float32), 3), "a")
    assert (read == 128).all()


def test_twelve_bits_are_white_at_4095():
    """Two pixels in three bytes: 4095 and 2048."""
    stored = bytes([0xFF, 0xF8, 0x00])
    entries = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 3)]
    data = b"II*\0" + struct.pack("<I", 12) + stored + b"\0" + struct.pack("<H", len(entries))
    data += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries) + bytes(4)
    assert images.decode(data, "a")[0, :, 0].tolist() == [255, 128]


@pytest.mark.parametrize(
    "extra", [[(254, 4, 1), (330, 4, 8)], [(50706, 4, 1)], [(262, 3, 32803)]], ids=["previews", "dng", "sensor"]
)
def test_a_raw_file_is_not_read_as_its_preview(extra):
    assert message(tiff(extra)) == "is a camera's raw file; develop it to PNG or TIFF first"


def planes(dtype: type) -> bytes:
    """An RGB TIFF of 2×2 pixels, plane after plane: 10, 20 and 30 everywhere."""
    size = np.dtype(dtype).itemsize
    stored = b"".join(np.full(4, value, dtype).tobytes() for value in (10, 20, 30))
    arrays = [(8 * size,) * 3, tuple(8 + 4 * size * plane for plane in range(3)), (4 * size,) * 3]
    places = [8 + len(stored) + 12 * number for number in range(3)]
    entries = [(256, 1, 2), (257, 1, 2), (258, 3, places[0]), (259, 1, 1), (262, 1, 2), (273, 3, places[1])]
    entries += [(277, 1, 3), (278, 1, 2), (279, 3, places[2]), (284, 1, 2)]
    data = b"II*\0" + struct.pack("<I", 8 + len(stored) + 36) + stored
    data += b"".join(struct.pack("<III", *array) for array in arrays) + struct.pack("<H", len(entries))
    return data + b"".join(struct.pack("<HHII", tag, 4, count, value) for tag, count, value in entries) + bytes(4)


def test_colors_in_planes_are_read_with_8_bits_and_refused_with_16():
    assert images.decode(planes(np.uint8), "a")[1, 1].tolist() == [10, 20, 30]
    assert "16-bit colors in separate planes" in message(planes(np.uint16))


def test_zero_is_white_at_16_bits():
    data = io.BytesIO()
    Image.fromarray(np.array([[0, 65535, 257]], np.uint16)).save(data, "TIFF")
    found = bytearray(data.getvalue())
    struct.pack_into("<H", found, found.index(struct.pack("<HHI", 262, 3, 1)) + 8, 0)
    assert images.decode(bytes(found), "a")[0, :, 0].tolist() == [255, 0, 254]


def test_a_page_that_is_marked_as_a_preview_but_is_all_there_is():
    assert images.decode(tiff([(254, 4, 1)]), "a").shape == (2, 2, 3)


def test_colors_without_a_way_to_rgb_are_called_that():
    data = io.BytesIO()
    Image.fromarray(corners(), "LAB").save(data, "TIFF")
    assert message(data.getvalue()) == "has the color space LAB; convert it to RGB first"


@pytest.mark.parametrize("compression", ["tiff_deflate", "tiff_lzw", "jpeg"])
def test_libtiff_prints_nothing_about_a_broken_file(capfd, compression):
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
        data, "TIFF", compression=compression
    )
    broken = bytearray(data.getvalue())
    for start in range(200, len(broken) - 600, 300):
        broken[start : start + 60] = bytes([255]) * 60
    with contextlib.suppress(InputError):
        images.decode(bytes(broken), "a")
    assert capfd.readouterr() == ("", "")
