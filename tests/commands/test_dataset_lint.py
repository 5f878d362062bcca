"""`cn dataset lint` through the command line."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cn import images
from cn.data.lint.rules import RULES
from tests.helpers.cli import cn, cn_process

EXPECTED = "2 faults; 2 of 3 pairs have one or more"


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """Three scenes with their edges."""
    root = tmp_path / "set"
    words = ["--count", "3", "--cond", "canny", "--size", "96", "--workers", "1", "-q"]
    assert cn("dataset", "synth", root, *words).returncode == 0
    return root


@pytest.fixture
def faulty(clean: Path) -> Path:
    """One map is inverted, and one caption ends with a space."""
    map = clean / "source/000001.png"
    images.write(map, 255 - images.read(map), images.read_info(map))
    lines = (clean / "prompt.json").read_text().splitlines()
    record = json.loads(lines[2])
    lines[2] = json.dumps({**record, "prompt": record["prompt"] + " "})
    (clean / "prompt.json").write_text("\n".join(lines) + "\n")
    return clean


def lint(*words: object) -> tuple[int, list[str], str]:
    done = cn("dataset", "lint", *map(str, words), "--workers", "1")
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_a_clean_dataset(clean):
    code, out, err = lint(clean)
    assert (code, out) == (0, [])
    assert "3 pairs, no fault" in err
    assert lint(clean, "-q") == (
        0,
        [],
        f"warning: {clean}: half of its images have a short side below 97 pixels; Stable Diffusion is trained at 512\n",
    )


def test_one_line_for_each_fault_and_a_table(faulty):
    code, out, err = lint(faulty)
    assert code == 5
    file = faulty / "prompt.json"
    assert out[0].startswith(f"{file}:3: {faulty}/target/000002.png: [caption-spaces] its caption has white space")
    assert out[1].startswith(f"{file}:2: {faulty}/source/000001.png: [inverted] is mostly white, but canny maps are")
    assert all(line.endswith("(--fix repairs it)") for line in out)
    assert len(out) == 2
    assert "2 faults by rule" in err
    assert f"  inverted              1  {RULES['inverted'].about}" in err
    assert err.splitlines()[-1] == f"cn: {faulty}: {EXPECTED}"


def test_json(faulty):
    code, out, _ = lint(faulty, "--json")
    assert code == 5
    *faults, summary = map(json.loads, out)
    assert [(fault["rule"], fault["where"], fault["kind"]) for fault in faults] == [
        ("caption-spaces", f"{faulty}/prompt.json:3", None),
        ("inverted", f"{faulty}/prompt.json:2", "canny"),
    ]
    assert faults[1]["path"] == f"{faulty}/source/000001.png"
    assert summary == {
        "summary": {
            "pairs": 3,
            "images": 3,
            "faults": 2,
            "faulty_pairs": 2,
            "rules": {"caption-spaces": 1, "inverted": 1},
            "repaired": 0,
            "undo": None,
        }
    }


def test_a_shift_is_in_the_json(clean):
    map = clean / "source/000001.png"
    images.write(map, np.roll(images.read(map), (0, 4), axis=(0, 1)))
    code, out, _ = lint(clean, "--json")
    assert code == 5
    fault = json.loads(out[0])
    assert (fault["rule"], fault["shift"]) == ("misregistered", [4, 0])


def test_rules_are_chosen_and_ignored(faulty):
    assert [line.split("[")[1].split("]")[0] for line in lint(faulty, "--rule", "inverted")[1]] == ["inverted"]
    assert lint(faulty, "--ignore", "inverted", "--ignore", "caption-spaces")[0] == 0
    code, _, err = lint(faulty, "--rule", "invertd")
    assert code == 2
    assert "there is no rule 'invertd'; cn dataset lint --list-rules shows them" in err


def test_all_rules_are_listed():
    code, out, _ = lint("--list-rules")
    assert code == 0
    assert [line.split()[0] for line in out] == list(RULES)
    records = [json.loads(line) for line in lint("--list-rules", "--json")[1]]
    assert {record["rule"]: record["fix"] for record in records}["inverted"] == "invert"


def test_fix_and_undo(faulty):
    before = {path: path.read_bytes() for path in faulty.rglob("*") if path.is_file()}
    code, out, err = lint(faulty, "--fix", "--dry-run")
    assert code == 5
    assert all(line.endswith("(would be repaired)") for line in out)
    assert "--fix would repair 2 of 2; nothing was changed" in err

    code, out, err = lint(faulty, "--fix")
    assert code == 0
    assert all(line.endswith("(repaired)") for line in out)
    assert f"2 of 2 faults are repaired; --undo brings the originals back, from {faulty}/lint/undo/0001" in err
    assert lint(faulty)[0] == 0

    code, out, err = lint(faulty, "--undo")
    assert code == 0
    assert sorted(out) == [f"{faulty}/prompt.json", f"{faulty}/source/000001.png"]
    assert {path: path.read_bytes() for path in faulty.rglob("*") if path.is_file()} == before
    code, _, err = lint(faulty, "--undo")
    assert code == 3
    assert "has no changes of cn dataset lint --fix that could be undone" in err


def test_what_cannot_be_repaired_is_left_and_said(faulty):
    (faulty / "source/000000.png").unlink()
    images.write(faulty / "source/000000.png", np.zeros((96, 96, 3), np.uint8))
    code, _, err = lint(faulty, "--fix")
    assert code == 5
    assert err.splitlines()[-1] == f"cn: {faulty}: 1 fault left"


def test_what_is_no_dataset(tmp_path, clean):
    assert lint(tmp_path / "nowhere")[0] == 3
    (tmp_path / "empty").mkdir()
    code, _, err = lint(tmp_path / "empty")
    assert code == 3
    assert "no images in it" in err
    (clean / "prompt.json").write_text("")
    assert lint(clean)[0] == 3
    assert lint(clean, "--cond", "cany")[0] == 2


@pytest.mark.parametrize(
    ("words", "what"),
    [((), "PATH is missing"), (("x", "--dry-run"), "needs --fix"), (("x", "--fix", "--undo"), "exclude each other")],
)
def test_wrong_usage(words, what):
    code, _, err = lint(*words)
    assert code == 2
    assert what in err


def test_shards(faulty, tmp_path):
    """The same faults in WebDataset shards, where nothing can be repaired."""
    shard = tmp_path / "00000.tar"
    with tarfile.open(shard, "w") as tar:
        for number, line in enumerate((faulty / "prompt.json").read_text().splitlines()):
            record = json.loads(line)
            parts = {".png": "target", ".canny.png": "source"}
            contents = {suffix: (faulty / record[name]).read_bytes() for suffix, name in parts.items()}
            for suffix, data in {**contents, ".txt": record["prompt"].encode()}.items():
                info = tarfile.TarInfo(f"{number:06d}{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    code, out, err = lint(shard, "--rule", "inverted")
    assert code == 5
    assert out == [
        f"{shard}/000001.png: {shard}/000001.canny.png: [inverted] is mostly white, but canny maps are white lines, "
        "one pixel wide, on black; invert it (cn sample: --invert)"
    ]
    code, _, err = lint(shard, "--fix")
    assert code == 2
    assert "--fix repairs datasets with prompt.json" in err


def test_photographs_before_they_are_a_dataset(tmp_path):
    for number in range(3):
        image = np.random.default_rng(number % 2).integers(0, 255, (300, 300, 3)).astype(np.uint8)
        images.write(tmp_path / f"{number}.png", image)
        (tmp_path / f"{number}.txt").write_text(f"noise {number}")
    code, out, err = lint(tmp_path)
    assert code == 5
    assert out == [f"{tmp_path}/2.png: [duplicate] is the same image as {tmp_path}/0.png; keep one of them"]
    assert "only images are checked" in err


@pytest.mark.slow
def test_as_a_program_with_two_workers(faulty):
    done = cn_process("dataset", "lint", faulty, "--workers", "2")
    assert done.returncode == 5
    assert len(done.stdout.splitlines()) == 2
    assert b"\x1b" not in done.stderr
