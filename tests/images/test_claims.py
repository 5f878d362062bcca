"""What a file claims is not believed before its data can hold it; what it costs is bounded."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.errors import InputError
from cn.images import jxl_header
from cn.images.frames import frames
from tests.helpers.bombs import SIDE, bombs, write_bombs
from tests.helpers.image_files import png

READ = """if True:
    import json, resource, sys
    from pathlib import Path
    import numpy, PIL.Image
    from cn import images
    from cn.errors import InputError
    from cn.images.frames import frames
    PIL.Image.init()
    results, before = {}, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in sorted(Path(sys.argv[1]).iterdir()):
        images.frame_count(path)
        images.read_info(path) if "text" in path.name else None
        try:
            results[path.name] = [list(image.shape) for _, image in frames(path)]
        except InputError as error:
            results[path.name] = error.what
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        results[path.name] = [results[path.name], (after - before) // 1024]
        before = after
    print(json.dumps(results))
"""


def test_no_small_file_costs_memory(tmp_path):
    """All in one process: how much each raises its peak, in MB."""
    write_bombs(tmp_path)
    assert len(list(tmp_path.iterdir())) == len(bombs()) + 5
    environment = {"PYTHONPATH": str(Path(images.__file__).parents[2]), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True, env=environment, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    results = json.loads(done.stdout)
    # Reading the text of a PNG takes as much as text may be long.
    dear = {name: cost for name, (_, cost) in results.items() if cost > (160 if "text" in name else 32)}
    assert dear == {}
    read = {name: result for name, (result, _) in results.items() if isinstance(result, list)}
    assert read == {name: [[8, 8, 3]] for name in ("text.png", "international.png", "profile.png")}


@pytest.mark.parametrize("name", sorted(set(bombs()) - {"bare.jxl"}))
def test_what_cannot_hold_its_pixels_is_said_to_be_cut_off(name):
    with pytest.raises(InputError, match=r"bytes cannot hold the \d+×\d+ pixels that it claims to have") as caught:
        images.decode(bombs()[name], name)
    assert caught.value.path == name


def test_the_canvas_of_an_animation_is_not_larger_than_a_frame_can_be():
    """A valid animation whose canvas is said to be 6,881,292 × 4."""
    data = io.BytesIO()
    two = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    two[0].save(data, "WEBP", save_all=True, append_images=two[1:])
    place = data.getvalue().index(b"VP8X") + 12
    wide = data.getvalue()[:place] + (6_881_291).to_bytes(3, "little") + (3).to_bytes(3, "little")
    with pytest.raises(InputError, match="cannot hold the 6881292×4 pixels"):
        images.decode(wide + data.getvalue()[place + 6 :], "a.webp")


def flat(format: str, mode: str = "RGB", **options: object) -> bytes:
    data = io.BytesIO()
    Image.new(mode, (3000, 2000)).save(data, format, **options)
    return data.getvalue()


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        *[("PNG", mode, {"compress_level": 9}) for mode in ("1", "L", "RGB", "RGBA", "I;16")],
        ("PNG", "P", {"compress_level": 9, "bits": 1}),
        ("GIF", "P", {}),
        ("JPEG", "L", {"quality": 1, "optimize": True}),
        ("JPEG", "L", {"quality": 1, "progressive": True}),
        ("JPEG", "RGB", {"quality": 1, "progressive": True, "subsampling": "4:2:0"}),
        *[("TIFF", "RGB", {"compression": name}) for name in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "zstd")],
        *[("TIFF", "1", {"compression": name}) for name in ("group3", "group4", "tiff_lzw", "tiff_deflate")],
        ("BMP", "1", {}),
        ("TGA", "L", {"compression": "tga_rle"}),
        ("PPM", "1", {}),
        ("JPEG2000", "L", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("AVIF", "RGB", {"speed": 10}),
    ],
)
def test_a_flat_image_compresses_well_and_is_read(format, mode, options):
    assert images.decode(flat(format, mode, **options), "flat").shape == (2000, 3000, 3)


def test_the_densest_png_there_is():
    """Every byte of its data stands for 1032: what zlib makes of zeros."""
    data = png(8000, 4000, 8, 0, bytes(8001 * 4000))
    assert 8001 * 4000 / len(data) > 1000
    assert not images.decode(data, "flat.png").any()


def test_a_later_frame_may_not_be_larger_than_images_are(tmp_path):
    write_bombs(tmp_path)
    found = frames(tmp_path / "frame2.gif")
    assert next(found)[1].shape == (8, 8, 3)
    with pytest.raises(InputError, match=r"frame2\.gif: 4,295 million pixels are too many"):
        list(found)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (bombs()["bare.jxl"], (SIDE, SIDE)),
        # Multiples of 8: height 8 · (3 + 1), ratio 16:9.
        (b"\xff\x0a" + (1 | 3 << 1 | 5 << 6).to_bytes(4, "little"), (32 * 16 // 9, 32)),
        # Height 100 in 9 bits, no ratio, width 300 in 9 bits.
        (b"\xff\x0a" + (0 | 0 << 1 | 99 << 3 | 0 << 12 | 0 << 15 | 299 << 17).to_bytes(8, "little"), (300, 100)),
        (b"\xff\x0a", None),
        (b"", None),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + (0).to_bytes(8, "big"), None),
    ],
)
def test_the_size_in_a_jpeg_xl_header(data, size):
    assert jxl_header.size(data) == size


def test_sixteen_bits_in_many_bands_are_those_in_one(monkeypatch):
    """Bands change nothing: 16 bits, transparency and rotation."""
    from cn.images import pixels

    values = np.random.default_rng(0).integers(0, 65536, (37, 11), dtype=np.uint16)
    rgba = Image.fromarray(np.random.default_rng(1).integers(0, 256, (37, 11, 4), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    files = []
    for image in (Image.fromarray(values), rgba, Image.fromarray(values.astype(np.float32))):
        data = io.BytesIO()
        image.save(data, "TIFF", exif=exif)
        files.append(data.getvalue())
    whole = [images.decode(data, "a") for data in files]
    monkeypatch.setattr(pixels, "_BAND", 30)
    for data, expected in zip(files, whole, strict=True):
        assert expected.shape == (11, 37, 3)
        assert np.array_equal(images.decode(data, "a"), expected)
