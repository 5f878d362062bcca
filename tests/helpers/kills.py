"""Run a command again and again, killed each time at its next rename, link or sync; report what is left in a folder.

As a program, in one process that has imported everything, each run being a fork: FOLDER, then as JSON the command that
is killed, and the one that follows it, then `every`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers.cli import program_environment

_CALLS = ("replace", "rename", "link", "fsync")
MAX_KILLS = 60


def kill_everywhere(folder: Path, words: list[str], again: list[str], every: int = 1) -> list[dict[str, list[str]]]:
    """For each place where `words` can be killed, the files in `folder` after that, and after the command `again`.

    The last entry is that of a run that came to its end. With `every`, only each n-th place. The folder is emptied
    between the runs.
    """
    texts = [json.dumps(words), json.dumps(again), str(every)]
    command = [sys.executable, "-m", "tests.helpers.kills", str(folder), *texts]
    done = subprocess.run(command, capture_output=True, text=True, env=program_environment())
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def listing(folder: Path) -> list[str]:
    """All files and folders below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def _die_at(number: int) -> None:
    """Kill this process when it calls one of `_CALLS` for the time `number`."""
    left = [number]

    def patched(call: Callable[..., Any]) -> Callable[..., Any]:
        def function(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return function

    for name in _CALLS:
        setattr(os, name, patched(getattr(os, name)))


def _forked(words: list[str], die_at: int = 0) -> int:
    """Run one command in a fork, silently; its exit status, or minus the signal that ended it."""
    from cn import app

    child = os.fork()
    if not child:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        if die_at:
            os.dup2(silent, 2)
            _die_at(die_at)
        code = app.run(words)
        sys.stdout.flush()
        os._exit(int(code))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path, words: list[str], again: list[str], every: int) -> None:
    import torch

    from cn.checkpoints.write import writer  # noqa: F401
    from cn.detect.run import batch  # noqa: F401
    from cn.sample import pipeline  # noqa: F401
    from cn.train import run  # noqa: F401

    torch.set_num_threads(1)
    for number in range(1, MAX_KILLS, every):
        shutil.rmtree(folder, ignore_errors=True)
        code = _forked(words, number)
        killed = listing(folder)
        if code not in (0, -signal.SIGKILL):
            raise SystemExit(f"{words} ended with {code}")
        if code and _forked(again):
            raise SystemExit(f"{again} failed after the kill {number}, which left {killed}")
        print(json.dumps({"killed": killed, "after": listing(folder)}), flush=True)
        if not code:
            return
    raise SystemExit(f"{words} has more than {MAX_KILLS} places to be killed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4]))
