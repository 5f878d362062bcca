"""`.npy`, `.npz` and `.pfm`: which array is taken, and that a header is not believed."""

import io
import zipfile

import numpy as np
import pytest

from cn.errors import InputError
from cn.images import pixel_values

DEPTH = np.arange(1, 13, dtype=np.float32).reshape(3, 4)


def refused(path, what, **options):
    with pytest.raises(InputError) as error:
        pixel_values.read_stored(path, **options)
    assert str(error.value).startswith(str(path))
    assert what in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", ">f4", "uint8", "uint16", "int32", "uint64", "bool"]
)
def test_arrays_of_every_number_type_are_unchanged(tmp_path, dtype):
    np.save(tmp_path / "a.npy", DEPTH.astype(dtype))
    np.savez_compressed(tmp_path / "a.npz", DEPTH.astype(dtype))
    for name in ("a.npy", "a.npz"):
        assert np.array_equal(pixel_values.read(tmp_path / name), DEPTH.astype(dtype))


@pytest.mark.parametrize("shape", [(3, 4), (1, 3, 4), (3, 4, 1), (1, 1, 3, 4), (1, 3, 4, 1)])
def test_axes_of_length_one_are_dropped(tmp_path, shape):
    np.save(tmp_path / "a.npy", DEPTH.reshape(shape))
    assert np.array_equal(pixel_values.read(tmp_path / "a.npy"), DEPTH)


def test_the_array_that_must_be_meant(tmp_path):
    np.savez(tmp_path / "a.npz", depth=DEPTH, K=np.eye(3), mask=DEPTH > 2)
    assert np.array_equal(pixel_values.read_stored(tmp_path / "a.npz").values, DEPTH)
    assert pixel_values.read_stored(tmp_path / "a.npz").channel == "depth"
    np.savez(tmp_path / "b.npz", first=DEPTH, second=DEPTH + 1)
    refused(tmp_path / "b.npz", "which channel? It has first, second; name one with --channel")
    assert np.array_equal(pixel_values.read_stored(tmp_path / "b.npz", "second").values, DEPTH + 1)
    refused(tmp_path / "b.npz", "has no channel 'third'; it has first, second", channel="third")
    np.savez(tmp_path / "d.npz", a=DEPTH, b=DEPTH + 1)
    refused(tmp_path / "d.npz", "which channel? It has a, b")
    np.savez(tmp_path / "c.npz", depth_mask=DEPTH > 0, depth_gt=DEPTH)
    assert pixel_values.read_stored(tmp_path / "c.npz").channel == "depth_gt"


def test_a_channel_of_a_file_without_names_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", DEPTH)
    refused(tmp_path / "a.npy", "has no named channels", channel="Z")


def header(shape, dtype="<f4"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (header((14_000, 14_000)), "the array is broken or cut off"),
        (header((10**6, 10**6)), "pixels are too many"),
        (header((-5, 4)), "broken"),
        (header((3, 4), "|O"), "holds Python objects"),
        (header((3, 4), "<c8") + bytes(96), "holds complex numbers"),
        (header((3, 4), "<U1") + bytes(48), "holds <U1"),
        (header((3, 4))[:20], "broken"),
        (b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16, "broken"),
        (b"\x93NUMPY\x07\x00\x10\x00" + b" " * 16, "broken"),
    ],
)
def test_headers_are_not_believed(tmp_path, data, what):
    (tmp_path / "a.npy").write_bytes(data)
    refused(tmp_path / "a.npy", what)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", data)
    refused(tmp_path / "a.npz", what)


def test_an_array_of_too_many_pixels_is_refused_before_it_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_values, "MAX_PIXELS", DEPTH.size - 1)
    np.savez_compressed(tmp_path / "a.npz", depth=DEPTH)
    refused(tmp_path / "a.npz", "pixels are too many")


def test_broken_archives(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", np.random.default_rng(0).random((50, 50)))
    whole = (tmp_path / "a.npz").read_bytes()
    for end in (10, 60, len(whole) // 2, len(whole) - 3):
        (tmp_path / "b.npz").write_bytes(whole[:end])
        refused(tmp_path / "b.npz", "broken or cut off")
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    (tmp_path / "b.npz").write_bytes(damaged)
    refused(tmp_path / "b.npz", "broken or cut off")
    with zipfile.ZipFile(tmp_path / "empty.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    refused(tmp_path / "empty.npz", "broken")


# ---- .pfm ----


def pfm(values, *, order="<", kind="Pf", scale=1.0):
    height, width = values.shape[:2]
    sign = "-" if order == "<" else ""
    return f"{kind}\n{width} {height}\n{sign}{scale}\n".encode() + values[::-1].astype(f"{order}f4").tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_float_maps_in_both_byte_orders_with_the_bottom_row_first(tmp_path, order):
    stored = DEPTH.copy()
    stored[0, 0] = np.inf
    (tmp_path / "a.pfm").write_bytes(pfm(stored, order=order, scale=0.5))
    assert np.array_equal(pixel_values.read(tmp_path / "a.pfm"), stored)


@pytest.mark.parametrize("comment", [b"", b"# made by hand\r\n"])
def test_lines_of_windows_do_not_shift_the_numbers(tmp_path, comment):
    for order in "<>":
        head, size, scale, data = pfm(DEPTH, order=order).split(b"\n", 3)
        (tmp_path / "a.pfm").write_bytes(b"\r\n".join([head, comment + size, scale, data]))
        assert np.array_equal(pixel_values.read(tmp_path / "a.pfm"), DEPTH)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (pfm(np.zeros((3, 4, 3)), kind="PF"), "three channels"),
        (pfm(DEPTH)[:-3], "broken or cut off"),
        (b"Pf\n14000 14000\n-1\n" + bytes(99), "cannot hold"),
        (b"Pf\n3 4\n", "broken or cut off"),
        (b"Pf\n3 4\n0\n" + bytes(48), "broken or cut off"),
        (b"Pf\nx 4\n-1\n" + bytes(48), "broken or cut off"),
    ],
)
def test_broken_float_maps(tmp_path, data, what):
    (tmp_path / "a.pfm").write_bytes(data)
    refused(tmp_path / "a.pfm", what)
