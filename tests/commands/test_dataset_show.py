"""`cn dataset show`: which samples are shown, and what is said of them."""

import json

import numpy as np
import pytest

from cn import app, images
from cn.data.contact_sheet import Choice, _label, _places, contact_sheet
from cn.data.formats.opened import open_any
from tests.data.formats.sets import image, put, write_kinds, write_lines


def show(*words) -> int:
    return app.run(["dataset", "show", *map(str, words)])


def write_set(root, count: int = 10) -> None:
    lines = []
    for number in range(count):
        put(root / f"target/{number}.png", image(number, "PNG"))
        put(root / f"source/{number}.png", image(100 + number, "PNG"))
        lines.append({"source": f"source/{number}.png", "target": f"target/{number}.png", "prompt": f"image {number}"})
    write_lines(root / "prompt.json", lines)


def test_a_broken_image_is_named_with_its_line(tmp_path, capsys):
    write_set(tmp_path)
    (tmp_path / "source/3.png").write_bytes(b"text")
    (tmp_path / "target/5.png").unlink()
    put(tmp_path / "source/7.png", image(0, "PNG", (30, 16)))
    assert show(tmp_path) == 0
    err = capsys.readouterr().err
    file = tmp_path / "prompt.json"
    assert f"{file}:4: {tmp_path}/source/3.png: not an image" in err
    assert f"{file}:6: the target image" in err
    assert f"{file}:8: source is 30×16 and target 24×16: not the same frame" in err
    assert err.count("warning:") == 3


def test_statuses_of_a_dataset_that_was_not_built(tmp_path, capsys):
    write_set(tmp_path)
    (tmp_path / "source/3.png").write_bytes(b"text")
    put(tmp_path / "source/7.png", image(0, "PNG", (30, 16)))
    images.write(tmp_path / "source/8.png", np.zeros((16, 24, 3), np.uint8))
    for status, count, shown in (("broken", 1, 0), ("other frame", 1, 1), ("empty", 1, 1), ("ok", 7, 7)):
        assert show(tmp_path, tmp_path / "sheet.png", "--status", status, "--json") == 0
        record = json.loads(capsys.readouterr().out)
        assert (record["shown"], record["samples"]) == (shown, 10), status
        assert count >= shown
    assert show(tmp_path, tmp_path / "sheet.png", "--status", "nonsense") == 3
    assert 'no samples with the status "nonsense"' in capsys.readouterr().err


def test_statuses_of_a_build(tmp_path, capsys):
    write_kinds(tmp_path)
    statuses = [
        {"name": "a.jpg", "status": "ok", "target": "target/3f/0.jpg", "kinds": {"canny": {"status": "empty"}}},
        {"name": "b.jpg", "status": "ok", "target": "target/3f/1.jpg", "kinds": {"canny": {"status": "ok"}}},
        {"name": "c.jpg", "status": "broken", "reason": "the image is cut off"},
        {"name": "d.jpg", "status": "too small", "reason": "64×64"},
    ]
    write_lines(tmp_path / "build/status/00000.jsonl", statuses)

    def cells(*words) -> tuple[int, int]:
        assert show(tmp_path, tmp_path / "sheet.png", "--json", *words) == 0
        record = json.loads(capsys.readouterr().out)
        return record["shown"], record["samples"]

    assert cells("--status", "empty") == (1, 4)
    assert cells("--status", "broken") == (0, 4)
    assert cells() == (4, 4)
    assert show(tmp_path, tmp_path / "s.png", "--status", "empty", "--kind", "depth") == 3
    opened = open_any(str(tmp_path))
    assert contact_sheet(opened, Choice(5, status="too small")).shown == 0


def test_all_kinds_side_by_side_and_one_of_them(tmp_path, capsys):
    write_kinds(tmp_path)
    opened = open_any(str(tmp_path))
    one = contact_sheet(opened, Choice(1, kind="depth")).image
    all_kinds = contact_sheet(opened, Choice(1)).image
    width = 4 * 256 + 3 * 4
    margin = 2 * (width // 24)
    assert all_kinds.shape[1] >= width + 2 * margin
    assert one.shape[1] < 700
    map_shown = images.resize(images.read(tmp_path / "depth/source/3f/0.png"), (171, 256))
    places = [(y, x) for y in range(120) for x in range(80)]
    assert any(np.array_equal(one[y : y + 171, x : x + 256], map_shown) for y, x in places)
    assert contact_sheet(opened, Choice(10, kind="depth")).image is not None
    assert show(tmp_path, "--kind", "hed") == 3
    assert "no samples of the kind hed" in capsys.readouterr().err
    assert show(tmp_path, "--kind", "sketch") == 2


def test_which_ones_are_shown():
    assert _places(100, Choice(4)) == [0, 25, 50, 75]
    assert _places(3, Choice(12)) == [0, 1, 2]
    by_seed = [_places(1000, Choice(5, seed=seed)) for seed in (0, 0, 1)]
    assert by_seed[0] == by_seed[1] != by_seed[2]
    assert all(len(set(places)) == 5 and places == sorted(places) for places in by_seed)


def test_a_label_says_name_size_and_status(tmp_path):
    from cn.data.contact_sheet import _cell

    write_kinds(tmp_path)
    opened = open_any(str(tmp_path))
    cell = _cell(next(opened.samples()), opened.root, Choice(1), {})
    assert _label(cell) == "3f/0.jpg  24x16\nimage 0"
    stated = {"target/3f/0": {"status": "ok", "kinds": {"canny": {"status": "empty"}}}}
    assert _label(_cell(next(opened.samples()), opened.root, Choice(1), stated)) == "3f/0.jpg  24x16  EMPTY\nimage 0"


@pytest.mark.parametrize("words", [("--count", 3, "--random", 3), ("--random", 0), ("--count", 0)])
def test_usage_errors(tmp_path, words, capsys):
    write_set(tmp_path, 1)
    assert show(tmp_path, *words) == 2
    assert not (tmp_path / "sheet.png").exists()


def test_the_kind_of_a_dataset_of_one_kind(tmp_path, capsys):
    write_set(tmp_path)
    put(tmp_path / "dataset.json", json.dumps({"kinds": ["canny"]}).encode())
    assert show(tmp_path, tmp_path / "a.png", "--kind", "canny", "--json") == 0
    assert json.loads(capsys.readouterr().out)["shown"] == 10
    assert show(tmp_path, tmp_path / "a.png", "--kind", "depth") == 3
    scenes = tmp_path / "scenes"
    words = ["dataset", "synth", str(scenes), "-n", "1", "--cond", "depth", "--size", "32", "--workers", "1", "-q"]
    assert app.run(words) == 0
    assert show(scenes, tmp_path / "b.png", "--kind", "depth") == 0
    capsys.readouterr()
    assert app.run(["dataset", "stats", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kinds"] == {"canny": {"maps": 10, "empty": 0}}


def test_maps_whose_kind_nothing_states_may_be_of_any(tmp_path):
    write_set(tmp_path, 3)
    assert show(tmp_path, tmp_path / "a.png", "--kind", "canny") == 0
    assert (tmp_path / "a.png").is_file()
