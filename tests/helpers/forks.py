"""Command lines of `cn`, each in a fork of one program that has imported no more than `cn` does at its start.

What a command line imports shows as in a program of its own, without the half second that starting one takes.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.cli import program_environment

_SCRIPT = """
import json, os, sys
from cn import app
jobs, heavy = json.load(sys.stdin)
for cwd, prefix, words in jobs:
    if os.fork():
        os.wait()
        continue
    os.chdir(cwd)
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(prefix + name, os.O_WRONLY | os.O_CREAT), stream)
    code = int(app.run(words))
    sys.stdout.flush()
    loaded = [name for name in heavy if name in sys.modules]
    with open(prefix + "end", "w") as file:
        json.dump([code, loaded], file)
    os._exit(0)
"""


@dataclass(frozen=True)
class Ended:
    """How a command line ended, and which of the modules that were asked about it has imported."""

    code: int
    loaded: list[str]
    stdout: str
    stderr: str


def in_forks(jobs: Sequence[tuple[Path, Sequence[str]]], heavy: Sequence[str]) -> list[Ended]:
    """Run command lines one after the other, each in its folder."""
    with tempfile.TemporaryDirectory() as folder:
        prefixes = [Path(folder, f"{number}-") for number in range(len(jobs))]
        given = [(str(cwd), str(prefix), list(words)) for (cwd, words), prefix in zip(jobs, prefixes, strict=True)]
        subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            input=json.dumps([given, list(heavy)]),
            text=True,
            check=True,
            env=program_environment(),
        )
        return [_ended(prefix) for prefix in prefixes]


def _ended(prefix: Path) -> Ended:
    out, err, end = (Path(f"{prefix}{name}").read_text() for name in ("out", "err", "end"))
    code, loaded = json.loads(end)
    return Ended(code, loaded, out, err)
