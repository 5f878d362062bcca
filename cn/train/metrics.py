"""`RUN/metrics.jsonl`: one line for each step of a run."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cn.files import write_atomic

METRICS = "metrics.jsonl"


class Metrics:
    """Appends lines of JSON, each with its "step"."""

    def __init__(self, file: Path):
        self.file = file

    def trim(self, step: int) -> None:
        """Drop the lines of later steps, which are taken again, and what a killed process left of a line."""
        if self.file.exists():
            lines = self.file.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if _step_of(line) <= step]
            if kept != lines:
                write_atomic(self.file, b"".join(kept))

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one line and flush it. The file is not kept open, so that one that was deleted is noticed."""
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(dict(record)) + "\n")

    def sync(self) -> None:
        """Wait until the lines are on the disk: a state that outlives a power failure has its lines."""
        if self.file.exists():
            with self.file.open("rb") as stream:
                os.fsync(stream.fileno())


def _step_of(line: bytes) -> float:
    """A line's step; infinity for an incomplete line."""
    try:
        return float(json.loads(line)["step"]) if line.endswith(b"\n") else float("inf")
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return float("inf")
