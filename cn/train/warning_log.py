"""What is wrong with a run's data: all of it in RUN/warnings.txt, the first of it on the terminal."""

from collections.abc import Callable, Iterable
from pathlib import Path

WARNINGS = "warnings.txt"
MAX_SHOWN = 20
"""Skipped pairs that are shown one by one."""


class WarningLog:
    """Shows each warning once, and keeps it in a file (unless not `writing`), also over several sessions of a run."""

    def __init__(self, run: Path, show: Callable[[str], None], *, writing: bool = True):
        self.file, self.show, self.writing = run / WARNINGS, show, writing
        self.known = set(self.file.read_text(encoding="utf-8").splitlines()) if self.file.exists() else set()
        self.skipped: set[str] = set()

    def warn(self, message: str) -> None:
        """Show a warning, and keep it."""
        self._keep(message)
        self.show(message)

    def skip(self, message: str) -> None:
        """Note a broken pair, by its message; only the first MAX_SHOWN are shown."""
        if message in self.skipped:
            return
        self.skipped.add(message)
        line = f"skipped: {message}"
        self._keep(line)
        if len(self.skipped) <= MAX_SHOWN:
            self.show(line)
        elif len(self.skipped) == MAX_SHOWN + 1:
            self.show(f"more pairs are skipped; {self.file} lists all of them")

    def _keep(self, line: str) -> None:
        if self.writing and line not in self.known:
            self.known.add(line)
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")


def shortened(messages: Iterable[str]) -> list[str]:
    """The first messages about broken pairs, and how many more there are."""
    lines = [f"skipped: {message}" for message in messages]
    more = len(lines) - MAX_SHOWN
    return lines[:MAX_SHOWN] + ([f"{more} more pairs are skipped"] if more > 0 else [])
