"""TIFFs of every sample type, colors of 16 bits, and gray saved as colors."""

import cv2
import numpy as np
import pytest
from PIL import Image

from cn.errors import InputError
from cn.images import pixel_values

VALUES = (np.random.default_rng(0).random((40, 50)) * 200).round(2)
LZW, DEFLATE = 5, 8


def refused(path, what, read=pixel_values.read):
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert what in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "u2", "u4", "u8", "i2", "i4", "i8"])
def test_tiffs_of_every_sample_type(tmp_path, dtype, order):
    tifffile = pytest.importorskip("tifffile")
    values = (VALUES * 10**7).astype(dtype) if dtype == "u4" else (VALUES / 2).astype(dtype)
    for options in ({}, {"compression": "zlib"}, {"tile": (16, 16)}, {"bigtiff": True}):
        tifffile.imwrite(tmp_path / "a.tif", values, byteorder=order, **options)
        assert np.array_equal(pixel_values.read(tmp_path / "a.tif"), values), options


@pytest.mark.parametrize("order", ["<", ">"])
def test_vectors_of_half_floats(tmp_path, order):
    """Three values of SampleFormat do not fit into its entry."""
    tifffile = pytest.importorskip("tifffile")
    vectors = np.stack([VALUES, VALUES + 1, VALUES + 2], axis=-1).astype(np.float16)
    for options in ({}, {"bigtiff": True}):
        tifffile.imwrite(tmp_path / "a.tif", vectors, photometric="rgb", byteorder=order, **options)
        assert np.array_equal(pixel_values.read_vectors(tmp_path / "a.tif"), vectors), options


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("compression", [LZW, DEFLATE])
def test_compressed_half_floats(tmp_path, compression, predictor):
    """OpenCV writes their bits as integers; then the field SampleFormat is made to say floats."""
    half = VALUES.astype(np.float16)
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    data = bytearray(cv2.imencode(".tif", half.view(np.uint16), options)[1].tobytes())
    at = data.index((339).to_bytes(2, "little") + b"\3\0\1\0\0\0\1\0")
    data[at + 8] = 3
    (tmp_path / "a.tif").write_bytes(data)
    assert np.array_equal(pixel_values.read(tmp_path / "a.tif"), half)


def test_unknown_sample_types_are_named(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", VALUES.astype(np.complex64))
    refused(tmp_path / "a.tif", "is a TIFF of 64-bit complex numbers")


def test_tiffs_that_are_cut_off_print_nothing(tmp_path, capfd):
    tifffile = pytest.importorskip("tifffile")
    for dtype in (np.float64, np.float16):
        tifffile.imwrite(tmp_path / "a.tif", VALUES.astype(dtype), compression="zlib", rowsperstrip=8)
        whole = (tmp_path / "a.tif").read_bytes()
        for end in (12, 200, len(whole) // 2, len(whole) - 9):
            (tmp_path / "a.tif").write_bytes(whole[:end])
            refused(tmp_path / "a.tif", "")
    assert capfd.readouterr() == ("", "")


def test_a_tiff_that_claims_more_than_it_holds(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", VALUES)
    data = (tmp_path / "a.tif").read_bytes()
    for tag, value in ((256, 50), (257, 40)):
        old = tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little")
        assert old in data
        data = data.replace(old, old[:8] + (14_000).to_bytes(4, "little"))
    (tmp_path / "a.tif").write_bytes(data)
    refused(tmp_path / "a.tif", "cannot hold the 14000×14000 pixels")


def test_gray_that_was_saved_as_colors(tmp_path):
    gray = VALUES.astype(np.uint8)
    Image.fromarray(np.dstack([gray] * 3)).save(tmp_path / "rgb.png")
    Image.fromarray(np.dstack([gray] * 3 + [np.where(gray > 5, 255, 0).astype(np.uint8)])).save(tmp_path / "rgba.png")
    Image.fromarray(np.dstack([gray, np.where(gray > 5, 255, 0).astype(np.uint8)])).save(tmp_path / "la.png")
    assert pixel_values.read_stored(tmp_path / "rgb.png").opaque is None
    for name in ("rgb.png", "rgba.png", "la.png"):
        assert np.array_equal(pixel_values.read(tmp_path / name), gray)
    for name in ("rgba.png", "la.png"):
        assert np.array_equal(pixel_values.read_stored(tmp_path / name).opaque, gray > 5)
    deep = (VALUES * 300).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "rgb16.png"), np.dstack([deep] * 3))
    cv2.imwrite(str(tmp_path / "rgb16.tif"), np.dstack([deep] * 3))
    for name in ("rgb16.png", "rgb16.tif"):
        assert np.array_equal(pixel_values.read(tmp_path / name), deep), "all 16 bits"
    Image.fromarray(np.dstack([gray, gray, gray // 2])).save(tmp_path / "color.png")
    refused(tmp_path / "color.png", "has colors")


def test_vectors_in_images_and_arrays(tmp_path):
    colors = (np.random.default_rng(0).random((9, 8, 3)) * 65535).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), colors[..., ::-1])
    cv2.imwrite(str(tmp_path / "a.tif"), colors[..., ::-1])
    np.save(tmp_path / "a.npy", colors)
    np.save(tmp_path / "chw.npy", np.moveaxis(colors, -1, 0))
    np.savez(tmp_path / "a.npz", colors)
    for name in ("a.png", "a.tif", "a.npy", "chw.npy", "a.npz"):
        assert np.array_equal(pixel_values.read_vectors(tmp_path / name), colors), name
    eight = (colors // 257).astype(np.uint8)
    Image.fromarray(eight).save(tmp_path / "eight.png")
    assert np.array_equal(pixel_values.read_vectors(tmp_path / "eight.png"), eight)
    Image.fromarray(eight[..., 0]).save(tmp_path / "gray.png")
    refused(tmp_path / "gray.png", "has one channel", pixel_values.read_vectors)
    whole = (tmp_path / "a.png").read_bytes()
    at = whole.index(b"IDAT") - 4
    for broken in (whole[: len(whole) // 2], whole[:at] + b"\x7f\xff\xff\xff" + whole[at + 4 :]):
        (tmp_path / "cut.png").write_bytes(broken)
        refused(tmp_path / "cut.png", "cut off", pixel_values.read_vectors)
