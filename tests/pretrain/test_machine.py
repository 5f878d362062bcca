"""Stages on all GPUs of a machine: which process runs what, in which order, and what happens when one of them fails."""

import argparse
import json
import sys
from pathlib import Path

import pytest

from cn.pretrain import machine

PROGRAM = """
import json, os, sys, time
from pathlib import Path
words = sys.argv[1:]
stages = [word.partition("=")[0] for word in words[: next(i for i, w in enumerate(words) if w.startswith("--"))]]
work = Path(words[words.index("--work") + 1])
for stage in stages:
    line = {"stage": stage, "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "rank": os.environ.get("RANK"),
            "words": words}
    with (work / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\\n")
    if stage == "render":
        if (work / "broken").exists():
            sys.exit(7)
        if not (work / "quick").exists():
            time.sleep(60)
        (work / "rendered").touch()
    elif (work / "waits").exists():
        time.sleep(60)
    elif stage not in ("evaluate", "install"):
        complete = not (work / f"stop-{stage}").exists()
        (work / f"stage-{stage}.json").write_text(json.dumps([{"complete": complete}]))
        (work / f"{stage}.pt").touch()
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs stages with a program that only says what it was asked for: (exit code, what was run, what was said)."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    monkeypatch.setattr(machine, "PROGRAM", (sys.executable, str(program)))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def call(*stages: str, gpus: int = 2) -> tuple[int, list[dict], str]:
        args = argparse.Namespace(
            stages=list(stages), work=tmp_path, gpus=gpus, workers=3, session_minutes=float("inf"), lr=None, images=64
        )
        code = machine.run_on_machine(args)
        log = tmp_path / "log.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        log.unlink(missing_ok=True)
        return code, lines, capsys.readouterr().err

    return call


@pytest.fixture
def work(tmp_path) -> Path:
    return tmp_path


def test_all_gpus_train_the_base_together_and_each_a_control_of_its_own(run, work):
    code, lines, said = run("render", "autoencoder=1", "denoiser=2", "control-canny=3", "control-depth=1", "evaluate")
    assert (code, said) == (0, "")
    ranks = [(line["stage"], line["rank"]) for line in lines if line["rank"] is not None]
    assert sorted(ranks[:2]) == [("autoencoder", "0"), ("autoencoder", "1")]
    assert sorted(ranks[2:]) == [("denoiser", "0"), ("denoiser", "1")]
    own = {line["stage"]: line["gpu"] for line in lines if line["stage"].startswith("control-")}
    assert own == {"control-canny": "0", "control-depth": "1"}
    assert lines[-1]["stage"] == "evaluate"
    # Rendering had not ended, and was stopped with the base's training.
    assert not (work / "rendered").exists()
    render = next(line["words"] for line in lines if line["stage"] == "render")
    assert render[render.index("--workers") + 1] == "3"
    assert render[render.index("--device") + 1] == "cpu"
    assert "--lr" not in render


def test_without_a_base_to_train_all_scenes_are_rendered_first(run, work):
    (work / "quick").touch()
    code, lines, _ = run("render", "control-canny", "reader", gpus=1)
    assert code == 0
    assert [line["stage"] for line in lines] == ["render", "control-canny", "reader"]
    assert (work / "rendered").exists()


def test_complete_stages_of_the_base_are_not_started_again(run, work):
    (work / "quick").touch()
    assert run("render", "autoencoder", "denoiser", gpus=1)[0] == 0
    assert [line["stage"] for line in run("render", "autoencoder", "denoiser", gpus=1)[1]] == ["render"]


@pytest.mark.parametrize("stage", ["denoiser", "control-canny"])
def test_a_stage_that_is_stopped_stops_all_after_it(run, work, stage):
    (work / f"stop-{stage}").touch()
    code, lines, said = run("denoiser", "control-canny", "evaluate")
    assert (code, said) == (5, f"error: not complete: {stage}; the same command goes on\n")
    assert lines[-1]["stage"] == stage


def test_training_does_not_wait_for_scenes_that_cannot_be_rendered(run, work):
    (work / "broken").touch()
    (work / "waits").touch()
    code, _, said = run("render", "autoencoder")
    assert (code, said) == (1, "error: render ended with exit code 7\n")


def test_a_control_comes_after_the_one_that_it_starts_from():
    words = ["control-hough=1", "control-depth=3", "control-canny=2", "reader=1", "control-scribble=1", "dense=4"]
    lanes = machine.lanes_of(words, 2)
    first = next(lane for lane in lanes if "control-canny=2" in lane)
    assert first[:3] == ["control-canny=2", "control-hough=1", "control-scribble=1"]
    assert sorted(word for lane in lanes for word in lane) == sorted(words)


def test_gpus_share_the_minutes():
    words = [f"control-{kind}={minutes}" for kind, minutes in (("hed", 5), ("depth", 3), ("normal", 2), ("coco", 1))]
    assert [sum(float(word.partition("=")[2]) for word in lane) for lane in machine.lanes_of(words, 2)] == [6, 5]
    assert machine.lanes_of(["reader"], 4) == [["reader"]]


def test_a_process_has_one_of_the_gpus_that_are_given(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    environment = machine.Machine(argparse.Namespace(gpus=2), 0.0)._environment(1)
    assert environment["CUDA_VISIBLE_DEVICES"] == "6"
