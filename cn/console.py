"""What a person and a script see: results on stdout, everything else on stderr.

Results are lines on stdout: a path, or a JSON object. Progress, plans and warnings are on stderr; bars only when stderr
is a terminal. Off a terminal there are no control characters, and `NO_COLOR` is honored. Only `cn.app` and
`cn.commands` use this module.
"""

import contextlib
import dataclasses
import json as json_module
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, Protocol

from cn.errors import InputError, OutputClosedError

_BOLD, _YELLOW, _RED, _DIM = "1", "33", "31", "2"


class Advance(Protocol):
    """Moves a progress bar on by `n`; `fields` (loss=…, failed=…) are shown behind it."""

    def __call__(self, n: int = 1, **fields: object) -> None: ...


def is_terminal(stream: IO[str]) -> bool:
    """Whether a person looks at `stream` on a terminal that understands control characters."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def status(message: str, *, quiet: bool = False) -> None:
    """One line on stderr that says what is going on; nothing when `quiet`."""
    if not quiet:
        _line(printable(message))


def warn(message: str) -> None:
    """One line on stderr that a person should read even with `--quiet`."""
    _line(f"{_paint('warning:', _YELLOW)} {printable(message)}")


def error(message: str) -> None:
    """The one line that says why a command, or one file of many, failed."""
    _line(f"{_paint('cn:', _RED)} {printable(' '.join(message.split()))}")


def printable(text: str) -> str:
    """`text` with escapes for what is not printable: files' names and contents may hold what moves the cursor."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def plan(title: str, rows: Mapping[str, object] | Iterable[tuple[str, object]], *, quiet: bool = False) -> None:
    """What will be done, on stderr: a title above aligned name-value rows. A value of None leaves its row out."""
    if quiet:
        return
    pairs = [(name, printable(str(value))) for name, value in dict(rows).items() if value is not None]
    width = max((len(name) for name, _ in pairs), default=0)
    lines = [_paint(title, _BOLD)]
    for name, value in pairs:
        first, *rest = value.splitlines() or [""]
        lines.append(f"  {_paint(name.ljust(width), _DIM)}  {first}")
        lines.extend(f"  {' ' * width}  {line}" for line in rest)
    _line("\n".join(lines))


@contextlib.contextmanager
def progress(
    total: int | None, description: str, *, unit: str = "it", initial: int = 0, quiet: bool = False
) -> Iterator[Advance]:
    """A bar on stderr with rate, time left and further fields, for the length of a `with` block.

    Gives a function `advance(n=1, **fields)`; numbers among the fields are shown with four digits. Nothing is drawn
    when stderr is no terminal or `quiet` is set, and then tqdm is not even imported. `initial` is how much was done
    before (a resumed run), so that rate and time left are those of this run.
    """
    if quiet or not is_terminal(sys.stderr):
        yield lambda n=1, **fields: None
        return
    from tqdm import tqdm

    # Some terminals (a container's) claim to have no columns and rows; tqdm would believe them and draw nothing.
    known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
    shape: dict[str, Any] = {"dynamic_ncols": True} if known else {"ncols": 80, "nrows": 24}
    if unit == "B":
        shape |= {"unit_scale": True, "unit_divisor": 1000}
    bar = tqdm(total=total, desc=description, unit=unit, initial=initial, file=sys.stderr, smoothing=0.1, **shape)

    def advance(n: int = 1, **fields: object) -> None:
        if fields:
            bar.set_postfix({name: _short(value) for name, value in fields.items()}, refresh=False)
        bar.update(n)

    with bar:
        yield advance


def emit(result: object, json: bool = False) -> None:
    """One result on stdout, flushed: a path or text as it is, or with `json` a record as one line of JSON.

    A record is a mapping or a dataclass; a plain path becomes `{"path": …}`. Without `json`, a record shows its
    "output" or "path". Raises OutputClosedError when nobody reads stdout any more,
    and InputError when it cannot be written (a full disk).
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
        # A script gets names as they are; a terminal would obey what is in them.
        text = printable(text)
    try:
        _write(text, sys.stdout)
    except BrokenPipeError as closed:
        raise OutputClosedError("nobody reads standard output any more") from closed
    except OSError as error:
        raise InputError(f"standard output: cannot be written: {error.strerror}") from error


def _line(text: str) -> None:
    # stderr may be gone as well (`cn … 2>&1 | head`), or full; then there is nobody left to tell.
    with contextlib.suppress(OSError):
        _write(text, sys.stderr)


def _write(text: str, stream: IO[str]) -> None:
    """Write a line, lifting a progress bar out of its way when one is being drawn."""
    tqdm_module = sys.modules.get("tqdm")
    if tqdm_module is not None and is_terminal(sys.stderr):
        tqdm_module.tqdm.write(text, file=stream)
    else:
        stream.write(text + "\n")
    stream.flush()


def _paint(text: str, code: str) -> str:
    if "NO_COLOR" in os.environ or not is_terminal(sys.stderr):
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
