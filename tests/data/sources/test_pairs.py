"""prompt.json of the official trainer, and datasets of several kinds."""

import json
from pathlib import Path

import pytest

from cn.data.sources.open import open_source
from cn.data.sources.parts import from_record
from cn.errors import InputError


def dataset(root: Path, lines: list[object], *files: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "prompt.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def line(name: str, prompt: str = "", **more: object) -> dict[str, object]:
    return {"source": f"source/{name}", "target": f"target/{name}", "prompt": prompt, **more}


def seen(source) -> list[tuple[object, ...]]:
    return [
        (s.name, str(s.image), s.caption, {kind: str(blob) for kind, blob in s.maps.items()}, dict(s.extra))
        for s in source.samples()
    ]


def test_fill50k(tmp_path):
    root = dataset(
        tmp_path, [line("0.png", "a circle", n=1), line("1.png", "b")], "source/0.png", "target/0.png", "x.npy"
    )
    source = open_source(str(root))
    assert source.layout == "prompt.json"
    assert source.about == "the official trainer's prompt.json with 2 pairs, all with captions, all with condition maps"
    assert seen(source)[0] == (
        *("target/0.png", f"{root}/target/0.png", "a circle"),
        *({"": f"{root}/source/0.png"}, {"n": 1}),
    )
    assert [s.where for s in source.samples()] == [f"{root}/prompt.json:1", f"{root}/prompt.json:2"]
    assert dict(source.left_out.suffixes) == {".npy": 1}
    assert seen(open_source(str(root / "prompt.json"))) == seen(source)


def test_broken_lines_are_samples_with_a_problem_and_keep_their_number(tmp_path):
    root = dataset(tmp_path, [line("0.png", "a"), 7, {"source": "s"}, line("0.png", "again")])
    with open(root / "prompt.json", "a") as file:
        file.write('\n{"source": "s", "tar')
    samples = list(open_source(str(root)).samples())
    assert [(s.name, s.where.rpartition(":")[2], s.problem) for s in samples] == [
        ("target/0.png", "1", None),
        ("prompt.json#2", "2", "expected a JSON object, not int"),
        ("prompt.json#3", "3", '"target" is missing'),
        ("target/0.png#2", "4", None),
        ("prompt.json#5", "6", samples[4].problem),
    ]
    assert samples[4].problem.endswith("; is the line cut off?")


def test_an_array_and_windows_paths(tmp_path):
    dataset(tmp_path, [], "target/a.png", "source/a.png")
    record = {"source": ".\\source\\a.png", "target": "target\\a.png", "prompt": "p"}
    (tmp_path / "prompt.json").write_text("\ufeff" + json.dumps([record], indent=1))
    source = open_source(str(tmp_path))
    assert seen(source) == [
        ("target/a.png", f"{tmp_path}/target/a.png", "p", {"": f"{tmp_path}/source/a.png"}, {}),
    ]
    assert not source.left_out


def test_kinds_of_one_image_are_joined(tmp_path):
    for kind, names in {"canny": "ab", "depth": "cb"}.items():
        lines = [line("", n) | {"source": f"source/{n}.png", "target": f"../target/{n}.jpg"} for n in names]
        dataset(tmp_path / kind, lines, *(f"source/{n}.png" for n in names))
    (tmp_path / "target").mkdir()
    for n in "abcd":
        (tmp_path / f"target/{n}.jpg").write_bytes(b"x")
    (tmp_path / "dataset.json").write_text("{}")
    source = open_source(str(tmp_path))
    assert seen(source) == [
        ("target/a.jpg", f"{tmp_path}/target/a.jpg", "a", {"canny": f"{tmp_path}/canny/source/a.png"}, {}),
        (
            *("target/b.jpg", f"{tmp_path}/target/b.jpg", "b"),
            {"canny": f"{tmp_path}/canny/source/b.png", "depth": f"{tmp_path}/depth/source/b.png"},
            {},
        ),
        ("target/c.jpg", f"{tmp_path}/target/c.jpg", "c", {"depth": f"{tmp_path}/depth/source/c.png"}, {}),
    ]
    assert source.about == (
        "a dataset of 3 images with a prompt.json for each of 2 kinds (canny 2, depth 2), all with captions; "
        "not used: 1 image"
    )
    assert dict(source.left_out.suffixes) == {".jpg": 1}, "target/d.jpg has no line"
    [part] = source.parts
    assert list(from_record(part.record(1, 3)).samples()) == list(part.samples(1, 3))


def test_scenes_of_synth_are_joined_by_their_number(tmp_path):
    for kind in ("canny", "depth"):
        lines = [line(f"{n}.png", f"p{n}", kind=kind, seed=0, scene=n, size=64) for n in range(2)]
        dataset(tmp_path / kind, lines)
    source = open_source(str(tmp_path))
    assert [(s.name, sorted(s.maps), dict(s.extra)) for s in source.samples()] == [
        (f"canny/target/{n}.png", ["canny", "depth"], {"seed": 0, "scene": n, "size": 64}) for n in range(2)
    ]


def test_the_kind_that_a_line_states_is_kept(tmp_path):
    dataset(tmp_path, [line("0.png", kind="depth"), line("1.png", kind="dragons")])
    assert [list(s.maps) for s in open_source(str(tmp_path)).samples()] == [["depth"], [""]]


def test_text_in_utf_16_is_refused(tmp_path):
    (tmp_path / "prompt.json").write_text(json.dumps(line("a.png")), encoding="utf-16")
    with pytest.raises(InputError, match="is UTF-16"):
        open_source(str(tmp_path))


def test_an_unpacked_archive_with_a_folder_of_its_own(tmp_path):
    dataset(tmp_path / "deep/fill50k", [line("0.png", "a")], "deep/fill50k/target/0.png".removeprefix("deep/fill50k/"))
    source = open_source(str(tmp_path))
    assert [(s.name, str(s.image)) for s in source.samples()] == [
        ("deep/fill50k/target/0.png", f"{tmp_path}/deep/fill50k/target/0.png"),
    ]


def test_captions_of_another_name(tmp_path):
    records = [{"source": "s.png", "target": "t.png", "caption": "c", "mein": "m"}]
    dataset(tmp_path, records)
    assert [s.caption for s in open_source(str(tmp_path)).samples()] == ["c"]
    assert [s.caption for s in open_source(str(tmp_path), columns={"caption": "mein"}).samples()] == ["m"]


def test_lines_whose_images_lie_elsewhere(tmp_path):
    dataset(tmp_path / "lists", [line("0.png")])
    (tmp_path / "lists/prompt.json").rename(tmp_path / "lists/mine.json")
    source = open_source(str(tmp_path / "lists/mine.json"), images=str(tmp_path / "i"), layout="prompt.json")
    assert [str(s.image) for s in source.samples()] == [f"{tmp_path}/i/target/0.png"]


def test_source_and_target_without_lines(tmp_path):
    for name in ("source/a.png", "target/a.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
    [sample] = open_source(str(tmp_path)).samples()
    assert (sample.name, str(sample.maps[""])) == ("target/a.jpg", f"{tmp_path}/source/a.png")
