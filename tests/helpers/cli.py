"""Running `cn` the way a person does: in a process of its own, with its exit code, stdout and stderr."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = (sys.executable, "-m", "cn.app")


def cn(
    *words: str | Path, cwd: Path | None = None, stdin: bytes | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run to the end; stdout and stderr as text."""
    done = cn_bytes(*words, cwd=cwd, stdin=stdin, env=env)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def cn_bytes(
    *words: str | Path, cwd: Path | None = None, stdin: bytes | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run to the end; stdout and stderr as bytes."""
    command = [*PROGRAM, *map(str, words)]
    return subprocess.run(command, cwd=cwd, input=stdin or b"", capture_output=True, env=_environment(env), timeout=120)


def start_cn(*words: str | Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Start, in a process group of its own, without waiting."""
    command = [*PROGRAM, *map(str, words)]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(None), start_new_session=True
    )


def _environment(extra: dict[str, str] | None) -> dict[str, str]:
    # The package is imported from the checkout, wherever the command runs.
    root = str(Path(__file__).parent.parent.parent)
    return {**os.environ, "PYTHONPATH": root, "COLUMNS": "100", "TERM": "xterm", **(extra or {})}
