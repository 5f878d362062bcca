"""HEIC, AVIF and JPEG XL: read where the decoder is installed, and named where it is not."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.errors import InputError
from cn.images.frames import frames
from tests.helpers.image_files import corners

UPRIGHT = np.kron(corners(), np.ones((16, 16, 1), np.uint8))
TURNED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


@pytest.fixture
def heif():
    found = pytest.importorskip("pillow_heif", reason='needs the extra "heif"')
    found.register_heif_opener()
    return found


@pytest.fixture
def jxl():
    return pytest.importorskip("pillow_jxl", reason='needs the extra "jxl"')


def saved(array: np.ndarray, format: str, orientation: int = 1, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(data, format, exif=exif.tobytes(), **options)
    return data.getvalue()


def near(data: bytes, expected: np.ndarray, tolerance: float = 2) -> bool:
    read = images.decode(data, "a")
    return read.shape == expected.shape and np.abs(read.astype(int) - expected).mean() < tolerance


@pytest.mark.parametrize("orientation", TURNED)
def test_a_heic_is_turned_once(heif, orientation):
    """The file says it twice: as a transformation (irot, imir) and in EXIF."""
    data = saved(TURNED[orientation], "HEIF", orientation, quality=-1, chroma=444)
    assert (b"irot" in data or b"imir" in data) == (orientation > 1)
    assert near(data, UPRIGHT)


@pytest.mark.parametrize("orientation", TURNED)
def test_an_avif_is_turned_once(orientation):
    assert near(saved(TURNED[orientation], "AVIF", orientation, quality=100, subsampling="4:4:4"), UPRIGHT)


def test_a_jpeg_xl_made_of_a_jpeg_is_turned_once_and_other_exif_blocks_turn_nothing(jxl, tmp_path):
    """The codestream says how a JPEG XL is turned, and its EXIF block does not count (ISO 18181-2)."""
    (tmp_path / "a.jpg").write_bytes(saved(TURNED[6], "JPEG", 6, quality=95))
    with Image.open(tmp_path / "a.jpg") as image:
        image.save(tmp_path / "a.jxl", lossless_jpeg=True)
    assert near((tmp_path / "a.jxl").read_bytes(), UPRIGHT)
    assert near(saved(TURNED[6], "JXL", 6, lossless=True), TURNED[6])


def test_transparency_and_more_than_8_bits_of_a_heic(heif):
    rgba = np.dstack([UPRIGHT, np.full(UPRIGHT.shape[:2], 255, np.uint8)])
    rgba[:32, :32, 3] = 0
    read = images.decode(saved(rgba, "HEIF", quality=-1, chroma=444), "a")
    assert (read[4, 4] >= 253).all()
    assert np.abs(read[80, 64].astype(int) - 128).max() <= 2
    size = (UPRIGHT.shape[1], UPRIGHT.shape[0])
    deep = heif.from_bytes(mode="RGB;16", size=size, data=(UPRIGHT.astype(np.uint16) * 257).tobytes())
    data = io.BytesIO()
    deep.save(data, quality=-1, chroma=444)
    assert near(data.getvalue(), UPRIGHT)


def test_a_heic_with_a_thumbnail_is_one_frame_and_a_burst_is_several(heif, tmp_path):
    one = heif.from_pillow(Image.fromarray(UPRIGHT))
    one.save(tmp_path / "one.heic", quality=-1, thumbnails=[64])
    assert images.frame_count(tmp_path / "one.heic") == 1
    one.add_from_pillow(Image.fromarray(255 - UPRIGHT))
    one.save(tmp_path / "burst.heic", quality=-1, chroma=444)
    assert images.frame_count(tmp_path / "burst.heic") == 2
    first, second = (image for _, image in frames(tmp_path / "burst.heic"))
    assert np.abs(first.astype(int) - UPRIGHT).mean() < 2
    assert np.abs(second.astype(int) - (255 - UPRIGHT)).mean() < 2


def test_transparency_and_16_bits_of_a_jpeg_xl(jxl):
    rgba = np.dstack([UPRIGHT, np.full(UPRIGHT.shape[:2], 255, np.uint8)])
    rgba[0, 0, 3] = 0
    read = images.decode(saved(rgba, "JXL", lossless=True), "a")
    assert read[0, 0].tolist() == [255] * 3
    assert np.array_equal(read[1:], UPRIGHT[1:])
    values = (np.arange(64).reshape(8, 8) * 1040).astype(np.uint16)
    assert np.array_equal(images.decode(saved(values, "JXL", lossless=True), "a")[..., 0], np.round(values / 257))


@pytest.mark.parametrize("name", ["heif", "jxl"])
def test_damaged_files_are_input_errors(request, name):
    request.getfixturevalue(name)
    whole = saved(UPRIGHT, {"heif": "HEIF", "jxl": "JXL"}[name])
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(100):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            data[place] = rng.integers(0, 256)
        try:
            assert images.decode(bytes(data[: rng.integers(1, 2 * len(data))]), "a").dtype == np.uint8
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert not any("\n" in message for message in messages)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
JXL = b"\xff\x0a" + bytes(100)


@pytest.mark.parametrize(("data", "module", "extra"), [(HEIC, "pillow_heif", "heif"), (JXL, "pillow_jxl", "jxl")])
def test_without_the_extra_the_message_names_it(monkeypatch, data, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf'needs an extra: pip install "controlnet-cn\[{extra}\]"'):
        images.decode(data, "a")


def test_plugins_are_loaded_when_a_file_needs_them(tmp_path):
    images.write(tmp_path / "a.png", UPRIGHT)
    script = "import sys; from cn import images; images.read('a.png'); print(*sys.modules)"
    environment = {"PYTHONPATH": str(Path(images.__file__).parents[2]), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not {"pillow_heif", "pillow_jxl"} & set(done.stdout.split())
