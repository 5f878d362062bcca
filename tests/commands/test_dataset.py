"""`cn dataset synth|show` through the command line."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from cn import app, images
from cn.conditions import ConditionInfo
from cn.data.records import read_records
from cn.data.scenes import SceneDataset
from tests.helpers.cli import cn_process, start_cn
from tests.helpers.waiting import wait_until


def cn(*words: object) -> int:
    return app.run([str(word) for word in words])


def synth(out: Path, *words: object, count: int = 3, cond: str = "canny") -> int:
    return cn("dataset", "synth", out, "--count", count, "--cond", cond, "--size", 32, "--workers", 1, "-q", *words)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_dataset_holds_the_scenes(tmp_path, capsys):
    assert synth(tmp_path / "set", "--random-thresholds", "--start", 4) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'set'}\n"
    pairs = read_records(tmp_path / "set")
    assert [p.source.name for p in pairs] == ["000004.png", "000005.png", "000006.png"]
    scenes = SceneDataset("canny", 32, start=4, random_maps=True)
    for i, pair in enumerate(pairs):
        assert np.array_equal(images.read(pair.target), scenes[i].target)
        assert np.array_equal(images.read(pair.source), scenes[i].condition)
        assert pair.prompt == scenes[i].prompt
        assert ConditionInfo.from_text(images.read_info(pair.source)) == scenes[i].info
        assert pair.extra["scene"] == 4 + i


def test_workers_do_not_change_a_byte(tmp_path):
    assert synth(tmp_path / "one", count=5) == 0
    assert cn("dataset", "synth", tmp_path / "two", "-n", 5, "--cond", "canny", "--size", 32, "--workers", 2) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_several_kinds_make_datasets_of_the_same_images(tmp_path, capsys):
    assert synth(tmp_path, "--cond", "pose", "--cond", "canny", "--json", cond="depth") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["kind"], r["path"]) for r in records] == [
        (kind, str(tmp_path / kind)) for kind in ("depth", "openpose", "canny")
    ]
    sets = [read_records(tmp_path / kind) for kind in ("depth", "openpose", "canny")]
    for a, b, c in zip(*sets, strict=True):
        assert a.target.read_bytes() == b.target.read_bytes() == c.target.read_bytes()
        assert a.prompt == b.prompt == c.prompt
        assert len({p.source.read_bytes() for p in (a, b, c)}) == 3


def test_a_dataset_can_be_repaired_and_extended(tmp_path, capsys):
    assert synth(tmp_path / "whole", count=5) == 0
    part = tmp_path / "part"
    assert synth(part, count=3) == 0
    with (part / "prompt.json").open("a") as file:
        file.write('{"source": "source/0000')  # as a killed process leaves it
    (part / "target/000001.png").unlink()
    (part / "source/000000.png").write_bytes(b"\x89PNG half")
    times = {n: (part / n).stat().st_mtime_ns for n in ("source/000002.png", "target/000002.png")}
    assert synth(part, "--json", count=5) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rendered"] == 4
    assert contents(part) == contents(tmp_path / "whole")
    assert all((part / n).stat().st_mtime_ns == t for n, t in times.items())


def lines_of(file):
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_it_continues_after_a_kill(tmp_path):
    out = tmp_path / "set"
    process = start_cn("dataset", "synth", out, "--count", 500, "--cond", "depth", "--size", 32, "--workers", 2)
    try:
        # Not the first images: records are in order, and the worker of the first scene may start late.
        wait_until(lambda: lines_of(out / "prompt.json") >= 20 or process.poll() is not None)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    lines = (out / "prompt.json").read_bytes()
    done = lines.count(b"\n")
    assert 0 < done < 500
    (out / "prompt.json").write_bytes(lines[: lines.rfind(b"\n") + 1])
    assert len(read_records(out)) == done  # every record has both its images
    (out / "prompt.json").write_bytes(lines)
    assert synth(out, count=done + 2, cond="depth") == 0
    assert [p.extra["scene"] for p in read_records(out)] == list(range(done + 2))
    assert not [name for name in contents(out) if ".cn-" in name]


def test_another_dataset_in_the_folder_is_not_mixed_in(tmp_path, capsys):
    assert synth(tmp_path) == 0
    before = contents(tmp_path)
    for words in (("--seed", 1), ("--size", 64), ("--random-thresholds",)):
        assert synth(tmp_path, *words) == 3
        assert "already holds another dataset" in capsys.readouterr().err
    assert contents(tmp_path) == before
    (tmp_path / "mine.txt").write_text("mine")
    assert synth(tmp_path, "--overwrite", count=2, cond="depth") == 0
    assert len(read_records(tmp_path)) == 2
    assert set(contents(tmp_path)) == {"mine.txt", "prompt.json"} | {
        f"{role}/00000{i}.png" for role in ("source", "target") for i in range(2)
    }


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--cond", "sketch", "--count", "1"), 2, "unknown condition"),
        (("--cond", "canny", "--count", "0"), 2, "--count"),
        (("--cond", "canny"), 2, "--count"),
    ],
)
def test_synth_errors(tmp_path, words, code, message, capsys):
    assert cn("dataset", "synth", tmp_path / "out", *words) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_out_that_is_a_file(tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert synth(tmp_path / "out") == 3
    assert str(tmp_path / "out") in capsys.readouterr().err


def test_contact_sheet(tmp_path, capsys):
    words = ["dataset", "synth", tmp_path, "--cond", "canny", "--workers", 1, "-q"]
    assert cn(*words, "--count", 3) == 0
    capsys.readouterr()
    assert cn("dataset", "show", tmp_path) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'sheet.png'}\n"
    assert cn("dataset", "show", tmp_path / "prompt.json", tmp_path / "one.png", "--count", 1) == 0
    three, one = images.read(tmp_path / "sheet.png"), images.read(tmp_path / "one.png")
    assert three.shape[1] > 2.5 * one.shape[1]
    pair = SceneDataset("canny", 256)[0]
    strip = np.full((256, 4, 3), 255, np.uint8)
    cell = np.concatenate([pair.condition, strip, pair.target], axis=1)
    places = [(y, x) for y in range(80) for x in range(80)]
    assert any(np.array_equal(one[y : y + 256, x : x + 516], cell) for y, x in places)
    y = next(y for y, x in places if np.array_equal(one[y : y + 256, x : x + 516], cell))
    assert (one[y + 256 :] < 128).any()  # the prompt below


def test_contact_sheet_of_a_broken_dataset(tmp_path, capsys):
    assert synth(tmp_path) == 0
    (tmp_path / "source/000001.png").write_text("text")
    assert cn("dataset", "show", tmp_path, tmp_path / "a.png") == 0
    assert "000001.png: not an image but text" in capsys.readouterr().err
    for i in (0, 2):
        (tmp_path / f"source/00000{i}.png").unlink()
    assert cn("dataset", "show", tmp_path, tmp_path / "b.png") == 3
    assert "no pair can be shown" in capsys.readouterr().err
    assert not (tmp_path / "b.png").exists()
    assert cn("dataset", "show", tmp_path / "none") == 3


def test_contact_sheet_to_a_pipe(tmp_path):
    assert synth(tmp_path, count=1) == 0
    done = cn_process("dataset", "show", tmp_path, "-")
    assert done.returncode == 0
    assert images.decode(done.stdout, "sheet").shape[2] == 3
