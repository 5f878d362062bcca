"""`make paper`: which run is done when and where, and data sets that are made meanwhile."""

import json
import os
import time
from concurrent.futures import Future
from dataclasses import replace

import pytest
import torch

from cn.files import sha256
from tools.paper import preparation, schedule, slots
from tools.paper.experiments import experiments
from tools.paper.settings import FULL, QUICK
from tools.paper.spec import Run
from tools.paper.statistics import MIN_SEEDS
from tools.paper.taken_data import take_first
from tools.paper.workplace import SCRATCH, Workplace

ARMS = {arm.name: arm for one in experiments(FULL) for arm in one.arms}


@pytest.fixture
def place(tmp_path, tiny_base_file):
    return Workplace(tmp_path / "work", QUICK, str(tiny_base_file), "cpu")


class AllThere:
    """In place of `Preparation`: nothing need be made, except what is `late`, which never is."""

    late = ""

    def __init__(self, runs, place):
        pass

    def problem(self, run):
        return None if run.arm.data == self.late else ""

    def pending(self, runs):
        return [Future() for run in runs if run.arm.data == self.late]

    def close(self):
        pass


def dies_at_seed_1(run, place):
    """In place of a run: its process is gone, as for want of memory."""
    if run.seed == 1:
        os._exit(9)
    time.sleep(0.5)
    return f"{os.environ.get(slots.VISIBLE)} {os.getpid()}"


def done(run, place):
    return ""


@pytest.mark.slow
def test_a_process_that_dies_takes_no_other_run_with_it_and_gpus_are_shared(place, monkeypatch):
    monkeypatch.setattr(slots, "in_process", dies_at_seed_1)
    monkeypatch.setattr(schedule, "Preparation", AllThere)
    monkeypatch.setattr(schedule, "visible_gpus", lambda device: ["4", "7"])
    runs = [Run(ARMS["drop-0"], seed) for seed in range(6)]
    found = {run.seed: said for run, said in schedule.do(runs, place, 2)}
    assert found.pop(1) == schedule.LOST
    assert {said.split()[0] for said in found.values()} == {"4", "7"}
    assert len({said.split()[1] for said in found.values()}) <= 3, "processes stay"
    alone = [Run(ARMS["cost-bundled-control"], seed) for seed in (0, 2)]
    assert len({said.split()[1] for _, said in schedule.do(alone, place, 1)}) == 2, "memory is measured in new ones"


@pytest.mark.slow
def test_no_run_waits_for_the_data_of_another_one(place, monkeypatch):
    late, there = Run(ARMS["scale-50000"], 0), Run(ARMS["drop-0"], 0)
    monkeypatch.setattr(slots, "in_process", done)
    monkeypatch.setattr(schedule, "Preparation", AllThere)
    monkeypatch.setattr(AllThere, "late", late.arm.data)
    session = schedule.do([late, there], place, 1)
    assert next(session) == (there, "")
    monkeypatch.setattr(Workplace, "seconds_left", property(lambda self: 0.0))
    assert list(session) == [], "and the session ends in time"


def test_a_piece_of_the_program_is_a_report_already(place):
    """First come the seeds that verdicts need, those that are measured alone after the others."""
    runs = [run for one in experiments(FULL) for run in one.runs]
    found = schedule.to_do(runs, place, gpu=True)
    late = [run.seed >= MIN_SEEDS for run in found]
    assert late == sorted(late)
    first = [run.arm.alone for run in found if run.seed < MIN_SEEDS]
    assert first == sorted(first)
    assert any(first)


def test_runs_are_spread_over_the_gpus_that_may_be_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv(slots.VISIBLE, raising=False)
    assert slots.visible_gpus("auto") == ["0", "1"]
    assert slots.visible_gpus("cuda:1") == slots.visible_gpus("cpu") == []
    monkeypatch.setenv(slots.VISIBLE, "GPU-3f, 5")
    assert [slot.gpu for slot in slots.make_slots(5, slots.visible_gpus("cuda"))] == [
        "GPU-3f",
        "5",
        "GPU-3f",
        "5",
        "GPU-3f",
    ]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert slots.make_slots(1, slots.visible_gpus("auto"))[0].gpu is None


def test_scenes_are_rendered_once_for_all_data_sets(place, monkeypatch):
    rendered, command = [], Workplace.cn

    def cn(self, *words):
        before = {path.stat().st_ino for path in self.folder.rglob("*.png")}
        command(self, *words)
        rendered.append(len({path.stat().st_ino for path in self.folder.rglob("*.png")} - before) // 2)

    monkeypatch.setattr(Workplace, "cn", cn)
    monkeypatch.setattr("tools.paper.workplace.RENDERED_AT_ONCE", 3)
    four, eight, two = (place.make_data(f"canny-{count}", "canny") for count in (4, 8, 2))
    assert rendered == [3, 1, 0, 2, 2, 0]
    lines = [(path / "prompt.json").read_text().splitlines() for path in (two, four, eight)]
    assert [len(one) for one in lines] == [2, 4, 8]
    assert lines[2][:2] == lines[0]
    place.make_data("canny-8", "canny")
    other = replace(place, folder=place.folder / "other")
    whole = other.make_data("canny-8", "canny")
    for file in ("prompt.json", "source/000005.png", "target/000001.png"):
        assert (whole / file).read_bytes() == (eight / file).read_bytes()


def test_a_data_set_that_was_not_finished_is_begun_again(tmp_path):
    source, path = tmp_path / "canny-2", tmp_path / "canny-1"
    for role in ("source", "target"):
        (source / role).mkdir(parents=True)
        (source / role / "0.png").write_bytes(b"image")
    (source / "prompt.json").write_text(json.dumps({"source": "source/0.png", "target": "target/0.png"}) + "\n")
    (tmp_path / "canny-1.part" / "source").mkdir(parents=True)
    take_first(source, path, 1)
    assert (path / "source" / "0.png").read_bytes() == b"image"
    assert not path.with_name("canny-1.part").exists()


def test_latents_are_those_of_the_base_that_is_trained(place):
    arm = replace(ARMS["depth-scratch"], data="depth-2", evaluations=())
    run = Run(arm, 0)
    there = preparation.Preparation([run], replace(place, deadline=0.0))
    assert there.problem(run) is None or "session was over" in there.problem(run)
    there.close()
    preparation.prepare(run, place)
    assert preparation.Preparation([run], place).problem(run) == ""
    caches = [json.loads(file.read_text()) for file in place.folder.rglob("cache.json")]
    assert [cache["base_sha256"] for cache in caches] == [sha256(place.base_path(SCRATCH))]
