"""Data sets made of other ones: with the prompts of other pairs, or the first scenes of a larger one."""

import json
import os
import shutil
from pathlib import Path

from cn.files import make_folder, write_atomic

RECORDS = "prompt.json"
ROLES = ("source", "target")


def exchange_prompts(source: Path, path: Path) -> None:
    """A data set of the same pairs, each with the prompt of the next one: the last has that of the first."""
    records = [json.loads(line) for line in _lines(source)]
    prompts = [record["prompt"] for record in records]
    for record, prompt in zip(records, [*prompts[1:], prompts[0]], strict=True):
        record["prompt"] = prompt
        for role in ROLES:
            record[role] = str(source.resolve() / record[role])
    make_folder(path)
    write_atomic(path / RECORDS, "".join(json.dumps(record) + "\n" for record in records).encode())


def take_first(source: Path, path: Path, count: int) -> None:
    """A data set of the first `count` scenes of another one, or of all that it has, which shares its image files."""
    part = path.with_name(f"{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for role in ROLES:
        make_folder(part / role)
    lines = _lines(source)[:count]
    for record in map(json.loads, lines):
        for role in ROLES:
            _share(source / record[role], part / record[role])
    write_atomic(part / RECORDS, "".join(line + "\n" for line in lines).encode())
    # Under its name only when it is whole.
    part.rename(path)


def _share(file: Path, other: Path) -> None:
    """The same file under another name; a copy where the disk knows no such names."""
    try:
        os.link(file, other)
    except OSError:
        shutil.copy2(file, other)


def _lines(folder: Path) -> list[str]:
    return [line for line in (folder / RECORDS).read_text(encoding="utf-8").splitlines() if line.strip()]
