"""Training on every layout: the same losses, whatever the pairs are packed in."""

import json

import pytest

from cn import app
from tests.conftest import write_pairs
from tests.helpers.pair_layouts import LAYOUTS
from tests.helpers.training import begin, train


def losses(run) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_every_layout_gives_the_same_losses(tmp_path, tiny_base_file, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    pairs = write_pairs(tmp_path / "pairs", 5)
    train(begin(tmp_path / "run", tiny_base_file, pairs, steps=2))
    expected = losses(tmp_path / "run")
    for name, write in LAYOUTS.items():
        run = tmp_path / f"run-{name}"
        train(begin(run, tiny_base_file, write(pairs, tmp_path / name), steps=2))
        assert losses(run) == expected, name


def test_workers_read_shards_and_tables(tmp_path, tiny_base_file, pair_set, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=1))
    for name in ("webdataset", "parquet"):
        run = tmp_path / f"run-{name}"
        train(begin(run, tiny_base_file, LAYOUTS[name](pair_set, tmp_path / name), steps=1), workers=1)
        assert losses(run) == losses(tmp_path / "run"), name


@pytest.mark.parametrize(("count", "message"), [(1, "1 of 6 captions are longer than 75 tokens"), (0, None)])
def test_captions_that_are_cut_are_said_once(count, message, tmp_path, tiny_base_file, capsys):
    pairs = write_pairs(tmp_path / "pairs", 6)
    lines = (pairs / "prompt.json").read_text().splitlines()
    # "a" is one token: 75 of them fit, 76 do not.
    lines[0] = json.dumps({**json.loads(lines[0]), "prompt": " ".join(["a"] * (75 + count))})
    (pairs / "prompt.json").write_text("\n".join(lines))
    words = ["train", "--data", pairs, "--base", tiny_base_file, "--device", "cpu", "--dry-run"]
    assert app.run([str(word) for word in words]) == 0
    shown = " ".join(capsys.readouterr().err.split())
    assert shown.count("tokens") == count
    if message is not None:
        assert f"{message} (the longest has 76): what comes after is ignored" in shown
