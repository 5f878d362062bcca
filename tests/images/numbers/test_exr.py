"""OpenEXR: which channel is taken, and where its pixels lie in the image."""

import numpy as np
import pytest

from cn.errors import InputError
from cn.images import pixel_values
from cn.images.numbers import layers

exr = pytest.importorskip("OpenEXR")

DEPTH = np.arange(1, 601, dtype=np.float32).reshape(20, 30)
COLOR = {name: DEPTH.astype(np.float16) + n for n, name in enumerate("RGB")}


def save(path, channels, **header):
    exr.File({"type": exr.scanlineimage, "compression": exr.ZIP_COMPRESSION, **header}, channels).write(str(path))
    return path


def window(left, top, right, bottom):
    return np.array([left, top], np.int32), np.array([right, bottom], np.int32)


def refused(path, what, read=pixel_values.read_stored, **options):
    with pytest.raises(InputError) as error:
        read(path, **options)
    assert str(error.value).startswith(str(path))
    assert what in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint32"])
@pytest.mark.parametrize("compression", ["NO", "ZIP", "PIZ", "ZIPS", "RLE"])
def test_types_and_compressions(tmp_path, dtype, compression):
    path = save(tmp_path / "a.exr", {"Z": DEPTH.astype(dtype)}, compression=getattr(exr, f"{compression}_COMPRESSION"))
    stored = pixel_values.read_stored(path)
    assert (stored.values.dtype, stored.channel) == (np.dtype(dtype), "Z")
    assert np.array_equal(stored.values, DEPTH.astype(dtype))


def test_tiles(tmp_path):
    save(tmp_path / "a.exr", {"Z": DEPTH}, type=exr.tiledimage, tiles=exr.TileDescription())
    assert np.array_equal(pixel_values.read(tmp_path / "a.exr"), DEPTH)


def test_the_channel_that_must_be_meant_and_the_one_that_is_named(tmp_path):
    names = {f"ViewLayer.Combined.{name}": value for name, value in COLOR.items()}
    names |= {f"ViewLayer.Normal.{name}": DEPTH for name in "XYZ"}
    path = save(tmp_path / "a.exr", names | {"ViewLayer.Depth.Z": DEPTH * 2, "ViewLayer.Mist.Z": DEPTH * 3})
    assert np.array_equal(pixel_values.read(path), DEPTH * 2)
    assert np.array_equal(pixel_values.read_stored(path, "ViewLayer.Mist.Z").values, DEPTH * 3)
    assert np.array_equal(pixel_values.read_stored(path, "viewlayer.mist.z").values, DEPTH * 3)
    refused(path, "has no channel 'Q'; it has ViewLayer.Combined.B, ", channel="Q")
    assert np.array_equal(pixel_values.read_vectors(path), np.dstack([DEPTH] * 3)), "normals by their name"
    colors = pixel_values.read_vectors(path, "ViewLayer.Combined")
    assert np.array_equal(colors, np.dstack(list(COLOR.values())))
    gray = save(tmp_path / "gray.exr", {"Z": DEPTH})
    refused(gray, "which channels are the normals? It has Z; name with --channel", pixel_values.read_vectors)
    refused(path, "has no Nothing.X, .Y and .Z", pixel_values.read_vectors, channel="Nothing")


def test_several_parts(tmp_path):
    parts = [
        exr.Part({"name": "rgb"}, dict(COLOR)),
        exr.Part({"name": "left"}, {"Z": DEPTH}),
        exr.Part({"name": "right"}, {"Z": DEPTH + 1}),
    ]
    exr.File(parts[:2]).write(str(tmp_path / "one.exr"))
    assert np.array_equal(pixel_values.read(tmp_path / "one.exr"), DEPTH)
    exr.File(parts).write(str(tmp_path / "two.exr"))
    refused(tmp_path / "two.exr", "name one with --channel")
    assert np.array_equal(pixel_values.read_stored(tmp_path / "two.exr", "right.Z").values, DEPTH + 1)


def test_depth_in_colors(tmp_path):
    gray = save(tmp_path / "gray.exr", dict.fromkeys("RGB", DEPTH))
    red = save(tmp_path / "red.exr", {"R": DEPTH, "G": np.zeros_like(DEPTH), "B": np.zeros_like(DEPTH)})
    for path in (gray, red):
        assert np.array_equal(pixel_values.read(path), DEPTH)
    refused(save(tmp_path / "color.exr", COLOR), "has colors, not depth")
    refused(save(tmp_path / "other.exr", {"foo": DEPTH, "bar": DEPTH}), "which channel? It has bar, foo")


def test_the_image_is_the_display_window(tmp_path):
    smaller = save(
        tmp_path / "a.exr", {"Z": DEPTH}, dataWindow=window(5, 6, 34, 25), displayWindow=window(0, 0, 49, 39)
    )
    found = pixel_values.read(smaller)
    assert found.shape == (40, 50)
    assert np.array_equal(found[6:26, 5:35], DEPTH)
    assert np.isnan(found).sum() == 40 * 50 - 600
    larger = save(tmp_path / "b.exr", {"Z": DEPTH}, dataWindow=window(-5, -4, 24, 15), displayWindow=window(0, 0, 9, 9))
    assert np.array_equal(pixel_values.read(larger), DEPTH[4:14, 5:15])


def test_broken_files_are_one_error_and_nothing_is_printed(tmp_path, capfd):
    slope = np.linspace(1, 9, 60_000, dtype=np.float32).reshape(200, 300)
    path = save(tmp_path / "a.exr", {"Z": slope})
    whole = path.read_bytes()
    for end in (4, 10, 100, 300, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:end])
        refused(path, "broken or cut off")
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 400] = bytes(400)
    path.write_bytes(damaged)
    refused(path, "broken or cut off")
    assert capfd.readouterr() == ("", "")


def test_a_size_that_the_file_cannot_hold(tmp_path):
    whole = save(tmp_path / "a.exr", {"Z": DEPTH}, dataWindow=window(0, 0, 29, 19)).read_bytes()
    at = whole.index(b"dataWindow\0box2i\0") + len(b"dataWindow\0box2i\0") + 4
    for side in (13_999, 99_999):
        forged = bytearray(whole)
        forged[at + 8 : at + 16] = np.array([side, side], "<i4").tobytes()
        (tmp_path / "b.exr").write_bytes(forged)
        refused(tmp_path / "b.exr", "cannot hold" if side < 20_000 else "too many")


def test_a_tile_that_the_file_cannot_hold(tmp_path):
    whole = save(tmp_path / "a.exr", {"Z": DEPTH}, type=exr.tiledimage, tiles=exr.TileDescription()).read_bytes()
    at = whole.index(b"tiles\0tiledesc\0") + len(b"tiles\0tiledesc\0") + 4
    (tmp_path / "b.exr").write_bytes(whole[:at] + np.array([32, 6_000_000], "<u4").tobytes() + whole[at + 8 :])
    refused(tmp_path / "b.exr", "cannot hold")


@pytest.mark.parametrize("compression", ["ZIP", "PIZ", "RLE", "PXR24", "B44", "DWAA"])
@pytest.mark.parametrize("tiled", [False, True])
def test_a_large_constant_image_compresses_well_and_is_read(tmp_path, compression, tiled):
    kind = {"type": exr.tiledimage, "tiles": exr.TileDescription()} if tiled else {}
    sky = np.full((1500, 2000), 1e10, np.float32)
    save(tmp_path / "a.exr", {"Z": sky}, compression=getattr(exr, f"{compression}_COMPRESSION"), **kind)
    assert pixel_values.read(tmp_path / "a.exr").shape == (1500, 2000)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    path = save(tmp_path / "a.exr", {"Z": DEPTH})
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    refused(path, 'pip install "controlnet-cn[exr]"')


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (["A", "Z"], "Z"),
        (["Y"], "Y"),
        (["R", "G", "B", "depth.Z"], "depth.Z"),
        (["View Layer.Depth.V", "View Layer.Combined.R"], "View Layer.Depth.V"),
        (["R", "G", "B", "ViewLayer.Mist.V"], "ViewLayer.Mist.V"),
        (["N.X", "N.Y", "N.Z"], None),
        (["X", "Y", "Z"], None),
        (["a.depth", "b.depth"], None),
        (["Z", "depth.first", "depth.second"], "Z"),
        (["image", "disp_left"], "disp_left"),
        (["depth_min", "depth_max", "depth"], "depth"),
        ([], None),
    ],
)
def test_names_that_mean_depth(names, meant):
    assert layers.depth(names) == meant
