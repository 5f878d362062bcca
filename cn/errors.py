"""The failures that a user can cause or fix, each with the exit code that scripts rely on.

The core raises these; `cn.app.run` turns them into one line on stderr and an exit status, and the commands do so for
one file of many.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit statuses of every command (part of the command line's contract)."""

    OK = 0
    INTERNAL_ERROR = 1
    USAGE = 2
    BAD_INPUT = 3
    WEIGHTS = 4
    PARTIAL = 5
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    TERMINATED = 143


class CnError(Exception):
    """An expected failure. `str(error)` is the one line that a user reads: "PATH: WHAT", or WHAT without a path.

    `what` says what is wrong and what to do; `path` is the file or folder that it is about.
    """

    exit_code = ExitCode.INTERNAL_ERROR

    def __init__(self, what: str = "", *, path: str | os.PathLike[str] | None = None):
        super().__init__(what)
        self.what = what
        self.path = None if path is None else os.fspath(path)

    def __str__(self) -> str:
        return self.what if self.path is None else f"{self.path}: {self.what}"


class CnWarning(UserWarning):
    """What a person should know though the work goes on; the command line shows it as a line, once."""


@contextlib.contextmanager
def about(path: str | os.PathLike[str]) -> Iterator[None]:
    """For the code that opens a file: errors of the `with` block that have no path get this one."""
    try:
        yield
    except CnError as error:
        if error.path is None:
            error.path = os.fspath(path)
        raise


class UsageError(CnError):
    """Invalid or conflicting command-line options."""

    exit_code = ExitCode.USAGE


class InputError(CnError):
    """A file or value that was given is missing, broken or of the wrong shape."""

    exit_code = ExitCode.BAD_INPUT


class UnreadableError(InputError):
    """A file that the system could not read: missing, forbidden, or on a disk or a network that failed."""


class MissingError(UnreadableError):
    """A file, an object or a bucket that is not there."""


class OutputError(InputError):
    """A file or folder that cannot be written."""

    def __init__(self, what: str = "", *, path: str | os.PathLike[str] | None = None, number: int | None = None):
        super().__init__(what, path=path)
        self.number = number
        """The operating system's number for the reason (`errno`), where it gave one."""

    @property
    def stays(self) -> bool:
        """Whether every other file would fail in the same way: no space, a disk that went or takes nothing."""
        return self.number in _FAULTS_OF_DISKS


_FAULTS_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENOTCONN, errno.ENODEV)


class WeightsError(CnError):
    """Weights are missing, or do not fit the networks or files that they are used with."""

    exit_code = ExitCode.WEIGHTS


class PartialError(CnError):
    """Some of the work was done and is kept; the rest failed and has been listed."""

    exit_code = ExitCode.PARTIAL


class OutputClosedError(CnError):
    """The reader of standard output has closed it (`cn … | head`); the command ends quietly."""

    exit_code = ExitCode.PIPE_CLOSED


class StoppedError(CnError):
    """The work was stopped from outside; everything that was finished has been kept."""

    exit_code = ExitCode.INTERRUPTED


class ReportedError(CnError):
    """The command ends with this exit code, and another of its processes has said why."""

    def __init__(self, exit_code: int):
        super().__init__()
        self.exit_code = ExitCode(exit_code) if exit_code in set(ExitCode) else ExitCode.INTERNAL_ERROR


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised in the main thread: code that saves its state on Ctrl-C saves it on SIGTERM too."""


_MEMORY = ("insufficient memory", "not enough memory", "out of memory", "allocate memory")
"""What OpenCV, torch and the system say when memory is short."""


def is_memory_error(error: Exception) -> bool:
    """Whether memory was short: of Python, OpenCV or torch."""
    text = "" if isinstance(error, CnError) else str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _MEMORY)
