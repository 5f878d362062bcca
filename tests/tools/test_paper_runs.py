"""`make paper`: runs on a tiny base, their records, and sessions that go on."""

from dataclasses import replace

import pytest
import torch

from cn.caption.scene_captioner import SceneCaptioner
from cn.caption.scene_reader import SceneReader
from tests.helpers.doc_shell import unknown_options
from tools.paper import __main__ as program
from tools.paper import preparation, quality, schedule, work
from tools.paper.experiments import experiments
from tools.paper.journal import Journal, read_published
from tools.paper.settings import FULL, QUICK
from tools.paper.spec import FINAL, Arm, Run
from tools.paper.verdicts import UNCLEAR
from tools.paper.workplace import CommandError, OutOfTimeError, Workplace

TINY = replace(QUICK, seeds=1, few_seeds=1, validation=2, strengths=(1.0,), ends=(0.5,), scenes=4, channel_scenes=4)
TRIED = ("default", "concat", "reconnect", "large-decoder", "used", "depth-scratch", "cost-bundled-control")
"""Arms that together need all of the code; the others differ from them by options of `cn train` alone."""


@pytest.fixture(autouse=True)
def _made_up_reader(monkeypatch):
    """The network that reads images has made-up weights, so that these tests do not depend on the bundled ones."""

    def open_scene_captioner(settings, compute):
        torch.manual_seed(0)
        return SceneCaptioner(SceneReader(), settings, compute)

    monkeypatch.setattr(quality, "open_scene_captioner", open_scene_captioner)


@pytest.fixture
def place(tmp_path, tiny_base_file):
    return Workplace(tmp_path / "work", TINY, str(tiny_base_file), "cpu")


@pytest.fixture
def said(monkeypatch):
    """The commands that are given, as words."""
    given, command = [], Workplace.cn

    def cn(self, *words):
        given.append([str(word) for word in words])
        command(self, *words)

    monkeypatch.setattr(Workplace, "cn", cn)
    return given


def arms(settings):
    return {arm.name: arm for one in experiments(settings) for arm in one.arms}


def tiny(name, **changes):
    return Run(replace(arms(TINY)[name], **changes), 0)


@pytest.mark.slow
def test_experiments_run_and_are_reported(place, capsys):
    chosen = [replace(one, arms=tuple(arm for arm in one.arms if arm.name in TRIED)) for one in experiments(TINY)]
    assert not program.run(chosen, place, 0), capsys.readouterr().err
    records = Journal(place.folder / "records").all()
    assert {record["arm"] for record in records.values()} == set(TRIED)
    trajectory = records["default-0"]["evaluations"]["trajectory"]["subjects"]
    assert list(trajectory) == ["no control", "0", "2", "4", "reconstruction"]
    zero, base = ({**trajectory[name], "mismatched": 0} for name in ("0", "no control"))
    assert zero == base, "zero convolutions change nothing before the first step"
    assert len(trajectory["4"]["scores"]) == TINY.validation
    assert [one["step"] for one in records["reconnect-0"]["train"]["evaluations"]][-1] == TINY.steps
    assert records["large-decoder-0"]["train"]["steps"] == 6
    assert records["cost-bundled-control-0"]["train"]["step_seconds"] > 0
    assert "prompt_wins" in records["used-0"]["evaluations"]["strength 1, guidance 9"]["subjects"][""]
    assert not list((place.folder / "runs").glob("*/state"))
    assert schedule.to_do([run for one in chosen for run in one.runs], place, gpu=False) == []
    program.write_report(TINY, place.folder, place.folder)
    page = (place.folder / program.PAGE).read_text()
    assert f"{UNCLEAR}: 1 of at least 3 runs are there" in page
    for file in ("paper-fig21.png", "paper-default-trajectory.jpg", "paper-used-end-0.5.jpg"):
        assert f"]({file})" in page
        assert (place.folder / file).stat().st_size > 1000
    assert len(read_published(place.folder / program.RESULTS)) == len(TRIED)


@pytest.mark.slow
def test_a_session_goes_on_where_the_last_one_was_stopped(place, said, monkeypatch):
    run, journal = tiny("reconnect"), Journal(place.folder / "records")
    preparation.prepare(run, place)
    said.clear()
    command = Workplace.cn

    def stops(self, *words):
        if words[0] == "eval":
            raise OutOfTimeError
        command(self, *words)

    monkeypatch.setattr(Workplace, "cn", stops)
    assert "goes on" in work.in_process(run, place)
    assert [words[:2] for words in said] == [["train", "--out"], ["train", "--resume"]]
    assert journal.all() == {}
    monkeypatch.setattr(Workplace, "cn", command)
    said.clear()
    assert work.in_process(run, place) == ""
    assert {words[0] for words in said} == {"eval"}
    key = journal.read(run.name)["key"]
    assert schedule.to_do([run], place, gpu=False) == []
    other = Run(replace(run.arm, phases=(("--steps", "2", "--batch-size", "1", "--eval-every", "1"),)), 0)
    assert schedule.to_do([other], place, gpu=False) == [other]
    assert not journal.is_done(run.name, key[::-1])


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_go_on(place):
    good, bad = tiny("drop-0"), tiny("min-snr", phases=(("--steps", "2", "--batch-size", "1", "--lr", "-1"),))
    problems = {run.name: problem for run, problem in schedule.do([bad, good], place, 0)}
    assert "--lr" in problems["min-snr-0"]
    assert problems["drop-0-0"] == ""


def test_no_run_is_started_when_the_session_is_over(place):
    over = replace(place, deadline=0.0)
    assert list(schedule.do([tiny("default")], over, 0)) == []
    with pytest.raises(OutOfTimeError):
        preparation.prepare(tiny("default"), over)


def test_a_command_that_fails_says_why(place):
    with pytest.raises(CommandError, match=r"ended with 2: .*--nonsense"):
        place.cn("train", "--nonsense")


@pytest.mark.parametrize("settings", [FULL, QUICK], ids=lambda one: one.name)
def test_all_options_exist_and_arms_of_one_name_are_the_same(settings):
    found = {}
    for one in experiments(settings):
        assert one.arms
        for arm in one.arms:
            assert found.setdefault(arm.name, arm) == arm
            for words in arm.phases:
                assert unknown_options(["cn", "train", *words]) == []
            for measured in arm.evaluations:
                assert unknown_options(["cn", "sample" if measured.sampled else "eval", *measured.words]) == []
        names = {f"{arm.name}-{measured.file_name}" for arm in one.arms for measured in arm.evaluations}
        assert set(one.sheets) <= names
    if settings is FULL:
        assert min(arm.seeds for arm in found.values()) >= 3
        assert found["default"].seeds == 6


def test_damaged_records_are_run_again(tmp_path):
    journal = Journal(tmp_path)
    journal.write("a-0", {"arm": "a", "seed": 0, "key": "k"})
    (tmp_path / "b-0.json").write_text('{"arm": "b", ')
    (tmp_path / "c-0.json").write_text("[]")
    assert list(journal.all()) == ["a-0"]
    assert journal.is_done("a-0", "k")
    assert not journal.is_done("a-0", "other")
    assert not journal.is_done("b-0", "k")


def test_states_around_the_convergence_are_shown():
    columns = {name: [] for name in ("condition", "no control", *map(str, range(50, 601, 50)), "reconstruction")}
    shown = [name for name in work.around(columns, 200) if name.isdigit()]
    assert shown == [str(step) for step in range(50, 351, 50)]
    assert [name for name in work.around(columns, None) if name.isdigit()][-1] == "600"
    assert len(work.around(columns, 400)) == 3 + work.STATES


def test_the_command_line(tmp_path, capsys, tiny_base_file):
    with pytest.raises(SystemExit) as stop:
        program.main(["--only", "fig99"])
    assert stop.value.code == 2
    words = ["--dry-run", "--work", str(tmp_path), "--base", str(tiny_base_file), "--only", "fig21", "cost"]
    assert program.main(words) == 0
    out = capsys.readouterr().out
    assert "fig21" in out
    assert out.splitlines()[-1].split()[:2] == ["all", "36"]
    assert not (tmp_path / "runs").exists()
    assert program.main(["--report", "--work", str(tmp_path), "--out", str(tmp_path)]) == 0
    assert "No results are here yet" in (tmp_path / program.PAGE).read_text()


def test_an_arm_that_is_measured_otherwise_is_another_run():
    arm = Arm("a", (("--steps", "1"),), 3)
    one = Run(arm, 0).identity({})
    assert one == Run(replace(arm, seeds=6), 0).identity({})
    assert one != Run(arm, 1).identity({})
    assert one != Run(replace(arm, evaluations=(FINAL, replace(FINAL, name="other"))), 0).identity({})
    assert one != Run(arm, 0).identity({"base_sha256": "another"})
