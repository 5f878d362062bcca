"""Captions as lines of JSON, {"file_name": …, "text": …}: an index of such a file, and a journal that survives a kill.

These are the names of columns of Hugging Face's imagefolder, so that a list of captions can be its `metadata.jsonl`.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cn.errors import InputError, OutputError, UsageError
from cn.files import make_folder, reason
from cn.json_text import parse_json

try:
    import fcntl
except ImportError:  # Windows: two runs with one journal are then not prevented
    fcntl = None  # type: ignore[assignment]

NAME, TEXT = "file_name", "text"


def line(name: str, text: str) -> str:
    """One line, its newline included."""
    return json.dumps({NAME: name, TEXT: text}, ensure_ascii=False) + "\n"


class Index:
    """The captions of a file of lines. In memory are the names, and where their lines begin."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._places: dict[str, int] = {}

    def read(self) -> None:
        """Find all lines. Lines that are no captions, such as a last one that was cut off, do not count."""
        self._file.seek(0)
        while True:
            place = self._file.tell()
            if not (data := self._file.readline()):
                return
            if (found := _parsed(data)) is not None:
                self._places[found[0]] = place

    def names(self) -> Iterator[str]:
        """All names, in order."""
        return iter(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def get(self, name: str) -> str | None:
        """The caption of a name, if it has one."""
        if (place := self._places.get(name)) is None:
            return None
        self._file.seek(place)
        found = _parsed(self._file.readline())
        return None if found is None else found[1]


def _parsed(data: bytes) -> tuple[str, str] | None:
    if not data.endswith(b"\n"):
        return None
    try:
        record = parse_json(data)
    except InputError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get(NAME), str) or not isinstance(record.get(TEXT), str):
        return None
    return (record[NAME], record[TEXT]) if record[TEXT].strip() else None


@contextlib.contextmanager
def captions_of(path: Path) -> Iterator[Index | None]:
    """The captions of a finished file; None where there is none. Raises InputError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            index = Index(file)
            index.read()
            yield index
    except FileNotFoundError:
        yield None
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=path) from error


class Journal(Index):
    """A file to which each caption is appended as soon as it is known; see `journal`."""

    continued = False
    """Whether captions of an earlier run, with the same settings, were found in it."""

    def begin(self, settings: str) -> None:
        """Keep what an earlier run with the same settings wrote; start anew otherwise."""
        first = (json.dumps({"settings": settings}) + "\n").encode()
        self._file.seek(0)
        if self._file.readline() != first:
            self._file.truncate(0)
            self._file.seek(0)
            self._file.write(first)
            self._file.flush()
        self.read()
        self.continued = bool(self._places)
        # What a killed run left of its last line.
        self._file.seek(0)
        whole = sum(len(data) for data in self._file if data.endswith(b"\n"))
        self._file.truncate(whole)

    def add(self, name: str, text: str) -> None:
        """Append a caption. Raises OutputError when it cannot be written."""
        try:
            self._places[name] = self._file.seek(0, os.SEEK_END)
            self._file.write(line(name, text).encode())
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"cannot be written: {reason(error)}", path=self._file.name, number=error.errno
            ) from error


@contextlib.contextmanager
def journal(path: Path, settings: str) -> Iterator[Journal]:
    """The journal at `path` for captions with these settings, locked for this process.

    It stays when the block ends; who has made use of it removes it. Raises UsageError where another process has it.
    """
    make_folder(path.parent)
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "a+b"))
        except OSError as error:
            raise OutputError(f"cannot be written: {reason(error)}", path=path, number=error.errno) from error
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError("another cn is writing these captions right now", path=path) from None
        found = Journal(file)
        found.begin(settings)
        yield found
