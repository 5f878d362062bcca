"""`cn dataset cache` through the command line: what it prints, removes and refuses."""

import json
import shutil

import pytest

from cn import app
from tests.conftest import write_pairs
from tests.helpers.forks import in_forks


def cn(*words: object) -> int:
    return app.run([str(word) for word in words])


@pytest.fixture
def pairs(tmp_path):
    return write_pairs(tmp_path / "pairs", 3)


def test_makes_updates_and_removes(pairs, tiny_base_file, tmp_path, capsys):
    words = ["dataset", "cache", pairs, "--base", tiny_base_file, "--device", "cpu"]
    assert cn(*words, "--dry-run") == 0
    assert not (pairs / "cache").exists()
    shown = capsys.readouterr()
    assert "3, the largest centered square of each at 64×64" in shown.err
    assert shown.out == ""
    assert cn(*words) == 0
    shown = capsys.readouterr()
    (folder,) = (pairs / "cache").iterdir()
    assert shown.out == f"{folder}\n"
    assert folder.name.endswith("-64-fp32")
    assert "3 images encoded" in shown.err
    assert cn(*words, "--json", "-q") == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert (record["path"], record["images"], record["encoded"], record["prompts"]) == (str(folder), 3, 0, 4)
    assert 0 < size - record["bytes"] < 2000
    assert shown.err == ""
    assert cn(*words, "--precision", "bf16", "-q") == 0
    assert len(list((pairs / "cache").iterdir())) == 2
    capsys.readouterr()
    assert cn("dataset", "cache", pairs, "--remove", "--base", tiny_base_file, "--precision", "fp32", "-q") == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert cn("dataset", "cache", pairs, "--remove", "--json", "-q") == 0
    assert json.loads(capsys.readouterr().out)["path"].endswith("-bf16")
    assert not (pairs / "cache").exists()
    assert cn("dataset", "cache", pairs, "--remove") == 0
    assert "has no such cache" in capsys.readouterr().err


def test_train_says_which_cache_it_reads(pairs, tiny_base_file, capsys):
    assert cn("dataset", "cache", pairs, "--base", tiny_base_file, "--device", "cpu", "-q") == 0
    train = ["train", "--data", pairs, "--base", tiny_base_file, "--device", "cpu", "--dry-run"]
    train += ["--batch-size", 1, "--preview-every", 0, "--eval-every", 0]
    assert cn(*train) == 0
    assert f"read from {pairs}/cache/" in capsys.readouterr().err
    assert cn(*train, "--no-cache") == 0
    assert "/cache/" not in capsys.readouterr().err
    (pairs / "target/1.png").write_bytes((pairs / "target/2.png").read_bytes() + b"x")
    assert cn(*train) == 0
    shown = " ".join(capsys.readouterr().err.split())
    assert "1 of 3 images changed or were copied since it was made" in shown
    assert "update it with: cn dataset cache" in shown


def test_images_that_cannot_be_read_are_named(pairs, tiny_base_file, capsys):
    (pairs / "target/1.png").write_bytes(b"no image")
    assert cn("dataset", "cache", pairs, "--base", tiny_base_file, "--device", "cpu", "-q") == 0
    shown = " ".join(capsys.readouterr().err.split())
    assert f"cannot be read, and cn train skips it: {pairs}/target/1.png" in shown


AT_ONCE = [
    ("none", 3, "none: no such file or folder"),
    ("none --remove", 3, "none: no such file or folder"),
    ("pairs --base nothing", 4, "no weights are called"),
    ("pairs --precision int8", 2, "'int8' is not one of"),
    ("pairs --size 0", 2, "--size"),
    ("kinds", 2, "maps of several kinds; choose one with --cond: canny, depth"),
    ("s3://bucket/set --remove", 2, "copy the dataset first"),
]


def test_what_can_be_refused_is_refused_before_torch_is_loaded(pairs, tmp_path):
    for kind in ("canny", "depth"):
        shutil.copytree(pairs, tmp_path / "kinds" / kind)
    ended = in_forks([(tmp_path, ["dataset", "cache", *words.split()]) for words, *_ in AT_ONCE], ["torch"])
    for (words, code, message), done in zip(AT_ONCE, ended, strict=True):
        assert (done.code, done.loaded, done.stdout) == (code, [], ""), (words, done.stderr)
        assert message in " ".join(done.stderr.split()), words


def test_sizes_that_the_base_cannot_have(pairs, tiny_base_file, capsys):
    assert cn("dataset", "cache", pairs, "--base", tiny_base_file, "--size", 100, "--device", "cpu") == 2
    assert "--size must be a multiple of 64" in capsys.readouterr().err
