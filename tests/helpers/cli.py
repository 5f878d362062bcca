"""Running `cn` with its exit code, stdout and stderr: in this process, or the way a person does, as a program.

Starting Python and torch takes seconds, so a test whose subject is neither processes, signals, real streams nor what
is imported calls `cn`, which runs the very function behind the program.
"""

import contextlib
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from cn import app

PROGRAM = (sys.executable, "-m", "cn.app")

_QUIET_WARNINGS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""What Python itself does not show unless asked."""


def cn(
    *words: str | Path, cwd: Path | None = None, stdin: bytes | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command line in this process; stdout and stderr as text."""
    done = cn_bytes(*words, cwd=cwd, stdin=stdin, env=env)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def cn_bytes(
    *words: str | Path, cwd: Path | None = None, stdin: bytes | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run one command line in this process; stdout and stderr as bytes."""
    arguments = [str(word) for word in words]
    streams = {
        "stdin": io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin or b"")), "utf-8", "surrogateescape"),
        "stdout": io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape"),
        "stderr": io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace"),
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(cwd or Path.cwd()))
        stack.enter_context(mock.patch.dict(os.environ, _variables(env)))
        for name, stream in streams.items():
            stack.enter_context(mock.patch.object(sys, name, stream))
        stack.enter_context(_warnings_on_stderr())
        code = app.run(arguments)
        streams["stdout"].flush()
        streams["stderr"].flush()
    _forget()
    out, err = (streams[name].buffer.getvalue() for name in ("stdout", "stderr"))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(arguments, int(code), out, err)


def cn_process(
    *words: str | Path, cwd: Path | None = None, stdin: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run `cn` as a program, to the end; stdout and stderr as bytes."""
    command = [*PROGRAM, *map(str, words)]
    return subprocess.run(command, cwd=cwd, input=stdin or b"", capture_output=True, env=program_environment())


def start_cn(*words: str | Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Start `cn` as a program, in a process group of its own, without waiting."""
    command = [*PROGRAM, *map(str, words)]
    return subprocess.Popen(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=program_environment(),
        start_new_session=True,
    )


def _forget() -> None:
    """Clear what was read from standard input, which a program can read only once."""
    if (module := sys.modules.get("cn.detect.pose.json_detector")) is not None:
        module._open.cache_clear()


@contextlib.contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    """Python's warnings where a program shows them, not where pytest collects them: tests say what stderr holds."""

    def show(message: Warning | str, category: type[Warning], file: str, line: int, *_: object) -> None:
        sys.stderr.write(warnings.formatwarning(message, category, file, line))

    with warnings.catch_warnings():
        warnings.resetwarnings()
        for category in _QUIET_WARNINGS:
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _variables(extra: dict[str, str] | None) -> dict[str, str]:
    return {"COLUMNS": "100", "TERM": "xterm", **(extra or {})}


def program_environment() -> dict[str, str]:
    # The package is imported from the checkout, wherever the command runs.
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent), **_variables(None)}
