"""Datasets on disk: a folder with `prompt.json`, one JSON object per line, in the format of fill50k (official trainer).

Each line holds at least {"source", "target", "prompt"}; source (the condition) and target are paths relative to the
folder. Further keys are kept in `Pair.extra`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cn import errors
from cn.errors import InputError

RECORDS = "prompt.json"
_REQUIRED = ("source", "target", "prompt")


@dataclass(frozen=True)
class Pair:
    """One training example on disk. `where` is "FILE:LINE", for messages."""

    source: Path
    target: Path
    prompt: str
    where: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


def records_file(path: Path) -> Path:
    """The `prompt.json` of a dataset, given its folder or that file. Raises InputError if there is none."""
    file = path / RECORDS if path.is_dir() else path
    if not file.is_file():
        what = f"no {RECORDS} in it" if path.is_dir() else "no such file or folder"
        raise InputError(f"{what}; a dataset is a folder with source/, target/ and {RECORDS}", path=path)
    return file


def parse_line(line: str, root: Path, where: str) -> Pair:
    """One line of `prompt.json` → a Pair. Raises InputError, with `where` as its path, for an invalid line."""
    with errors.about(where):
        record = _parse_object(line)
    extra = {k: v for k, v in record.items() if k not in _REQUIRED}
    return Pair(root / record["source"], root / record["target"], record["prompt"], where, extra)


def _parse_object(line: str) -> dict[str, Any]:
    """A JSON object with the required keys; InputError for any other text."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"invalid JSON ({error.msg}); is the line cut off?") from error
    if not isinstance(record, dict):
        raise InputError(f"expected a JSON object, not {type(record).__name__}")
    for key in _REQUIRED:
        if not isinstance(record.get(key), str):
            raise InputError(f'"{key}" is missing or not a string; each line needs source, target and prompt')
    return record


def iterate_records(path: Path) -> Iterator[Pair]:
    """Yield the pairs of a dataset line by line, skipping blank lines. Raises InputError with file and line."""
    file = records_file(path)
    with file.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            where = f"{file}:{number}"
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError("not UTF-8 text", path=where) from error
            if line.strip():
                yield parse_line(line, file.parent, where)


def read_records(path: Path) -> list[Pair]:
    """All pairs of a dataset. Raises InputError for the first line that is invalid or whose images are missing."""
    pairs = list(iterate_records(path))
    if not pairs:
        raise InputError("no pairs in it", path=records_file(path))
    for pair in pairs:
        for role, image in (("source", pair.source), ("target", pair.target)):
            if not image.is_file():
                raise InputError(f"the {role} image {image} is missing", path=pair.where)
    return pairs


def format_line(source: str, target: str, prompt: str, **extra: Any) -> str:
    """One line of `prompt.json`, newline included."""
    return json.dumps({"source": source, "target": target, "prompt": prompt, **extra}, ensure_ascii=False) + "\n"


def complete_records(file: Path) -> tuple[list[Pair], int]:
    """The pairs of a dataset that may be incomplete, and the number of bytes that their lines take.

    A last line without newline, as a killed writer leaves it, is not counted. A missing file has no pairs. Raises
    InputError for an invalid line elsewhere.
    """
    if not file.exists():
        return [], 0
    raw = file.read_bytes()
    length = raw.rfind(b"\n") + 1
    lines = raw[:length].decode("utf-8", "replace").splitlines()
    pairs = [parse_line(line, file.parent, f"{file}:{n}") for n, line in enumerate(lines, start=1) if line.strip()]
    return pairs, length
