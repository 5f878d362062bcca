"""Run a command again and again, killed each time at its next rename, link or sync; report what is left in a folder.

Each run is a fork of a process that has imported everything.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.helpers.warm import CONTEXT, in_fork

_CALLS = ("replace", "rename", "link", "fsync")
MAX_KILLS = 60


def kill_everywhere(folder: Path, words: list[str], again: list[str], every: int = 1) -> list[dict[str, list[str]]]:
    """For each place where `words` can be killed, the files in `folder` after that, and after the command `again`.

    The last entry is that of a run that came to its end. With `every`, only each n-th place. The folder is emptied
    between the runs.
    """
    return in_fork(_kill_everywhere, folder, words, again, every)


def listing(folder: Path) -> list[str]:
    """All files and folders below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def repair_killed(root: Path, what: str, number: int) -> int:
    """`fix` or `undo` of a dataset in a process that is killed at a change of a file; its exit status, as `_forked`."""
    process = CONTEXT.Process(target=_repair, args=(root, what, number))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _repair(root: Path, what: str, number: int) -> None:
    from cn.data.lint.contents import read_contents
    from cn.data.lint.fix import fix
    from cn.data.lint.lint import Lint, LintSettings
    from cn.data.lint.undo import undo

    found = list(Lint.open(root, LintSettings()).findings()) if what == "fix" else []
    _die_at(number, ("replace", "unlink", "fsync", "rmdir"))
    if what == "fix":
        fix(read_contents(root), found)
    else:
        undo(root)


def _die_at(number: int, calls: Sequence[str] = _CALLS) -> None:
    """Kill this process when it calls one of these functions for the time `number`."""
    left = [number]

    def patched(call: Callable[..., Any]) -> Callable[..., Any]:
        def function(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return function

    for name in calls:
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


def _kill_everywhere(folder: Path, words: list[str], again: list[str], every: int) -> list[dict[str, list[str]]]:
    import torch

    from cn.model.tokens import token_count

    torch.set_num_threads(1)
    token_count("The vocabulary is read once, and not in each fork.")
    runs = []
    for number in range(1, MAX_KILLS, every):
        shutil.rmtree(folder, ignore_errors=True)
        code = _forked(words, number)
        killed = listing(folder)
        assert code in (0, -signal.SIGKILL), f"{words} ended with {code}"
        assert not code or not _forked(again), f"{again} failed after the kill {number}, which left {killed}"
        runs.append({"killed": killed, "after": listing(folder)})
        if not code:
            return runs
    raise AssertionError(f"{words} has more than {MAX_KILLS} places to be killed")
