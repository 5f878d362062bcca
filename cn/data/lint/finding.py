"""What a rule found."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def tidy(path: object) -> str:
    """A path without "..", as it is shown: maps and images are given relative to the folder of their kind."""
    text = str(path)
    return os.path.normpath(text) if text and "://" not in text else text


@dataclass(frozen=True)
class Finding:
    """One fault. `str()` is its line: where, which file, the rule, what is wrong and what to do."""

    rule: str
    where: str
    """The line that it is about, "FILE:LINE", or the dataset."""
    text: str
    """What is wrong; what to do."""
    path: str = ""
    """The image or map, if it is about one."""
    kind: str | None = None
    """The kind of condition, if it is about a map of a known one."""
    also: tuple[str, ...] = ()
    """Further lines that it is about."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """What was measured, as JSON values."""

    @property
    def lines(self) -> tuple[str, ...]:
        """All lines that it is about."""
        return (self.where, *self.also)

    def __str__(self) -> str:
        place = f"{self.where}: {tidy(self.path)}" if self.path not in ("", self.where) else self.where
        more = f" (and {len(self.also)} more lines)" if len(self.also) > 1 else ""
        more = " (and 1 more line)" if len(self.also) == 1 else more
        return f"{place}: [{self.rule}] {self.text}{more}"

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "rule": self.rule,
            "where": self.where,
            "path": tidy(self.path) or None,
            "kind": self.kind,
            "message": self.text,
            "also": list(self.also),
            **self.values,
        }
