"""The worker: a line each, errors that end nothing, networks that stay in memory."""

import json
from pathlib import Path

import numpy as np
import pytest

from cn import images
from cn.errors import UsageError
from cn.model.graphs import Graphs
from cn.sample import pipeline as pipelines
from cn.sample import serve
from cn.sample.request import SampleRequest
from cn.sample.serve import Worker
from cn.sample.speed import Ways
from tests.helpers.cli import cn, cn_process
from tests.helpers.graphs import Capture

QUICK = {"steps": 2, "size": (64, 64)}


@pytest.fixture
def worker(tiny_base_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request = SampleRequest(prompts=("a house",), base=str(tiny_base_file), **QUICK)
    return Worker(request, out="made", warn=pytest.fail)


def answers(worker: Worker, *records: object) -> list[dict]:
    return list(worker.answers(one if isinstance(one, str | bytes) else json.dumps(one) for one in records))


def test_each_line_gets_its_answer_in_order(worker):
    found = answers(
        worker,
        {"id": 1, "prompt": "a red house", "seed": 3, "out": "red.png"},
        "",
        {"prompt": "a tree", "count": 2},
        {"id": "x", "steps": 0},
        "{broken",
        b"\xff\xfe",
        [1],
        {"id": 2, "cond": "missing.png"},
        {"id": 3, "out": 5},
        {"id": 4, "colour": "red"},
        {"id": 5},
    )
    assert found[0] == {"id": 1, "images": [{"path": "red.png", "prompt": "a red house", "seed": 3}]}
    assert [one["path"] for one in found[1]["images"]] == ["made/base-seed0.png", "made/base-seed1.png"]
    assert [one.get("code") for one in found[2:9]] == [3, 3, 3, 3, 3, 2, 3]
    for number, words in ((2, "steps"), (4, "UTF-8"), (5, "JSON object"), (6, "missing.png"), (8, "colour")):
        assert words in found[number]["error"], found[number]
    assert [one.get("id") for one in found[2:]] == ["x", None, None, None, 2, 3, 4, 5]
    assert found[-1]["images"][0]["path"] == "made/base-seed0-2.png", "existing files are kept"
    assert images.read("red.png").shape == (64, 64, 3)


def test_images_are_those_of_a_run_of_its_own(worker, tiny_base_file):
    answers(
        worker, {"prompt": "x", "seed": 9, "out": "other.png"}, {"prompt": "a red house", "seed": 3, "out": "a.png"}
    )
    words = ["--base", tiny_base_file, "--steps", "2", "--size", "64x64", "--prompt", "a red house", "--seed", "3"]
    assert cn("sample", *words, "--out", "b.png", "--quiet").returncode == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_controls_are_loaded_once(worker, sampling_folder, monkeypatch):
    loaded = []
    original = pipelines.open_control
    monkeypatch.setattr(pipelines, "open_control", lambda *args, **o: loaded.append(args) or original(*args, **o))
    worker.warn = lambda message: None
    line = {"cond": str(sampling_folder / "canny.png"), "control": str(sampling_folder / "run")}
    found = answers(worker, *[{**line, "seed": seed, "out": f"{seed}.png"} for seed in range(3)])
    assert all("images" in one for one in found)
    assert len(loaded) == 1
    assert not np.array_equal(images.read("0.png"), images.read("1.png"))


def test_networks_are_prepared_for_the_gpu(worker, sampling_folder, monkeypatch):
    """Those of each line, whose control may be a new one."""
    prepared = []
    monkeypatch.setattr(pipelines, "prepare", lambda job, *rest: prepared.append(len(job.controls)))
    worker.warn = lambda message: None
    line = {"cond": str(sampling_folder / "canny.png"), "control": str(sampling_folder / "run")}
    found = answers(worker, {}, line, {"seed": 3})
    assert all("images" in one for one in found)
    assert prepared == [0, 1, 0]


def test_each_line_is_computed_in_the_way_that_suits_it(worker, monkeypatch):
    """Here lines of one image are captured and larger ones are not; what was captured stays between lines."""
    asked = []

    def ways(job, batch, options, device):
        asked.append((job.images, batch))
        return Ways(captured=batch == 1)

    monkeypatch.setattr(serve, "choose_ways", ways)
    monkeypatch.setattr(serve, "batch_size", lambda job, options, free: job.images)
    capture = Capture()
    worker._engine.graphs = Graphs(pytest.fail, capture)
    found = answers(worker, {"out": "a.png"}, {"count": 3, "out": "three"}, {"seed": 2, "out": "b.png"})
    assert all("images" in one for one in found)
    assert asked == [(10, 1), (30, 3), (10, 1)]
    assert capture.captured == 1
    assert capture.replayed == 2 * QUICK["steps"]
    alone = np.abs(images.read("b.png").astype(int) - images.read("three/base-seed2.png"))
    assert alone.max() <= 1


def test_an_existing_file_is_replaced_only_on_request(worker):
    first, second, third = answers(
        worker, {"out": "a.png"}, {"out": "a.png", "seed": 1}, {"out": "a.png", "seed": 2, "overwrite": True}
    )
    assert [one["images"][0]["path"] for one in (first, second, third)] == ["a.png", "a-2.png", "a.png"]


def test_the_command(tiny_base_file, tmp_path):
    """Answers come while standard input is open, and nothing else is on standard output."""
    lines = b'{"id": 1, "out": "a.png"}\n{"id": 2, "steps": -1}\n'
    words = ["sample", "--serve-stdin", "--base", tiny_base_file, "--steps", "1", "--size", "64x64"]
    done = cn_process(*words, stdin=lines, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["id"], one.get("code")) for one in found] == [(1, None), (2, 3)]
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize("words", ["--prompts x.txt", "--grid", "--number", "--prompt -", "--cond -"])
def test_what_does_not_go_with_it(words):
    assert cn("sample", "--serve-stdin", *words.split()).returncode == UsageError.exit_code
