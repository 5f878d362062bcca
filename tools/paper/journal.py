"""Records of runs: one JSON file each, which says what was run, with what, and all numbers that came out."""

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cn.errors import InputError
from cn.files import make_folder, write_atomic
from cn.json_text import parse_json
from tools.paper.spec import Run, key_of

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Journal:
    """The folder of records."""

    folder: Path

    def path(self, run: str) -> Path:
        return self.folder / f"{run}.json"

    def read(self, run: str) -> Record | None:
        """The record of a run; None where there is none, or where what is there is none."""
        try:
            record = parse_json(self.path(run).read_bytes())
        except (FileNotFoundError, InputError):
            return None
        return record if isinstance(record, dict) and "key" in record else None

    def is_done(self, run: str, key: str) -> bool:
        """Whether the run was done with these options, data and weights."""
        record = self.read(run)
        return record is not None and record["key"] == key

    def write(self, run: str, record: Record) -> None:
        make_folder(self.folder)
        write_atomic(self.path(run), (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())

    def all(self) -> dict[str, Record]:
        """Name of the run → record."""
        found = {path.stem: self.read(path.stem) for path in sorted(self.folder.glob("*.json"))}
        return {name: record for name, record in found.items() if record is not None}


def of_these_options(records: Mapping[str, Record], runs: Iterable[Run]) -> dict[str, Record]:
    """The records of runs as they are now: what an earlier version of an experiment did is not what the page says."""
    found = {}
    for run in runs:
        record = records.get(run.name)
        if record is not None and record["key"] == key_of(run.identity(record["options"]["common"])):
            found[run.name] = record
    return found


def comparable(records: Mapping[str, Record]) -> dict[str, Record]:
    """The largest part of the records that is of the same base, scenes and evaluations."""
    groups: dict[str, dict[str, Record]] = {}
    for name, record in records.items():
        common = json.dumps(record["options"]["common"], sort_keys=True)
        groups.setdefault(common, {})[name] = record
    return max(groups.values(), key=len, default={})


def read_published(file: Path) -> dict[str, Record]:
    """The records of a report, a line each; none where there is no such file."""
    if not file.exists():
        return {}
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {f"{record['arm']}-{record['seed']}": record for record in lines}


def publish(file: Path, records: Iterable[Record]) -> None:
    """Write the records of a report."""
    lines = [json.dumps(record, separators=(",", ":")) + "\n" for record in records]
    write_atomic(file, "".join(lines).encode())


def versions(device: str) -> dict[str, str]:
    """What the numbers were made with; `device` as for cn."""
    import numpy as np
    import torch

    from cn import __version__
    from cn.devices import choose_device
    from cn.pretrain.hardware import hardware

    found = hardware(choose_device(device))
    torch_version = torch.__version__.partition("+")[0]
    return {
        "cn": __version__,
        "torch": torch_version,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": found,
    }
