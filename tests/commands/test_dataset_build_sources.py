"""What `cn dataset build` makes of sources as people have them: odd names, odd files, sources that change."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from cn import app
from tests.helpers.photos import contents, dataset_of, write_photos


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


def test_overwriting_does_not_remove_the_source(tmp_path):
    out = tmp_path / "set"
    assert build(write_photos(tmp_path / "photos", 2), out) == 0
    before = contents(out)
    assert build(out / "target", out, "--overwrite", "--seed", 1) == 2
    assert contents(out) == before


def test_merging_writes_nothing_that_it_cannot_finish(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos", 2)
    assert build(photos, tmp_path / "a") == 0
    assert build(photos, tmp_path / "b", "--seed", 1) == 0
    merge = ["dataset", "merge", str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "both")]
    assert app.run(merge) == 3
    assert f"other settings than {tmp_path / 'a'}" in capsys.readouterr().err
    assert not any(path.is_file() for path in tmp_path.rglob("both/**/*"))
    before = contents(photos)
    assert app.run(["dataset", "merge", str(tmp_path / "a"), str(photos)]) == 3
    assert "holds other files already" in capsys.readouterr().err
    assert contents(photos) == before


def test_a_quote_that_is_not_closed_is_said(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos", 4)
    names = [path.name for path in sorted(photos.glob("*.[jp][pn]g"))]
    table = tmp_path / "list.csv"
    rows = ["file_name,text", f'{names[0]},"two\nlines"', f'{names[1]},"not closed', f"{names[2]},c", f"{names[3]},d"]
    table.write_text("\n".join(rows) + "\n")
    assert build(table, tmp_path / "set", "--images", photos) == 5
    assert "a quote is opened and not closed" in capsys.readouterr().err
    assert prompts(tmp_path / "set") == ["two lines"]


@pytest.mark.parametrize("layout", ["folder", "webdataset"])
def test_files_that_changed_are_read_again(tmp_path, layout):
    photos = write_photos(tmp_path / "photos", 40)
    shutil.copy(photos / "000.jpg", photos / "zzz.jpg")
    shutil.copy(photos / "000.txt", photos / "zzz.txt")
    whole = (photos / "004.jpg").read_bytes()
    (photos / "004.jpg").write_bytes(whole[:100])
    # A dataset of several shards, of which the last has an image of the first once more.
    words = ("--to", layout, "--shard-size", 10)
    assert build(photos, tmp_path / "set", *words) == 5
    for path in photos.iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    for path in (tmp_path / "set/build/status").iterdir():
        os.utime(path, (1_100_000_000, 1_100_000_000))
    (photos / "004.jpg").write_bytes(whole)
    (photos / "000.jpg").write_bytes((photos / "001.png").read_bytes())
    (photos / "012.txt").write_text("another caption")
    assert build(photos, tmp_path / "set", *words) == 0
    assert (tmp_path / "set/build/status/00002.jsonl").stat().st_mtime == 1_100_000_000
    assert build(photos, tmp_path / "fresh", *words) == 0
    if layout == "folder":
        for name in ("prompt.json", "stats.json"):
            assert (tmp_path / "set" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()
    else:
        assert dataset_of(tmp_path / "set") == dataset_of(tmp_path / "fresh")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_in_a_tar_are_said(tmp_path, kind, mode, capsys):
    photos = write_photos(tmp_path / "photos", 1)
    with tarfile.open(tmp_path / "00000.tar", mode) as tar:
        tar.add(photos / "000.jpg", "a.jpg")
        link = tarfile.TarInfo("b.jpg")
        link.type, link.linkname = kind, "a.jpg"
        tar.addfile(link)
    assert build(tmp_path / "00000.tar", tmp_path / "set") == 5
    assert "00000.tar/b: b.jpg is a link in the tar" in capsys.readouterr().err
    assert len(prompts(tmp_path / "set")) == 1


def test_datasets_inside_the_source_are_no_source(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos", 3)
    assert build(photos, photos / "canny") == 0
    assert build(photos, photos / "scribble", "--method", "scribble=gradient", cond="scribble") == 0
    assert build(photos, tmp_path / "set") == 0
    assert dataset_of(tmp_path / "set") == dataset_of(photos / "canny")
    # Alone, they are what there is to read.
    moved = (photos / "canny").rename(tmp_path / "moved")
    (tmp_path / "only").mkdir()
    moved.rename(tmp_path / "only/set")
    assert build(tmp_path / "only", tmp_path / "again") == 0
    assert len(prompts(tmp_path / "again")) == 3


def test_images_that_are_gone_are_said_and_stay(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos", 4)
    assert build(photos, tmp_path / "set") == 0
    (photos / "000.jpg").unlink()
    assert "before" not in capsys.readouterr().err
    words = ["dataset", "build", str(photos), str(tmp_path / "set"), "--cond", "canny", "--resolution", "64"]
    assert app.run(words) == 0
    assert "1 of the images before are not in the source any more" in capsys.readouterr().err
    assert len(prompts(tmp_path / "set")) == 4
