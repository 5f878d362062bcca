"""Signals and the time limit: the current step is finished and saved, and the run goes on from there."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cn.errors import ExitCode, StoppedError
from cn.train import preview, recorder
from cn.train import run as runs
from cn.train import task as tasks
from cn.train.run_folder import find_state
from cn.train.stop import EXIT_CODES, StopRequest, TimeLimit, stop_requests
from cn.train.trackers.tensorboard import EVENTS
from cn.train.world import World
from tests.helpers.cli import cn
from tests.helpers.training import Listener, begin, resume, same, train, weights


def raising(*numbers: signal.Signals, at: int) -> Listener:
    """Sends these signals after step `at`."""
    return Listener(lambda result: [signal.raise_signal(n) for n in numbers] if result.step == at else None)


@pytest.mark.parametrize("number", EXIT_CODES)
def test_every_signal_saves_and_has_its_exit_code(number, tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    before = {n: signal.getsignal(n) for n in EXIT_CODES}
    words = f"stopped after step 2; continue with: cn train --resume {run}"
    if EXIT_CODES[number] == ExitCode.OK:
        result = train(begin(run, tiny_base_file, pair_set, steps=9), raising(number, at=2))
        assert (result.step, result.stopped) == (2, words)
    else:
        with pytest.raises(StoppedError, match=words) as stopped:
            train(begin(run, tiny_base_file, pair_set, steps=9), raising(number, at=2))
        assert stopped.value.exit_code == EXIT_CODES[number]
    assert find_state(run).step == 2
    assert {n: signal.getsignal(n) for n in EXIT_CODES} == before
    assert train(resume(run, steps=3)).stopped == ""


def test_slurm_sends_two_signals_and_the_first_one_counts(tmp_path, tiny_base_file, pair_set):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=9)
    result = train(task, raising(signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM, signal.SIGINT, at=2))
    assert "stopped after step 2" in result.stopped
    assert find_state(tmp_path / "run").step == 2


def test_the_time_limit_saves_and_ends_with_0(tmp_path, tiny_base_file, pair_set):
    """Each look at the clock finds it ten minutes later; a quarter of an hour before had passed when it began."""
    limited, free = tmp_path / "limited", tmp_path / "free"
    now = [3600.0]

    def clock() -> float:
        now[0] += 600
        return now[0]

    task = begin(limited, tiny_base_file, pair_set, steps=20, max_hours=2)
    result = runs.train(task, workers=0, started=2700.0, clock=clock)
    assert 1 <= result.step < 12
    assert result.stopped == f"stopped after step {result.step}; continue with: cn train --resume {limited}"
    assert find_state(limited).step == result.step
    assert now[0] - 2700 >= 2 * 3600
    assert train(resume(limited, max_hours=0)).step == 20
    train(begin(free, tiny_base_file, pair_set, steps=20))
    assert same(weights(limited), weights(free))
    assert same(*(weights(find_state(run).folder, "optimizer") for run in (limited, free)))


def test_the_time_limit_is_that_many_hours():
    at = [100.0]
    limit = TimeLimit(1.5, 100.0, lambda: at[0])
    assert not limit.is_over
    at[0] = 100 + 1.5 * 3600
    assert limit.is_over
    assert not replace(limit, hours=0).is_over


def test_the_command_ends_with_0_and_says_how_to_go_on(tmp_path, tiny_base_file, pair_set, monkeypatch):
    run = tmp_path / "run"
    words = ["train", "--cond", "depth", "--base", tiny_base_file, "--data", pair_set, "--out", run, "--steps", 9]
    words += ["--batch-size", 2, "--preview-every", 0, "--workers", 0]
    monkeypatch.setattr(StopRequest, "__bool__", lambda self: True)
    done = cn(*words, "--json")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        0,
        f"stopped after step 0; continue with: cn train --resume {run}",
    )
    assert '"stopped": "stopped after step 0' in done.stdout


def test_slurm_s_warning_while_the_data_is_checked(tmp_path, tiny_base_file, pair_set, monkeypatch):
    """Nothing is there to save yet, and a job whose time is up has not failed."""
    monkeypatch.setattr(tasks, "open_data", lambda *args: signal.raise_signal(signal.SIGUSR1))
    words = ["train", "--cond", "depth", "--base", tiny_base_file, "--data", pair_set, "--out", tmp_path / "run"]
    before = signal.getsignal(signal.SIGUSR1)
    done = cn(*words, "-q")
    assert done.returncode == 0
    assert "before the first step: nothing was written" in done.stderr
    assert not (tmp_path / "run").exists()
    assert signal.getsignal(signal.SIGUSR1) == before


def during(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int, number: signal.Signals) -> None:
    """Send a signal in the middle of the run: within call `call` (from 1) of a function."""
    function: Callable[..., object] = getattr(owner, name)
    calls = [0]

    def stopped(*args: object, **named: object) -> object:
        calls[0] += 1
        if calls[0] == call:
            signal.raise_signal(number)
        return function(*args, **named)

    monkeypatch.setattr(owner, name, stopped)


def finish(run: Path, free: Path, base: Path, data: Path, **given: object) -> None:
    """Resume to the end: as if nothing had been, but for TensorBoard's events, of which each session has a file."""
    train(resume(run))
    train(begin(free, base, data, **given))
    assert same(weights(run), weights(free))
    names = [{path.relative_to(r) for path in r.rglob("*")} for r in (run, free)]
    names = [{name for name in each if EVENTS not in name.parts} for each in names]
    assert names[0] == names[1]


@pytest.mark.usefixtures("quick_previews")
def test_a_stop_during_a_preview_saves_the_step_before_it(tmp_path, tiny_base_file, pair_set, monkeypatch):
    monkeypatch.setattr(preview, "COUNT", 1)
    given = {"steps": 4, "preview_every": 3, "save_every": 100}
    with monkeypatch.context() as patch:
        during(patch, preview.Preview, "sample", 2, signal.SIGTERM)
        with pytest.raises(StoppedError, match="after step 3"):
            train(begin(tmp_path / "run", tiny_base_file, pair_set, **given))
    assert find_state(tmp_path / "run").step == 3
    assert not (tmp_path / "run/previews/step-000003.png").exists()
    finish(tmp_path / "run", tmp_path / "free", tiny_base_file, pair_set, **given)


def test_a_stop_during_a_save_completes_it(tmp_path, tiny_base_file, pair_set, monkeypatch):
    given = {"steps": 6, "save_every": 2}
    with monkeypatch.context() as patch:
        during(patch, recorder, "save_state", 3, signal.SIGUSR1)
        result = train(begin(tmp_path / "run", tiny_base_file, pair_set, **given))
    assert result.step in (4, 5)
    assert find_state(tmp_path / "run").step == result.step
    finish(tmp_path / "run", tmp_path / "free", tiny_base_file, pair_set, **given)


def test_a_closed_terminal_stops_a_run_unless_it_was_started_with_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with stop_requests() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop
            assert stop.exit_code() == ExitCode.TERMINATED
    finally:
        signal.signal(signal.SIGHUP, before)


class Two(World):
    """Two processes; the other one wants to stop, or has the flag that is asked for."""

    def any(self, flag: bool) -> bool:
        return True


def test_what_another_process_wants_is_agreed_upon():
    stop = StopRequest()
    assert not stop
    assert stop.agree(Two(0, 2))
    assert stop
    assert stop.exit_code(Two(0, 2)) == ExitCode.INTERRUPTED
