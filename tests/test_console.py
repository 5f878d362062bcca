"""Output and its streams: stdout and stderr, colors, progress, closed and full streams."""

import errno
import io
import json
import os
import pty
import shlex
import subprocess
import sys
import textwrap

import pytest

from cn import console
from cn.errors import ExitCode, OutputClosedError
from tests.helpers.cli import PROGRAM, cn_process, program_environment


def test_no_color_and_no_terminal_give_no_control_characters():
    done = cn_process("detect", "canny", "nothing.png", "x.png")
    assert done.returncode == 3
    assert b"\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_characters_that_standard_output_lacks_are_escaped(encoding):
    """A byte of a name that is not valid text stays what it is."""
    script = r"from cn import app, console; app._prepare_streams(); console.emit('256\u00d7256 \udcff\u2728')"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, timeout=60)
    expected = {"ascii": b"256\\xd7256 \xff\\u2728\n", "utf-8": b"256\xc3\x97256 \xff\xe2\x9c\xa8\n"}
    assert (done.stdout, done.stderr) == (expected[encoding], b"")


@pytest.mark.parametrize("plain", [True, False])
def test_color_on_a_terminal_unless_no_color(plain):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"} | ({"NO_COLOR": "1"} if plain else {})
    if not plain:
        environment.pop("NO_COLOR", None)
    command = [*PROGRAM, "detect", "canny", "nothing.png", "x.png"]
    done = subprocess.run(command, stderr=theirs, stdout=theirs, env=environment, timeout=60)
    os.close(theirs)
    text = os.read(ours, 4096).decode()
    os.close(ours)
    assert done.returncode == 3
    assert "nothing.png: no such file" in text
    assert ("\x1b" in text) is not plain


def test_a_closed_pipe_ends_quietly(tmp_path):
    script = textwrap.dedent("""
        from cn import app, console
        from cn.weights import bundled
        def endless(*_):
            while True:
                console.emit("a line of output that never ends")
        bundled.files = endless
        app.main(["weights", "list"])
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == ExitCode.PIPE_CLOSED
    assert process.stderr.read() == b""
    process.stderr.close()


def test_emit_writes_paths_and_json_lines(capsys):
    console.emit("out/a.png")
    console.emit({"path": "a.jpg", "output": "a.png"})
    console.emit({"path": "a.jpg", "output": "a.png", "size": (3, 4)}, json=True)
    console.emit("out/b.png", json=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["out/a.png", "a.png"]
    assert json.loads(lines[2]) == {"path": "a.jpg", "output": "a.png", "size": [3, 4]}
    assert json.loads(lines[3]) == {"path": "out/b.png"}


def test_emit_reports_a_closed_reader(monkeypatch):
    class Closed:
        def isatty(self):
            return False

        def write(self, _):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(OutputClosedError):
        console.emit("a.png")


def test_plan_and_progress_off_a_terminal(capsys):
    console.plan("Training", {"steps": 100, "nothing": None, "data": "one\ntwo"})
    console.plan("Training", {"steps": 100}, quiet=True)
    with console.progress(3, "steps") as advance:
        advance(1, loss=0.5)
    assert capsys.readouterr().err == "Training\n  steps  100\n  data   one\n         two\n"


def test_progress_on_a_terminal_shows_rate_and_fields():
    script = textwrap.dedent("""
        import time
        from cn import console
        with console.progress(4, "steps") as advance:
            for _ in range(4):
                time.sleep(0.06)
                advance(1, loss=0.123456)
                console.status("a line between")
    """)
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", script], stderr=theirs, env={**os.environ, "TERM": "xterm"}, timeout=60)
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    assert "loss=0.1235" in text
    assert "4/4" in text
    assert "it/s" in text
    assert text.count("a line between") == 4


class ClosingTerminal(io.StringIO):
    """A terminal that is closed after some writes."""

    def __init__(self, writes: int):
        super().__init__()
        self.left = writes

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("writes", range(6))
def test_a_terminal_may_be_closed_at_any_time(monkeypatch, writes):
    terminal = ClosingTerminal(writes)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    with console.progress(2, "steps") as advance:
        advance(1)
        console.status("a line between")
        advance(1)
    console.plan("Plan", {"base": "a base"})
    assert terminal.left < 0


def test_a_terminal_that_was_closed_is_no_error():
    """The work goes on, or is saved: its end is not that of the bar."""
    script = textwrap.dedent("""
        import os
        from cn import console
        with console.progress(4, "steps") as advance:
            advance(1)
            os.read(0, 1)
            advance(1)
            console.status("a line between")
        print("saved")
    """)
    ours, theirs = pty.openpty()
    command, environment = [sys.executable, "-c", script], {**os.environ, "TERM": "xterm"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, **pipes, stderr=theirs, env=environment, start_new_session=True)
    os.close(theirs)
    os.read(ours, 1)
    os.close(ours)
    out, _ = process.communicate(b"x", timeout=60)
    assert (process.returncode, out) == (0, b"saved\n")


@pytest.mark.parametrize(
    ("redirection", "code"), [(">&-", 0), ("2>&-", 0), ("2>/dev/full", 0), ("<&-", 0), (">&- 2>&-", 0)]
)
def test_closed_and_full_streams_are_no_internal_error(redirection, code):
    line = f"{shlex.quote(sys.executable)} -m cn.app weights list {redirection}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=program_environment())
    assert (done.returncode, done.stderr) == (code, "")
