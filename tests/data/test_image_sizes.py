"""The sizes of images from the beginnings of their files, and decoding them no larger than needed."""

import io

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.data import image_sizes
from cn.data.image_sizes import quick_size, read_sizes
from cn.data.pairs import open_pairs
from cn.errors import InputError
from cn.images.reader import decode, decode_near
from tests.conftest import write_pairs
from tests.helpers.pair_layouts import LAYOUTS

RNG = np.random.default_rng(0)


def encoded(width: int, height: int, format: str, orientation: int = 1, **given) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    coarse = RNG.integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, format, exif=exif, **given)
    return file.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_size_is_that_of_the_image_as_it_is_read(format, orientation, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(encoded(70, 40, format, orientation))
    width, height = quick_size(path)
    assert (height, width) == images.read(path).shape[:2] == ((40, 70) if orientation == 1 else (70, 40))


def test_of_a_large_file_only_the_beginning_is_read(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    path.write_bytes(encoded(600, 500, "PNG") + bytes(1 << 20))
    monkeypatch.setattr(image_sizes, "read_bytes", pytest.fail)
    assert quick_size(path) == (600, 500)
    path.write_bytes(encoded(600, 500, "JPEG") + bytes(1 << 20))
    assert quick_size(path) == (600, 500)


def test_what_cannot_be_read_has_no_size(tmp_path):
    data = write_pairs(tmp_path / "a", 4)
    (data / "target/1.png").write_bytes(b"nothing")
    (data / "target/2.png").unlink()
    assert read_sizes(open_pairs(data, "depth")).tolist() == [[64, 64], [0, 0], [0, 0], [64, 64]]
    assert read_sizes(open_pairs(data, "depth"), [3, 1]).tolist() == [[64, 64], [0, 0]]
    with pytest.raises(InputError, match="nothing"):
        quick_size(tmp_path / "nothing")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sizes_of_every_layout(layout, tmp_path):
    data = write_pairs(tmp_path / "a", 3, size=64)
    images.write(data / "target/1.png", np.zeros((32, 96, 3), np.uint8))
    pairs = open_pairs(LAYOUTS[layout](data, tmp_path / layout), "depth")
    assert read_sizes(pairs).tolist() == [[64, 64], [32, 96], [64, 64]]


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_smaller_but_not_smaller_than_wanted(orientation):
    data = encoded(1200, 800, "JPEG", orientation, quality=95)
    turned = orientation == 6
    for shape, wanted in (((150, 100), (150, 225)), ((200, 100), (200, 300)), ((500, 700), (800, 1200))):
        upright = shape[::-1] if turned else shape
        found = decode_near(data, "a.jpg", upright)
        assert found.shape[:2] == (wanted[::-1] if turned else wanted) or found.shape[:2] >= upright
        assert found.shape[0] >= upright[0]
        assert found.shape[1] >= upright[1]
    whole = decode(data, "a.jpg")
    small = decode_near(data, "a.jpg", (100, 100))
    assert max(small.shape) < 400
    same = images.resize(whole, small.shape[:2])
    assert np.abs(small.astype(int) - same).mean() < 3
    with pytest.raises(InputError, match="broken or cut off"):
        decode_near(data[:3000], "a.jpg", (100, 100))
    assert np.array_equal(decode_near(encoded(300, 200, "PNG"), "a.png", (50, 50)).shape, (200, 300, 3))
