"""What `cn dataset build` makes of sources as people have them: odd names, odd files, sources that change."""

import json
import os
from pathlib import Path

import pytest

from cn import app
from tests.helpers.photos import contents, write_photos


def build(src: object, out: Path, *words: object, cond: str = "canny") -> int:
    words = ("dataset", "build", src, out, "--cond", cond, "--resolution", "64", "-q", *words)
    return app.run([str(word) for word in words])


def prompts(out: Path) -> list[str]:
    return sorted(json.loads(line)["prompt"] for line in (out / "prompt.json").read_text().splitlines())


def test_names_that_are_not_utf8_and_their_captions(tmp_path):
    photos = write_photos(tmp_path / "photos", 2)
    name = os.fsdecode(b"caf\xe9")
    sorted(photos.iterdir())[0].rename(photos / f"{name}.jpg")
    (photos / f"{name}.txt").write_text("a coffee")
    assert build(photos, tmp_path / "set") == 0
    assert "a coffee" in prompts(tmp_path / "set")
    assert build(photos, tmp_path / "set") == 0


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_folder_of_labels_without_any(tmp_path, folder, capsys):
    photos = write_photos(tmp_path / "photos", 2)
    (tmp_path / "empty").mkdir()
    assert build(photos, tmp_path / "set", "--labels", tmp_path / folder, cond="ade20k") == 3
    assert f"{tmp_path / folder}: no " in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_maps_of_files_and_detected_ones_do_not_mix(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos", 2)
    maps = write_photos(tmp_path / "maps", 2, (".png",))
    assert build(photos, tmp_path / "set", "--files", f"canny={maps}") == 0
    assert build(photos, tmp_path / "set") == 3
    assert "other settings (--files" in capsys.readouterr().err
    moved = maps.rename(tmp_path / "moved")
    assert build(photos, tmp_path / "set", "--files", f"canny={moved}") == 0


@pytest.mark.parametrize(
    ("src", "words", "code"),
    [
        ("mistyped", (), 3),
        ("photos", ("--set", "canny.lo=3"), 2),
        ("photos", ("--files", "canny=missing"), 3),
        ("photos", ("--shard", "0/2"), 2),
    ],
)
def test_a_mistake_removes_no_dataset(tmp_path, src, words, code):
    out = tmp_path / "set"
    assert build(write_photos(tmp_path / "photos", 2), out) == 0
    before = contents(out)
    assert build(tmp_path / src, out, "--overwrite", *words) == code
    assert contents(out) == before


def test_a_mistake_leaves_no_folder(tmp_path):
    assert build(tmp_path / "mistyped", tmp_path / "set") == 3
    assert not (tmp_path / "set").exists()
    (tmp_path / "mine").mkdir()
    assert build(tmp_path / "mistyped", tmp_path / "mine") == 3
    assert list((tmp_path / "mine").iterdir()) == []
