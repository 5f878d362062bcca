"""`cn train --nproc`, and what torchrun's processes find in their environment."""

import os
import signal
import sys
import textwrap
import threading

import psutil
import pytest

from cn.errors import ExitCode, InputError, ReportedError, UsageError
from cn.train.distributed import launch
from cn.train.distributed.environment import launched, was_restarted
from cn.train.distributed.launch import process_count, without_option
from cn.train.request import check_request
from cn.train.run_folder import find_state
from tests.helpers.cli import cn, start_cn
from tests.helpers.training import QUICK, begin, train
from tests.helpers.waiting import wait_until

RANK_1 = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


def test_the_option_is_left_out_of_the_command_line_of_each_process():
    words = ["train", "--nproc", "2", "--cond", "depth", "--nproc=4", "--out", "--nproc2"]
    assert without_option(words, "--nproc") == ["train", "--cond", "depth", "--out", "--nproc2"]


@pytest.mark.parametrize(
    ("wanted", "device", "gpus", "count"),
    [("gpu", "auto", 8, 8), ("auto", "cuda", 2, 2), ("2", "cuda", 8, 2), ("4", "cpu", 2, 4), ("3", "auto", 0, 3)],
)
def test_number_of_processes(wanted, device, gpus, count, monkeypatch):
    monkeypatch.setattr(launch, "_gpus", lambda: gpus)
    assert process_count(wanted, device) == count


@pytest.mark.parametrize(
    ("wanted", "device", "message"),
    [
        ("3", "auto", r"this machine has 2 GPU\(s\), and each process needs one of its own"),
        ("gpu", "cpu", "this machine has no GPU; give a number and --device cpu"),
        ("999", "cpu", r"--nproc 999: this machine has no GPU, and CPU cores for \d+ processes at most"),
        ("0", "cpu", "must be auto, gpu or a number of processes, not '0'"),
        ("many", "cuda", "must be auto, gpu or a number of processes, not 'many'"),
    ],
)
def test_numbers_that_do_not_work(wanted, device, message, monkeypatch):
    monkeypatch.setattr(launch, "_gpus", lambda: 2)
    with pytest.raises(UsageError, match=message):
        process_count(wanted, device)


def test_what_is_wrong_is_said_before_processes_are_started(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "launch", lambda *_: pytest.fail("processes are started"))
    done = cn("train", "--nproc", "2", "--device", "cpu", "--cond", "depth", "--data", tmp_path / "none")
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr.count("cn: ") == 1


def test_places_of_processes(monkeypatch):
    assert launched() is None
    for name, value in RANK_1.items():
        monkeypatch.setenv(name, value)
    place = launched()
    assert place is not None
    assert (place.rank, place.size, place.local_rank, place.local_size) == (1, 2, 1, 2)
    assert not was_restarted()
    monkeypatch.delenv("MASTER_PORT")
    with pytest.raises(UsageError, match="MASTER_PORT must be set for several processes"):
        launched()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launched() is None, "torchrun with one process is one process"


def test_a_command_that_torchrun_starts_again_goes_on_with_its_run(tmp_path, tiny_base_file, pair_set, monkeypatch):
    run = tmp_path / "run"
    given = {"cond": "depth", "base": str(tiny_base_file), "data": (str(pair_set),), **QUICK, "steps": 3}
    train(begin(run, tiny_base_file, pair_set, steps=1))
    for name, value in {**RANK_1, "TORCHELASTIC_RESTART_COUNT": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="is not empty"):
        check_request(given, out=run)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    request = check_request(given, out=run)
    assert request.state == find_state(run)
    with pytest.raises(InputError, match="is not empty"):
        check_request({**given, "seed": 5}, out=run)


@pytest.fixture
def launched_as(monkeypatch):
    """Processes that run this Python code instead of `cn`, and end with its exit code."""

    def run(code: str, count: int = 2) -> int:
        monkeypatch.setattr(launch, "PROGRAM", (sys.executable, "-c", textwrap.dedent(code)))
        try:
            launch.launch(["some", "words"], count)
        except ReportedError as error:
            return int(error.exit_code)
        return 0

    return run


def test_processes_find_their_places(launched_as, tmp_path):
    code = f"""
        import os, pathlib, sys
        place = [os.environ[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")]
        pathlib.Path({str(tmp_path)!r}, place[0]).write_text(" ".join([*place, *sys.argv[1:]]))
    """
    assert launched_as(code, 3) == 0
    assert [(tmp_path / str(rank)).read_text() for rank in range(3)] == [f"{r} {r} 3 3 some words" for r in range(3)]


def test_the_exit_code_is_that_of_the_processes(launched_as):
    assert launched_as("raise SystemExit(4)") == 4
    assert launched_as("raise SystemExit(77)") == ExitCode.INTERNAL_ERROR
    assert launched_as("import os; raise SystemExit(3 if os.environ['RANK'] == '1' else 0)") == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_reach_all_processes(launched_as, number, tmp_path):
    code = f"""
        import os, pathlib, signal, sys, time
        signal.signal({int(number)}, lambda *_: sys.exit(143))
        pathlib.Path({str(tmp_path)!r}, os.environ["RANK"]).touch()
        time.sleep(600)
    """

    def send() -> None:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    thread = threading.Thread(target=send)
    thread.start()
    assert launched_as(code) == 143
    thread.join()
    assert signal.getsignal(number) == before


def test_a_process_that_does_not_end_after_another_one_is_killed(launched_as, monkeypatch):
    monkeypatch.setattr(launch, "END_SECONDS", 0.5)
    assert launched_as("import os, time; time.sleep(600 if os.environ['RANK'] == '0' else 0); os._exit(5)") == 5


def test_a_killed_process_ends_a_run_and_only_rank_0_talks(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    options = ["--cond", "depth", "--base", tiny_base_file, "--data", pair_set, "--batch-size", 2, "--out", run]
    options += ["--steps", 5000, "--preview-every", 0, "--eval-every", 0, "--workers", 0]
    process = start_cn("train", *options, "--nproc", 2, "--device", "cpu")
    wait_until(lambda: (run / "metrics.jsonl").exists() or process.poll() is not None)
    second = next(p for p in psutil.Process(process.pid).children() if p.environ().get("RANK") == "1")
    second.kill()
    out, err = process.communicate()
    text = err.decode()
    assert (process.returncode, out) == (ExitCode.PARTIAL, b""), text
    assert text.count("Training a ControlNet") == text.count("cn: ") == 1
    step = find_state(run).step
    assert f"rank 1 was killed by SIGKILL; the state after step {step} is kept: continue with: cn train" in text
    assert step == len((run / "metrics.jsonl").read_text().splitlines()) >= 1
