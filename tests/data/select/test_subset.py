"""`cn dataset subset`: rankings by hand, subsets of subsets, links."""

import json
import os
import random
from hashlib import sha256
from pathlib import Path

import pytest

from cn import app
from tests.data.formats.sets import contents, image, put, write_kinds, write_lines

SIZES = [(30, 20), (8, 8), (20, 30), (40, 40), (10, 10), (9, 11), (50, 12), (12, 12)]


def write_photos(root: Path, order: list[int] | None = None, extra: dict[int, dict] | None = None) -> Path:
    lines = []
    for number in order or range(len(SIZES)):
        put(root / f"target/{number}.png", image(number, "PNG", SIZES[number]))
        put(root / f"source/{number}.png", image(100 + number, "PNG", SIZES[number]))
        line = {"source": f"source/{number}.png", "target": f"target/{number}.png", "prompt": f"image {number}"}
        lines.append({**line, **(extra or {}).get(number, {})})
    write_lines(root / "prompt.json", lines)
    return root


def subset(*words: object) -> int:
    return app.run(["dataset", "subset", *map(str, words)])


def chosen(root: Path) -> list[int]:
    return [int(Path(json.loads(line)["target"]).stem) for line in (root / "prompt.json").read_text().splitlines()]


def content(number: int) -> str:
    return sha256(image(number, "PNG", SIZES[number])).hexdigest()


def test_the_largest_images_first(tmp_path):
    write_photos(tmp_path / "set")
    assert subset(tmp_path / "set", tmp_path / "out", "--by", "resolution", "-n", 8) == 0
    equal = sorted([0, 2], key=content)  # 600 pixels both; the next ones have 600 too
    by_hand = [3, *sorted([0, 2, 6], key=content), 7, 4, 5, 1]
    pixels = [SIZES[n][0] * SIZES[n][1] for n in by_hand]
    assert pixels == [1600, 600, 600, 600, 144, 100, 99, 64]
    assert chosen(tmp_path / "out") == by_hand
    assert [n for n in by_hand if n in equal] == equal


def test_the_original_counts_where_it_is_known(tmp_path, capsys):
    write_photos(
        tmp_path / "set", extra={1: {"original_size": [4000, 3000]}, 4: {"original_width": 50, "original_height": 50}}
    )
    assert subset(tmp_path / "set", tmp_path / "out", "--by", "resolution", "-n", 3) == 0
    assert chosen(tmp_path / "out") == [1, 4, 3]
    assert "6 lines do not state the original" in capsys.readouterr().err


def test_by_content_and_by_seed(tmp_path):
    write_photos(tmp_path / "set")
    assert subset(tmp_path / "set", tmp_path / "hash", "--by", "hash", "-n", 5) == 0
    assert chosen(tmp_path / "hash") == sorted(range(8), key=content)[:5]
    orders = []
    for seed in (0, 1, 2):
        assert subset(tmp_path / "set", tmp_path / f"r{seed}", "--by", "random", "--seed", seed, "-n", 8) == 0
        orders.append(chosen(tmp_path / f"r{seed}"))
        by_hand = sorted(range(8), key=lambda n: sha256(f"{seed}\0target/{n}.png".encode()).digest())
        assert orders[-1] == by_hand
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize("by", ["resolution", "random", "hash"])
def test_smaller_ones_are_the_first_of_larger_ones(tmp_path, by, capsys):
    write_photos(tmp_path / "set")
    order = list(range(8))
    random.Random(0).shuffle(order)
    write_photos(tmp_path / "other", order)
    assert subset(tmp_path / "set", tmp_path / "out", "--by", by, "-n", 2, "-n", 5, "-n", 7, "--json") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["path"], r["count"], r["of"]) for r in records] == [
        (str(tmp_path / f"out/{n}"), n, 8) for n in (2, 5, 7)
    ]
    two, five, seven = (chosen(tmp_path / "out" / str(n)) for n in (2, 5, 7))
    assert seven[:5] == five
    assert five[:2] == two
    assert len(set(seven)) == 7
    assert subset(tmp_path / "other", tmp_path / "again", "--by", by, "-n", 5) == 0
    assert chosen(tmp_path / "again") == five, "the order of the list does not matter"
    assert subset(tmp_path / "out/5", tmp_path / "nested", "--by", by, "-n", 2) == 0
    assert chosen(tmp_path / "nested") == two


def test_files_are_links_and_a_dataset_like_any_other(tmp_path):
    write_photos(tmp_path / "set", extra={3: {"score": 0.5}})
    assert subset(tmp_path / "set", tmp_path / "out", "--by", "resolution", "-n", 1) == 0
    assert sorted(contents(tmp_path / "out")) == ["manifest.json", "prompt.json", "source/3.png", "target/3.png"]
    assert json.loads((tmp_path / "out/prompt.json").read_text())["score"] == 0.5
    for name in ("source/3.png", "target/3.png"):
        assert os.path.samefile(tmp_path / "out" / name, tmp_path / "set" / name)
    assert subset(tmp_path / "set", tmp_path / "copy", "--by", "resolution", "-n", 1, "--copy") == 0
    assert not os.path.samefile(tmp_path / "copy/target/3.png", tmp_path / "set/target/3.png")
    assert (tmp_path / "copy/target/3.png").read_bytes() == (tmp_path / "set/target/3.png").read_bytes()


def test_symbolic_links_where_hard_ones_are_not_possible(tmp_path, monkeypatch):
    write_photos(tmp_path / "set")

    def refuse(*words, **more):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.chdir(tmp_path)
    assert subset("set", "out", "--by", "hash", "-n", 2) == 0
    for path in (tmp_path / "out/target").iterdir():
        assert path.is_symlink()
        assert path.read_bytes() == (tmp_path / "set/target" / path.name).read_bytes()


def test_all_kinds_of_a_sample_stay_together(tmp_path):
    write_kinds(tmp_path / "set")
    assert subset(tmp_path / "set", tmp_path / "out", "--by", "hash", "-n", 3) == 0
    names = sorted(range(4), key=lambda n: sha256((tmp_path / f"set/target/3f/{n}.jpg").read_bytes()).digest())[:3]
    for kind in ("canny", "depth", "openpose"):
        expected = [n for n in names if (kind, n) != ("depth", 2)]
        lines = [json.loads(line) for line in (tmp_path / "out" / kind / "prompt.json").read_text().splitlines()]
        assert [line["target"] for line in lines] == [f"../target/3f/{n}.jpg" for n in expected]
        for line in lines:
            assert (tmp_path / "out" / kind / line["source"]).is_file()
    assert len(list((tmp_path / "out/target/3f").iterdir())) == 3
    assert (tmp_path / "out/dataset.json").is_file()


def test_what_cannot_be_used_is_not_chosen(tmp_path, capsys):
    write_photos(tmp_path / "set")
    (tmp_path / "set/target/3.png").write_bytes(b"no image")
    (tmp_path / "set/source/6.png").unlink()
    assert subset(tmp_path / "set", tmp_path / "out", "--by", "resolution", "-n", 2) == 0
    assert sorted(chosen(tmp_path / "out")) == [0, 2]
    err = capsys.readouterr().err
    assert "3.png" in err
    assert "6.png is missing" in err
    assert subset(tmp_path / "set", tmp_path / "more", "--by", "resolution", "-n", 7) == 3
    assert "has 6 samples (2 more cannot be used), but --count is 7" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()


def test_again_and_elsewhere(tmp_path, capsys):
    write_photos(tmp_path / "set")
    words = (tmp_path / "set", tmp_path / "out", "--by", "random", "-n", 3)
    assert subset(*words) == 0
    before = contents(tmp_path / "out")
    assert subset(*words) == 0
    assert contents(tmp_path / "out") == before
    assert subset(*words, "--seed", 5) == 3
    assert "another dataset" in capsys.readouterr().err
    put(tmp_path / "mine/a.txt", b"mine")
    assert subset(tmp_path / "set", tmp_path / "mine", "-n", 3) == 3
    assert contents(tmp_path / "mine") == {"a.txt": b"mine"}
