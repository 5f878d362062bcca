"""What `cn dataset build` does when the disk is full, a process is killed, or two want the same folder."""

import contextlib
import errno
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import psutil
import pytest

from cn import app, storage
from cn.files import open_atomic
from tests.helpers.cli import start_cn
from tests.helpers.photos import contents, write_photos
from tests.helpers.waiting import wait_until

WORDS = ("--cond", "canny", "--cond", "scribble", "--cond", "hough", "--method", "scribble=gradient",
         "--method", "hough=lsd", "--resolution", "64", "-q")  # fmt: skip


def build(src: Path, out: Path) -> int:
    """In this process, without workers."""
    return app.run([str(word) for word in ("dataset", "build", src, out, *WORDS, "--workers", 1)])


def whole(folder: Path) -> dict[str, bytes]:
    """All files but the locks of processes that were killed."""
    return {name: data for name, data in contents(folder).items() if not name.startswith("build/locks/")}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos") / "photos", 120)


@pytest.fixture(scope="module")
def expected(photos, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("expected") / "set"
    assert build(photos, out) == 0
    return whole(out)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk(tmp_path, photos, expected, number, monkeypatch, capsys):
    out = tmp_path / "set"
    written = []

    def fail_later(path, durable=True):
        written.append(path)
        if len(written) > 100:
            raise storage.OutputError(f"cannot be written: {os.strerror(number)}", path=path, number=number)
        return open_atomic(path, durable=durable)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "open_atomic", fail_later)
        assert build(photos, out) == 3
    message = capsys.readouterr().err
    assert os.strerror(number) in message
    assert "the same command continues" in message
    assert message.count("\n") == 1
    assert not any("prompt.json" in name for name in contents(out))
    assert build(photos, out) == 0
    assert whole(out) == expected


def test_a_killed_build_continues_to_the_same_bytes(tmp_path, photos, expected):
    rng = np.random.default_rng(0)
    # The build is killed once so many files are there, drawn from all that there will be.
    for number, files in enumerate(rng.integers(3, len(expected), 3)):
        out = tmp_path / f"set{number}"
        process = start_cn("dataset", "build", photos, out, *WORDS, "--workers", "2")
        wait_until(lambda out=out, files=files, p=process: count_files(out) >= files or p.poll() is not None)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert build(photos, out) == 0
        assert whole(out) == expected


def count_files(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.suffix) if folder.exists() else 0


def test_a_worker_that_dies_costs_nothing(tmp_path, photos, expected):
    out = tmp_path / "set"
    process = start_cn("dataset", "build", photos, out, *WORDS, "--workers", "3")
    killed = []

    def kill_one() -> bool:
        if process.poll() is not None:
            return True
        if not any((out / "build").glob("status/*.jsonl")):
            return False
        # On a busy machine they start, and end, far from each other.
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "spawn_main" in str(child.cmdline()):
                    child.kill()
                    killed.append(child.pid)
                    return True
        return False

    wait_until(kill_one)
    _, errors = process.communicate()
    assert killed
    assert process.returncode == 0, errors.decode()
    assert whole(out) == expected


def test_two_builds_at_once(tmp_path, photos, capsys):
    out = tmp_path / "set"
    process = start_cn("dataset", "build", photos, out, *WORDS, "--workers", "2")
    try:
        wait_until(lambda: (out / "build/locks/build.json").exists() or process.poll() is not None)
        os.kill(process.pid, signal.SIGSTOP)
        assert build(photos, out) == 3
        assert f"process {process.pid} on " in capsys.readouterr().err
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.communicate()
    assert process.returncode == 0
    assert not any(name.startswith("build/locks/") for name in contents(out))


def test_ctrl_c_keeps_what_is_done(tmp_path, photos, expected):
    out = tmp_path / "set"
    process = start_cn("dataset", "build", photos, out, *WORDS, "--workers", "2")
    wait_until(lambda: any((out / "build").glob("status/*.jsonl")) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 130, errors.decode()
    assert b"Traceback" not in errors
    done = len(list((out / "build/status").iterdir()))
    assert 0 < done < 8
    assert build(photos, out) == 0
    assert whole(out) == expected
