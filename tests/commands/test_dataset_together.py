"""The commands of `cn dataset` one after the other, as a person types them."""

from pathlib import Path

import pytest

from tests.helpers.cli import cn
from tests.helpers.photos import contents, write_photos

KINDS = ("canny", "hed", "hough")
LAYOUTS = ("webdataset", "imagefolder", "parquet")


def build(folder: Path, *kinds: str) -> Path:
    photos = write_photos(folder / "photos", 4)
    conds = [word for kind in kinds for word in ("--cond", kind)]
    methods = [word for kind in kinds if kind != "canny" for word in ("--method", f"{kind}={FREE[kind]}")]
    done = cn("dataset", "build", photos, folder / "set", *conds, *methods, "--resolution", "64", "-q")
    assert done.returncode == 0, done.stderr
    return folder / "set"


FREE = {"hed": "gradient", "hough": "lsd"}
"""Methods without weights."""


@pytest.mark.parametrize("kinds", [("canny",), KINDS])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_built_packed_and_unpacked_is_what_it_was(tmp_path, kinds, layout):
    built = build(tmp_path, *kinds)
    assert cn("dataset", "pack", built, tmp_path / "packed", "--to", layout, "-q").returncode == 0
    assert cn("dataset", "unpack", tmp_path / "packed", tmp_path / "back", "-q").returncode == 0
    apart = ("build/", "stats.json", "manifest.json")
    before, after = (
        {name: data for name, data in contents(folder).items() if not name.startswith(apart)}
        for folder in (built, tmp_path / "back")
    )
    assert after == before


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_of_cn_are_not_said_to_be_left_out(tmp_path, layout):
    """The description and the manifest of what was packed, and what lint and cache keep there."""
    built, packed = build(tmp_path, "canny"), tmp_path / "packed"
    assert cn("dataset", "pack", built, packed, "--to", layout, "-q").returncode == 0
    for name in ("lint/undo/log.jsonl", "cache/base-64-fp32/index.json"):
        (packed / name).parent.mkdir(parents=True)
        (packed / name).write_text("{}\n")
    for words in (("lint", packed), ("unpack", packed, tmp_path / "back")):
        done = cn("dataset", *words)
        assert "left out" not in done.stderr
        assert "LeftOut" not in done.stderr
    (packed / "dataset.json").unlink()  # as in what was packed of anybody's pairs
    assert "left out" not in cn("dataset", "lint", packed).stderr
    (packed / "notes.exr").write_bytes(b"of somebody")
    assert "1 file left out: 1 .exr" in cn("dataset", "lint", packed).stderr


@pytest.mark.parametrize("words", [("pack", "--to", "webdataset"), ("subset", "--count", "2"), ("unpack",)])
def test_a_result_may_lie_beside_the_one_file_that_is_read(tmp_path, words):
    assert cn("dataset", "pack", build(tmp_path, "canny"), tmp_path / "packed", "--to", "parquet", "-q").returncode == 0
    (table,) = (tmp_path / "packed/data").iterdir()
    (tmp_path / "table.parquet").write_bytes(table.read_bytes())
    action, *options = words
    done = cn("dataset", action, "table.parquet", "out", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/manifest.json").is_file()


def test_a_list_that_cannot_be_shown_is_named(tmp_path):
    (tmp_path / "list.txt").write_text("nowhere.png\n")
    for words in (("show",), ("split", "--validation", "1")):
        action, *options = words
        out = () if action == "show" else ("out",)
        done = cn("dataset", action, "list.txt", *out, *options, cwd=tmp_path)
        assert done.returncode == 3
        assert "cn: list.txt: " in done.stderr
