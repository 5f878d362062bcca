"""Any image file is read as upright RGB."""

import contextlib
import io
import struct
import zlib

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from cn import images
from cn.errors import InputError
from tests.helpers.image_files import BLUE, GREEN, RED, corners, png, save


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_exif_rotation(tmp_path, orientation, suffix):
    upright = corners()
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", Image.fromarray(np.ascontiguousarray(turned)), exif=exif, **options)
    assert np.array_equal(images.read(path), upright)


def test_exif_rotation_of_a_jpeg(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    large = np.kron(corners(), np.ones((16, 16, 1), np.uint8))
    path = save(tmp_path / "a.jpg", Image.fromarray(np.ascontiguousarray(np.rot90(large))), exif=exif, quality=95)
    read = images.read(path)
    assert read.shape == large.shape
    assert np.abs(read[8, 8].astype(int) - RED).max() < 12
    assert np.abs(read[8, -8].astype(int) - GREEN).max() < 12


def test_a_damaged_exif_block_is_ignored(tmp_path):
    path = save(tmp_path / "a.jpg", Image.fromarray(corners()), exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert images.read(path).shape == (6, 8, 3)


OLD_PILLOW = int(PIL.__version__.split(".")[0]) < 13
YCBCR = pytest.param("YCbCr", marks=pytest.mark.skipif(OLD_PILLOW, reason="cannot read the YCbCr TIFF that it writes"))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", YCBCR, "RGBX"])
def test_opaque_modes(tmp_path, mode):
    image = Image.fromarray(corners()).convert("RGB").convert(mode)
    suffix = ".tif" if mode in ("YCbCr", "RGBX") else ".png"
    read = images.read(save(tmp_path / f"a{suffix}", image))
    assert read.dtype == np.uint8
    assert np.array_equal(read, np.asarray(image.convert("RGB")))
    assert read.flags.writeable


def test_transparency_is_composited_over_white(tmp_path):
    rgba = np.dstack([corners(), np.full((6, 8), 255, np.uint8)])
    rgba[0, 0, 3], rgba[0, -1, 3], rgba[-1, 0, 3] = 0, 128, 64
    read = images.read(save(tmp_path / "a.png", Image.fromarray(rgba)))
    alpha = rgba[..., 3:] / 255
    assert np.abs(read - (rgba[..., :3] * alpha + 255 * (1 - alpha))).max() <= 0.5 + 1e-9
    assert read[0, 0].tolist() == [255, 255, 255]


def test_gray_with_alpha_and_palette_and_color_key_transparency(tmp_path):
    la = np.dstack([np.full((4, 4), 40, np.uint8), np.full((4, 4), 255, np.uint8)])
    la[0, 0, 1] = 0
    read = images.read(save(tmp_path / "la.png", Image.fromarray(la, "LA")))
    assert read[0, 0].tolist() == [255] * 3
    assert read[1, 1].tolist() == [40] * 3

    palette = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    palette.putpalette([*RED, *GREEN, *BLUE])
    read = images.read(save(tmp_path / "p.png", palette, transparency=1))
    assert read.tolist() == [[list(RED), [255] * 3], [list(BLUE), [255] * 3]]
    read = images.read(save(tmp_path / "bytes.png", palette, transparency=bytes([255, 0, 128])))
    assert read[0].tolist() == [list(RED), [255] * 3]
    assert np.abs(read[1, 0] - (np.array(BLUE) * 128 + 255 * 127) / 255).max() <= 0.5

    read = images.read(save(tmp_path / "key.png", Image.fromarray(corners()), transparency=RED))
    assert read[0, 0].tolist() == [255] * 3
    assert read[0, -1].tolist() == list(GREEN)
    read = images.read(save(tmp_path / "gray_key.png", Image.new("L", (2, 2), 7), transparency=7))
    assert (read == 255).all()


@pytest.mark.parametrize(("color_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_are_scaled_not_cut_off(tmp_path, color_type, channels):
    values = np.linspace(0, 65535, 64 * channels).astype(">u2").reshape(8, 8, channels)
    if channels in (2, 4):
        values[..., -1] = 65535
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    path = tmp_path / "deep.png"
    path.write_bytes(png(8, 8, 16, color_type, rows))
    expected = values[..., : 3 if channels > 2 else 1] / 257
    assert np.abs(images.read(path) - expected).max() < 1.0


def test_sixteen_bit_gray_in_tiff_and_through_pillow(tmp_path):
    values = (np.arange(64).reshape(8, 8) * 1040).astype(np.uint16)
    for name in ("a.tif", "a.png"):
        read = images.read(save(tmp_path / name, Image.fromarray(values)))
        assert np.array_equal(read[..., 0], np.round(values / 257))
        assert np.array_equal(read[..., 0], read[..., 2])


def test_sixteen_bit_gray_with_a_transparent_value(tmp_path):
    values = np.array([[1000, 65535]], ">u2")
    data = struct.pack(">H", 1000)
    extra = struct.pack(">I", 2) + b"tRNS" + data + struct.pack(">I", zlib.crc32(b"tRNS" + data))
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, 16, 0, b"\0" + values.tobytes(), extra))
    assert images.read(path)[0].tolist() == [[255] * 3, [255] * 3]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[0.0, 25700.0, 65535.0]], np.float32), [0, 100, 255]),
        (np.array([[np.nan, -3.0, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[0, 500_000, 1_000_000]], np.int32), [0, 128, 255]),
    ],
)
def test_float_and_32_bit_images(tmp_path, values, expected):
    read = images.read(save(tmp_path / "a.tif", Image.fromarray(values)))
    assert read[0, :, 1].tolist() == expected


def test_cmyk_jpegs_with_and_without_the_marker_of_adobe(tmp_path):
    cmyk = Image.fromarray(np.kron(corners(4, 4), np.ones((8, 8, 1), np.uint8))).convert("CMYK")
    data = io.BytesIO()
    cmyk.save(data, "JPEG", quality=100)
    adobe = data.getvalue()
    assert b"Adobe" in adobe
    expected = np.asarray(cmyk.convert("RGB")).astype(int)
    assert np.abs(images.decode(adobe, "a") - expected).max() < 16
    at = adobe.index(b"\xff\xee")
    plain = adobe[:at] + adobe[at + 2 + struct.unpack(">H", adobe[at + 2 : at + 4])[0] :]
    # Without the marker the same numbers mean inks and not their absence.
    inks = 255 - np.asarray(cmyk)
    inverted = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB")).astype(int)
    assert np.abs(images.decode(plain, "a") - inverted).max() < 16


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_the_first_frame_of_an_animation_is_read(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 6), color) for color in (RED, GREEN, BLUE)]
    options = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", frames[0], save_all=True, append_images=frames[1:], duration=100, **options)
    read = images.read(path)
    assert read.shape == (6, 8, 3)
    assert np.abs(read[0, 0].astype(int) - RED).max() <= 4


def test_an_embedded_profile_and_a_transparent_gif_are_accepted(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert images.read(save(tmp_path / "a.png", Image.fromarray(corners()), icc_profile=profile)).shape == (6, 8, 3)
    gif = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    gif.putpalette([*RED, *GREEN])
    read = images.read(save(tmp_path / "a.gif", gif, transparency=0))
    assert read[0].tolist() == [[255] * 3, list(GREEN)]


def test_an_open_image_of_pillow_keeps_its_own_rows_and_columns(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", Image.fromarray(corners()), exif=exif)
    with Image.open(path) as image:
        assert np.array_equal(images.as_rgb(image), corners())
    assert images.read(path).shape == (8, 6, 3)


@pytest.mark.parametrize("kind", [b"tEXt", b"iCCP", b"eXIf"])
def test_damaged_metadata_does_not_cost_the_image(kind):
    data = kind + b"key\0value"
    extra = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data) ^ 1)
    read = images.decode(png(2, 2, 8, 0, b"\0\x05\x06\0\x07\x08", extra), "a.png")
    assert read[..., 0].tolist() == [[5, 6], [7, 8]]


def noise_png() -> bytes:
    return images.encode(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"just some words\n", "not an image but text"),
        ("Größe: äöü\n".encode() * 100, "not an image but text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS"),
        (bytes(range(256)) * 4, "not an image"),
        (noise_png()[:3000], "broken or cut off"),
        (noise_png()[:20], "broken or cut off"),
        (b"\xff\xd8\xff\xe0", "broken or cut off"),
    ],
    ids=["empty", "text", "utf8", "lfs", "binary", "truncated", "headless", "jpeg"],
)
def test_other_files_are_refused_with_path_and_reason(tmp_path, content, reason):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        images.read(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_folders_and_forbidden_files(tmp_path):
    for path, reason in ((tmp_path / "no.png", "no such file"), (tmp_path, "is a folder")):
        with pytest.raises(InputError, match=reason):
            images.read(path)


def test_a_decompression_bomb_is_refused_before_it_is_decoded():
    bomb = png(60_000, 60_000, 8, 0, b"\0" * 1000)
    with pytest.raises(InputError, match=r"3,600 million pixels are too many \(at most 200 million\)"):
        images.decode(bomb, "bomb.png")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_damaged_files_never_crash(seed, count):
    rng = np.random.default_rng(seed)
    data = bytearray(noise_png())
    for place in rng.integers(0, len(data), count):
        data[place] = rng.integers(0, 256)
    with contextlib.suppress(InputError):
        assert images.decode(bytes(data), "a.png").dtype == np.uint8
