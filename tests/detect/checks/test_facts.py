"""What the first bytes of a file say about its pixels."""

import numpy as np
import pytest
from PIL import Image

from cn.detect.checks import MapFacts, file_facts


@pytest.mark.parametrize(
    ("name", "mode", "facts"),
    [
        ("a.png", "L", MapFacts()),
        ("a.png", "I;16", MapFacts(bits=16)),
        ("a.tif", "I;16", MapFacts(bits=16)),
        ("a.tif", "RGB", MapFacts()),
        ("a.pgm", "L", MapFacts()),
        ("a.jpg", "RGB", MapFacts(lossy="JPEG")),
        ("renamed.png.jpeg", "L", MapFacts(lossy="JPEG")),
        ("a.webp", "RGB", MapFacts(lossy="WebP")),
        ("a.bmp", "RGB", MapFacts()),
    ],
)
def test_facts(tmp_path, name, mode, facts):
    values = np.zeros((8, 8, 3) if mode == "RGB" else (8, 8), np.uint16 if mode == "I;16" else np.uint8)
    Image.fromarray(values).save(tmp_path / name)
    assert file_facts(tmp_path / name) == facts


def test_a_lossless_webp(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.webp", lossless=True)
    assert file_facts(tmp_path / "a.webp") == MapFacts()


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"II*\0\xff\xff\xff\xff", b"P5 1 1 x", b"RIFF"])
def test_files_that_are_cut_off_state_nothing(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    assert file_facts(tmp_path / "a") == MapFacts()
    assert file_facts(tmp_path / "none") == MapFacts()
