"""Images on terminals that show them, above the progress bar; nothing of them anywhere else."""

import fcntl
import io
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import textwrap

import pytest
from PIL import Image
from rich.console import Console
from rich.segment import Segment

from cn import console, terminal


class Rows:
    """Stands for textual-image's classes: as many lines of text as the image is high."""

    def __init__(self, image, width, height):
        self.height = height

    def __rich_console__(self, console, options):
        for _ in range(self.height):
            yield Segment("####\n")


@pytest.fixture
def shown():
    """Shows an image of a size, and returns what was written to the terminal."""
    terminal._image_rows.clear()

    def show(width, height, columns=80, lines=40):
        out = io.StringIO()
        page = Console(file=out, force_terminal=True, width=columns, height=lines)
        terminal.show_image(Image.new("RGB", (width, height)), Rows, page)
        return out.getvalue()

    yield show
    terminal._image_rows.clear()


def test_an_image_takes_the_place_of_the_last_one(shown):
    assert shown(64, 64).count("####") == terminal.MAX_IMAGE_ROWS
    again = shown(64, 64)
    assert again.startswith(f"\x1b[{terminal.MAX_IMAGE_ROWS}A")
    with terminal.lifted():
        pass  # A line was written below it: the next image stands below that.
    assert "\x1b[" not in shown(64, 64)


def test_an_image_fits_into_the_terminal(shown):
    assert shown(64, 64, lines=20).count("####") == 10
    assert shown(1000, 100, columns=80).count("####") == 4
    assert shown(10000, 10, columns=80) == "", "it would be less than a line"


def test_not_off_a_terminal_and_not_when_quiet(monkeypatch):
    monkeypatch.setattr(terminal, "image_renderable", lambda: Rows)
    assert console.image_view() is None
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert console.image_view(quiet=True) is None
    monkeypatch.setenv("TERM", "dumb")
    assert console.image_view() is None


SCRIPT = textwrap.dedent("""
    import numpy as np
    from cn import console
    show = console.image_view()
    with console.progress(2, "steps") as advance:
        for _ in range(2):
            if show is not None:
                show(np.zeros((64, 64, 3), np.uint8))
            advance(1)
    console.emit("done" if show is not None else "nothing to show with")
""")


def on_a_terminal(answer, columns=80):
    """What a terminal gets to see that answers the question for what it can do (primary device attributes)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40 if columns else 0, columns, 10 * columns, 800))
    program = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    seen = b""
    try:
        while select.select([ours], [], [], 60)[0]:
            try:
                some = os.read(ours, 65536)
            except OSError:  # Linux: the program has ended.
                break
            if not some:
                break
            seen += some
            if some.endswith(b"\x1b[c"):
                os.write(ours, answer)
    finally:
        os.close(ours)
    assert program.wait(60) == 0
    return seen


def test_a_terminal_with_sixels():
    pytest.importorskip("textual_image")
    seen = on_a_terminal(b"\x1b[?62;4c")
    assert seen.count(b"\x1bP") == 2, "a sixel image each time"
    assert seen.rstrip().endswith(b"done")


def test_a_terminal_without():
    seen = on_a_terminal(b"\x1b[?62c")
    assert b"\x1bP" not in seen
    assert b"nothing to show with" in seen
    assert b"nothing to show with" in on_a_terminal(b"\x1b[?62;4c", columns=0)
