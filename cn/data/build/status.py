"""What became of each image of a build: one line of JSON for each, in one file for each shard."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cn.errors import InputError
from cn.json_text import parse_json

Result = Literal["ok", "empty", "too small", "broken", "unreadable", "failed", "no map", "duplicate"]
"""ok: there is a pair of at least one kind. empty: its maps show nothing. broken: the file is. unreadable: the system
could not read it, which a later run tries again. failed: an error of this program. no map: of people's own maps, there
is none for it. duplicate: the same image with the same caption is there already."""

RETRIED: tuple[Result, ...] = ("unreadable",)
"""What a later run tries again."""
FAILURES: tuple[Result, ...] = ("broken", "unreadable", "failed", "no map")
"""What the user should hear about, by exit code 5."""


@dataclass(frozen=True)
class KindResult:
    """What became of the map of one kind."""

    status: Result
    found: Mapping[str, Any] = field(default_factory=dict)
    """What it shows, in numbers."""
    reason: str | None = None
    """Why there is none, or what may be wrong with it."""
    file: str | None = None
    """Where it is, relative to the dataset; in a shard, SHARD.tar/MEMBER."""
    map_key: str | None = None
    """Of a map that does not follow from the image alone: the first digits of its content's hash."""

    def record(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class ImageStatus:
    """A line of `build/status/SHARD.jsonl`."""

    name: str
    status: Result
    key: str | None = None
    """The content key; None where the bytes could not be read."""
    reason: str | None = None
    prompt: str | None = None
    """The caption; None where there is none."""
    target: str | None = None
    """Where the image is."""
    size: tuple[int, int] | None = None
    """Width and height."""
    original_size: tuple[int, int] | None = None
    """Width and height of the original."""
    kinds: Mapping[str, KindResult] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What the source says of it besides."""

    def record(self) -> dict[str, Any]:
        """As JSON values, without what is not there."""
        values = dict(vars(self)) | {"kinds": {kind: result.record() for kind, result in self.kinds.items()}}
        return {name: value for name, value in values.items() if value is not None and value != {}}

    def line(self) -> str:
        return json.dumps(self.record(), ensure_ascii=False) + "\n"

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "ImageStatus":
        """The inverse of `record`."""
        kinds = {kind: KindResult(**result) for kind, result in record.get("kinds", {}).items()}
        sizes = {name: tuple(record[name]) for name in ("size", "original_size") if name in record}
        return cls(**{**record, **sizes, "kinds": kinds})  # type: ignore[arg-type]


def to_text(statuses: Iterable[ImageStatus]) -> bytes:
    """The contents of a status file."""
    return "".join(status.line() for status in statuses).encode()


def from_text(data: bytes, name: str) -> Iterator[ImageStatus]:
    """The inverse of `to_text`. Raises InputError, naming the file `name` and its line, for anything else."""
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            yield ImageStatus.from_record(parse_json(line))
        except (InputError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"line {number} is no status of an image ({error}); remove the file, and build again to "
                             "make its shard again", path=name) from None  # fmt: skip
