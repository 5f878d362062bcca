"""Pair sets on disk: a folder with `prompt.json`, one JSON object a line, as the official trainer's fill50k.

Each line holds at least {"source", "target", "prompt"}; source (the condition) and target are paths relative to the
folder. Further keys are kept in `Pair.extra`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    """The `prompt.json` of a pair set named by its folder or by that file. Raises InputError where there is none."""
    file = path / RECORDS if path.is_dir() else path
    if not file.is_file():
        what = f"no {RECORDS} in it" if path.is_dir() else "no such file or folder"
        raise InputError(f"{path}: {what}; a pair set is a folder with source/, target/ and {RECORDS}")
    return file


def parse_line(line: str, root: Path, where: str) -> Pair:
    """One line of `prompt.json` → a Pair. Raises InputError, beginning with `where`, for anything else."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not a JSON object ({error.msg}); is the line cut off?") from error
    if not isinstance(record, dict):
        raise InputError(f"{where}: a JSON object is needed, not {type(record).__name__}")
    for key in _REQUIRED:
        if not isinstance(record.get(key), str):
            raise InputError(f'{where}: "{key}" is missing or not a text; each line needs source, target and prompt')
    extra = {k: v for k, v in record.items() if k not in _REQUIRED}
    return Pair(root / record["source"], root / record["target"], record["prompt"], where, extra)


def iterate_records(path: Path) -> Iterator[Pair]:
    """Yield the pairs of a set, line by line; blank lines are passed over. Raises InputError naming file and line."""
    file = records_file(path)
    with file.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            where = f"{file}:{number}"
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError(f"{where}: not UTF-8 text") from error
            if line.strip():
                yield parse_line(line, file.parent, where)


def read_records(path: Path) -> list[Pair]:
    """All pairs of a set, each with both images present. Raises InputError at the first line that is wrong."""
    pairs = list(iterate_records(path))
    if not pairs:
        raise InputError(f"{records_file(path)}: no pairs in it")
    for pair in pairs:
        for role, image in (("source", pair.source), ("target", pair.target)):
            if not image.is_file():
                raise InputError(f"{pair.where}: the {role} image {image} is missing")
    return pairs


def format_line(source: str, target: str, prompt: str, **extra: Any) -> str:
    """One line of `prompt.json`, newline included."""
    return json.dumps({"source": source, "target": target, "prompt": prompt, **extra}, ensure_ascii=False) + "\n"


def whole_records(file: Path) -> tuple[list[Pair], int]:
    """The pairs of a set that may still be in the making, and how many bytes of the file they take.

    A last line without its end, which a killed writer leaves, is not counted. No file is no pairs. Raises InputError
    for a broken line elsewhere.
    """
    if not file.exists():
        return [], 0
    raw = file.read_bytes()
    length = raw.rfind(b"\n") + 1
    lines = raw[:length].decode("utf-8", "replace").splitlines()
    pairs = [parse_line(line, file.parent, f"{file}:{n}") for n, line in enumerate(lines, start=1) if line.strip()]
    return pairs, length
