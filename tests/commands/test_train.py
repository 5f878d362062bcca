"""`cn train` through the command line: what it prints, and how it fails."""

import json

import numpy as np
import pytest

from cn import app, images
from tests.conftest import write_pairs


def cn(*words: object) -> int:
    return app.run([str(word) for word in words])


def test_command_trains_and_prints_the_control(tmp_path, tiny_base_file, pair_set, capsys):
    run = tmp_path / "run"
    words = ["train", "--cond", "depth", "--base", tiny_base_file, "--data", pair_set, "--out", run]
    words += ["--batch-size", 1, "--preview-every", 0, "--workers", 0, "--device", "cpu"]
    assert cn(*words, "--steps", 2, "--dry-run") == 0
    assert not run.exists()
    assert cn(*words, "--steps", 2) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{run / 'control.safetensors'}\n"
    assert "Training a ControlNet for depth" in shown.err
    assert cn("train", "--resume", run, "--steps", 3, "--json", "-q", "--workers", 0, "--device", "cpu") == 0
    record = json.loads(capsys.readouterr().out)
    assert record == {"path": str(run / "control.safetensors"), "kind": "depth", "step": 3, "run": str(run)}
    assert cn("train", "--resume", run, "--device", "cpu") == 0
    assert "already has its 3 steps" in capsys.readouterr().err


@pytest.mark.parametrize("out", [[], ["--out", "mine"]])
def test_the_maps_of_a_dataset_state_the_kind(out, tmp_path, tiny_base_file, pair_set, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["train", "--data", str(pair_set), "--base", str(tiny_base_file), "--device", "cpu", "--dry-run", *out]
    assert cn(*words) == 0
    shown = capsys.readouterr().err
    assert "Training a ControlNet for depth" in shown
    assert ("mine" if out else "runs/depth") in shown


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--cond depth --unlock all", 2, "--unlock needs --large-scale"),
        ("--cond depth --reconnect", 2, "--resume RUN"),
        ("--resume x --out y", 2, "no --out"),
        ("", 2, "--cond KIND is required"),
        ("--cond depth --batch-size 0", 2, "--batch-size must be at least 1, not 0"),
        ("--cond depth --precision int8", 2, "'int8' is not one of"),
        ("--cond depth --cond-encoder small", 2, "'small' is not one of 'paper', 'released'"),
        ("--cond sketch --base {base}", 2, "unknown condition"),
        ("--cond depth --base {base} --size 60", 2, "multiple of 64"),
        ("--cond canny --base {base} --data {data}", 2, "holds depth maps, not canny"),
        ("--cond depth --base {base} --data {data}/none", 3, "no such file or folder"),
        ("--cond depth --base {base} --data {data} --lr 0", 2, "--lr must be"),
        ("--cond depth --base nothing", 4, "no weights are called"),
        ("--cond depth --base {base} --init-from {base}", 4, "a control was expected"),
        ("--resume {data}", 3, "not a training run"),
        ("--cond depth --base {base} --precision fp16", 2, "supported on CUDA only"),
    ],
)
def test_command_errors_are_one_line(words, code, message, tmp_path, tiny_base_file, pair_set, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = words.format(base=tiny_base_file, data=pair_set).split()
    assert cn("train", *given, "--device", "cpu") == code
    shown = capsys.readouterr()
    assert message in " ".join(shown.err.split())
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []


def test_data_that_is_mostly_bad_is_refused_before_training(tmp_path, tiny_base_file, capsys):
    def refused(change, message):
        data = tmp_path / f"data{len(list(tmp_path.iterdir()))}"
        for number in range(len(list(write_pairs(data, 3).glob("source/*")))):
            change(data, number)
        words = ["--cond", "depth", "--base", tiny_base_file, "--data", data, "--out", tmp_path / "run"]
        assert cn("train", *words, "--steps", 1, "--device", "cpu") == 3
        assert message in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "run").exists()

    refused(lambda d, n: (d / f"source/{n}.png").unlink(), "prompt.json:2: the source image")
    refused(lambda d, n: (d / f"target/{n}.png").write_text("some text"), "2.png: not an image but text")
    refused(lambda d, n: (d / "prompt.json").write_text('{"source": "a.p'), "prompt.json:1: invalid JSON")
    refused(
        lambda d, n: images.write(d / f"source/{n}.png", np.zeros((64, 32, 3), np.uint8)),
        "prompt.json:1: source is 32×64 and target 64×64",
    )
