"""Lists of paths and records of JSON on standard input."""

import json
import os

import pytest

from cn.data.sources.open import open_source
from cn.errors import InputError, UsageError
from tests.helpers.cli import cn
from tests.helpers.image_files import corners


def listed(*lines: str | bytes, **options):
    return open_source("-", stdin_paths=list(lines), **options)


def test_paths_keep_their_captions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("sub")
    for name in ("a.jpg", "sub/b.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sub/b.txt").write_text("two")
    source = listed("./a.jpg", "", b"sub/b.jpg\r", "a.jpg", "missing.jpg")
    assert [(s.name, s.read_caption()) for s in source.samples()] == [
        *(("a.jpg", None), ("sub/b.jpg", "two"), ("missing.jpg", None)),
    ]
    assert source.about == "a list of 3 paths on standard input, 1 with captions"


def test_urls_are_a_problem(tmp_path):
    [sample] = listed("https://example.org/a.jpg").samples()
    assert sample.problem == "https://example.org/a.jpg is a URL: download first, with img2dataset"


def test_records_of_json(tmp_path):
    lines = [json.dumps({"image": f"{n}.jpg", "caption": f"c{n}", "score": n}) for n in range(2)]
    samples = list(listed(*lines, "{broken", images=str(tmp_path)).samples())
    assert [(s.name, s.caption, dict(s.extra)) for s in samples[:2]] == [
        ("0.jpg", "c0", {"score": 0}),
        ("1.jpg", "c1", {"score": 1}),
    ]
    assert str(samples[0].image) == f"{tmp_path}/0.jpg"
    assert samples[2].problem.startswith("invalid JSON")
    assert [s.name for s in listed(json.dumps([{"img": "a.png"}]), columns={"image": "img"}).samples()] == ["a.png"]


def test_records_of_detect_bring_their_maps(tmp_path):
    from PIL import Image

    (tmp_path / "photos").mkdir()
    Image.fromarray(corners(64, 64)).save(tmp_path / "photos/a.png")
    (tmp_path / "photos/a.txt").write_text("a photo")
    (tmp_path / "photos/b.pdf").write_text("x")
    done = cn("detect", "canny", tmp_path / "photos", tmp_path / "maps", "--json")
    source = listed(*done.stdout.splitlines())
    [sample] = source.samples()
    assert str(sample.image) == f"{tmp_path}/photos/a.png"
    assert sample.read_caption() == "a photo"
    assert {kind: str(blob) for kind, blob in sample.maps.items()} == {"": f"{tmp_path}/maps/a.png"}
    assert source.about.startswith("1 records of cn detect")


def test_nothing_useful():
    with pytest.raises(InputError, match="no paths were given"):
        listed("", " ")
    with pytest.raises(UsageError, match="nothing is piped in"):
        open_source("-")
    with pytest.raises(InputError, match="no column with images, only a, b"):
        listed('{"a": 1, "b": 2}')
    with pytest.raises(UsageError, match="'picture' is no role"):
        listed("a.jpg", columns={"picture": "x"})
