"""What a person and a script see: results on stdout, everything else on stderr.

Results are lines on stdout: a path, or a JSON object. Progress, plans and warnings go to stderr; bars only when stderr
is a terminal. Without a terminal there are no control characters, and `NO_COLOR` is respected. `cn.terminal` draws what
only a terminal shows. Only `cn.app` and `cn.commands` use this module.
"""

import codecs
import contextlib
import dataclasses
import json as json_module
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Protocol

from cn.errors import CnWarning, InputError, OutputClosedError

_YELLOW, _RED = "33", "31"

OUTPUT_ERRORS = "cn.output"
"""The error handler of stdout: what its encoding lacks is written all the same."""


def _written_all_the_same(error: UnicodeError) -> tuple[str | bytes, int]:
    """A byte of a file name that is not valid text as this byte, another character as an escape, as on stderr."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    first = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    try:
        return codecs.lookup_error("surrogateescape")(first)
    except UnicodeEncodeError:
        return codecs.backslashreplace_errors(first)


codecs.register_error(OUTPUT_ERRORS, _written_all_the_same)


class Advance(Protocol):
    """Advances a progress bar by `n`; `fields` (loss=…, failed=…) are shown after it."""

    def __call__(self, n: int = 1, **fields: object) -> None: ...


def is_terminal(stream: IO[str]) -> bool:
    """Whether `stream` is a terminal that understands control characters."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def status(message: str, *, quiet: bool = False) -> None:
    """One line on stderr that says what is going on; nothing when `quiet`."""
    if not quiet:
        _line(printable(message))


def warn(message: str) -> None:
    """One line on stderr that a person should read even with `--quiet`."""
    _line(f"{_paint('warning:', _YELLOW)} {printable(message)}")


@contextlib.contextmanager
def shown_warnings() -> Iterator[None]:
    """In the block, a `CnWarning` of the core is a line as from `warn`, the same one only once."""
    with warnings.catch_warnings():
        other = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, CnWarning):
                warn(str(message))
            else:
                other(message, category, *rest, **more)

        warnings.showwarning = show  # type: ignore[assignment]
        warnings.simplefilter("default", CnWarning)
        yield


def error(message: str) -> None:
    """The one line that says why a command, or one file of many, failed."""
    _line(f"{_paint('cn:', _RED)} {printable(' '.join(message.split()))}")


def printable(text: str) -> str:
    """`text` with escapes for control characters, which file names and contents may hold."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def plan(title: str, rows: Mapping[str, object], *, quiet: bool = False) -> None:
    """What will be done, on stderr: a title above aligned name-value rows. A value of None leaves its row out."""
    if quiet:
        return
    shown = {name: printable(str(value)) for name, value in rows.items() if value is not None}
    if is_terminal(sys.stderr):
        from cn import terminal

        terminal.plan(title, shown)
        return
    width = max(map(len, shown), default=0)
    lines = [title]
    for name, value in shown.items():
        first, *rest = value.splitlines() or [""]
        lines += [f"  {name.ljust(width)}  {first}", *(f"  {' ' * width}  {line}" for line in rest)]
    _line("\n".join(lines))


@contextlib.contextmanager
def progress(
    total: int | None, description: str, *, unit: str = "it", initial: int = 0, quiet: bool = False
) -> Iterator[Advance]:
    """A bar on stderr with rate, time left and further fields, for the length of a `with` block.

    Yields a function `advance(n=1, **fields)`; numbers among the fields are shown with four digits. Without a terminal,
    or with `quiet`, nothing is drawn and rich is not imported. `initial` is how much was done before (a resumed run):
    rate and time left are those of this run.
    """
    if quiet or not is_terminal(sys.stderr):
        yield lambda n=1, **fields: None
        return
    from cn import terminal

    with terminal.progress_bar(total, description, unit, initial) as advance:
        yield advance


def image_view(*, quiet: bool = False) -> Callable[[Any], None] | None:
    """A function that shows an image, uint8 (h, w, 3), on this terminal; None where it shows none, or with `quiet`.

    Needs the extra `preview`, and all three standard streams to be the terminal.
    """
    if quiet or not (sys.stdin.isatty() and is_terminal(sys.stdout) and is_terminal(sys.stderr)):
        return None
    from cn import terminal

    renderable = terminal.image_renderable()
    if renderable is None:
        return None

    def show(array: Any) -> None:
        from PIL import Image

        terminal.show_image(Image.fromarray(array), renderable)

    return show


def emit(result: object, json: bool = False) -> None:
    """One result on stdout, flushed: a path or text as it is, or with `json` a record as one line of JSON.

    A record is a mapping or a dataclass; a plain path becomes `{"path": …}`. Without `json`, a record shows its
    "output" or "path". Raises OutputClosedError when the reader of stdout has gone, and
    InputError when stdout cannot be written (a full disk).
    """
    record: object = result
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        record = dataclasses.asdict(result)
    if json:
        if not isinstance(record, Mapping):
            record = {"path": str(record)}
        text = json_module.dumps(dict(record), default=str)
    elif isinstance(record, Mapping):
        text = str(record["output"] if record.get("output") is not None else record["path"])
    else:
        text = str(record)
    if is_terminal(sys.stdout):
        # A script gets names unchanged; a terminal would execute control characters in them.
        text = printable(text)
    try:
        _write(text, sys.stdout)
    except BrokenPipeError as closed:
        raise OutputClosedError("the reader of standard output has gone") from closed
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", path="standard output") from error


def _line(text: str) -> None:
    # stderr may be closed as well (`cn … 2>&1 | head`), or full; then the line is lost.
    with contextlib.suppress(OSError):
        _write(text, sys.stderr)


def _write(text: str, stream: IO[str]) -> None:
    """Write a line, above a progress bar if one is being drawn."""
    terminal = sys.modules.get("cn.terminal") if is_terminal(stream) else None
    with terminal.lifted() if terminal is not None else contextlib.nullcontext():
        stream.write(text + "\n")
        stream.flush()


def _paint(text: str, code: str) -> str:
    if "NO_COLOR" in os.environ or not is_terminal(sys.stderr):
        return text
    return f"\x1b[{code}m{text}\x1b[0m"
