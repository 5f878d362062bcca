"""Animations and files of several pages."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.errors import InputError
from cn.images.frames import frames
from tests.helpers.image_files import BLUE, GREEN, RED, corners, save

COLORS = (RED, GREEN, BLUE)


def solid(color: tuple[int, int, int], size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.new("RGB", size, color)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif", ".avif"])
def test_every_frame_is_counted_and_read(tmp_path, suffix):
    options = {".webp": {"lossless": True}, ".avif": {"quality": 100}}.get(suffix, {})
    if suffix != ".tif":
        options["duration"] = 100
    path = save(
        tmp_path / f"a{suffix}", solid(RED), save_all=True, append_images=[solid(GREEN), solid(BLUE)], **options
    )
    assert images.frame_count(path) == 3
    for number, color in enumerate(COLORS):
        assert np.abs(images.read_frame(path, number)[0, 0].astype(int) - color).max() <= 4
    assert [number for number, _ in frames(path)] == [0, 1, 2]
    assert all(np.array_equal(image, images.read_frame(path, number)) for number, image in frames(path))
    with pytest.raises(InputError, match="has no frame 4"):
        images.read_frame(path, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".webp", ".tif", ".bmp", ".avif", ".ppm", ".tga"])
def test_a_still_image_has_one_frame(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", solid(RED))
    assert images.frame_count(path) == 1
    assert np.array_equal(images.read_frame(path, 0), images.read(path))


def test_a_missing_or_broken_file_has_one_frame(tmp_path):
    (tmp_path / "b.gif").write_bytes(b"GIF89a")
    assert images.frame_count(tmp_path / "no.gif") == images.frame_count(tmp_path / "b.gif") == 1


def test_partial_frames_of_a_gif_are_shown_as_a_viewer_shows_them(tmp_path):
    """Only a corner changes: the second frame is the first with that corner."""
    second = solid(RED)
    second.paste(GREEN, (0, 0, 2, 2))
    path = save(tmp_path / "a.gif", solid(RED), save_all=True, append_images=[second], duration=100, disposal=1)
    read = images.read_frame(path, 1)
    assert np.abs(read[0, 0].astype(int) - GREEN).max() <= 4
    assert np.abs(read[5, 7].astype(int) - RED).max() <= 4


def test_the_second_image_of_an_mpo_and_the_sizes_of_an_icon_are_no_frames(tmp_path):
    mpo = save(tmp_path / "a.mpo", solid(RED), format="MPO", save_all=True, append_images=[solid(GREEN)])
    with Image.open(mpo) as image:
        assert image.n_frames == 2
    assert images.frame_count(mpo) == 1
    icon = save(tmp_path / "a.ico", solid(RED, (64, 64)), sizes=[(16, 16), (32, 32), (64, 64)])
    assert images.frame_count(icon) == 1
    assert images.read(icon).shape == (64, 64, 3)


def test_an_apng_that_announces_more_frames_than_it_has(tmp_path):
    path = save(tmp_path / "a.png", solid(RED), save_all=True, append_images=[solid(GREEN)], duration=100)
    data = path.read_bytes()
    at = data.index(b"acTL") + 4
    path.write_bytes(data[:at] + struct.pack(">I", 1_000_000_000) + data[at + 4 :])
    assert images.frame_count(path) == 2


def tiff(*directories: list[tuple[int, int, int]], loop: bool = False) -> bytes:
    """A little-endian TIFF of 2×2 gray pages; each directory has extra (tag, type, value) entries."""
    data = bytearray(b"II*\0\x0c\0\0\0" + bytes([10, 20, 30, 40]))
    for number, extra in enumerate(directories):
        entries = [
            (256, 3, 2),
            (257, 3, 2),
            (258, 3, 8),
            (259, 3, 1),
            (262, 3, 1),
            (273, 4, 8),
            (278, 3, 2),
            (279, 4, 4),
        ]
        entries = sorted(entries + extra)
        last = number == len(directories) - 1
        following = 12 if last and loop else 0 if last else len(data) + 2 + 12 * len(entries) + 4
        data += struct.pack("<H", len(entries))
        data += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
        data += struct.pack("<I", following)
    return bytes(data)


def test_previews_and_masks_of_a_tiff_are_no_pages(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([], [(254, 4, 1)], [(254, 4, 4)], [(254, 4, 2)]))
    assert images.frame_count(path) == 2
    assert images.read_frame(path, 1)[..., 0].tolist() == [[10, 20], [30, 40]]


def test_a_tiff_that_begins_with_its_preview(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([(254, 4, 1), (315, 2, 65)], []))
    assert images.frame_count(path) == 1
    assert images.read(path).shape == (2, 2, 3)


def test_a_chain_of_directories_that_is_a_loop_ends(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([], [], loop=True))
    assert images.frame_count(path) == 2
    assert images.read(path)[..., 0].tolist() == [[10, 20], [30, 40]]


def test_frames_that_are_cut_off_come_after_those_that_are_not(tmp_path):
    pages = [Image.fromarray(np.random.default_rng(n).integers(0, 255, (32, 32), dtype=np.uint8)) for n in range(3)]
    data = io.BytesIO()
    pages[0].save(data, "GIF", save_all=True, append_images=pages[1:])
    path = tmp_path / "a.gif"
    path.write_bytes(data.getvalue()[:-900])
    found = frames(path)
    assert next(found)[0] == 0
    with pytest.raises(InputError, match=r"a\.gif: .*broken or cut off"):
        list(found)


@pytest.mark.parametrize("format", ["GIF", "TIFF"])
def test_what_is_missing_of_a_file_that_is_cut_off_is_said(tmp_path, format):
    pages = [Image.fromarray(np.random.default_rng(n).integers(0, 255, (32, 32), dtype=np.uint8)) for n in range(6)]
    data = io.BytesIO()
    pages[0].save(data, format, save_all=True, append_images=pages[1:])
    path = tmp_path / "a"
    path.write_bytes(data.getvalue()[: len(data.getvalue()) * 2 // 3])
    found = frames(path)
    assert [next(found)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match=r"a: .*broken or cut off"):
        list(found)
    # The last one is the one that is broken.
    assert images.frame_count(path) in (4, 5)


def test_a_page_that_points_behind_the_file_is_still_one(tmp_path):
    data = io.BytesIO()
    Image.new("L", (8, 8)).save(data, "TIFF")
    whole = bytearray(data.getvalue())
    (start,) = struct.unpack_from("<I", whole, 4)
    (count,) = struct.unpack_from("<H", whole, start)
    struct.pack_into("<I", whole, start + 2 + 12 * count, 1 << 30)
    (tmp_path / "a.tif").write_bytes(whole)
    assert images.frame_count(tmp_path / "a.tif") == 1


def test_a_rotated_page_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(corners())))
    path = save(tmp_path / "a.tif", turned, exif=exif)
    assert np.array_equal(images.read_frame(path, 0), corners())
