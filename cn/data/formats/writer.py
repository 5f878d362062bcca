"""What every writer of a layout provides, and what it is given."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cn.data.formats.entry import Entry


@dataclass(frozen=True)
class Packed:
    """A sample with the bytes of its files, which are written as they are."""

    number: int
    """Its place among all samples."""
    entry: Entry
    key: str
    """Unique, without dots and folders."""
    image: bytes
    maps: Mapping[str, bytes]
    linked: bool = False
    """Whether its files are to be linked; then `image` and `maps` are empty."""


Shard = Mapping[str, Any]
"""What a writer remembers of a shard, as JSON values, for `finish` and for a run that goes on; at least "files"."""


class Writer(Protocol):
    """Writes the shards of one layout below `out`, a folder or a URL; each can be written alone, and again."""

    @property
    def out(self) -> str: ...

    def write(self, number: int, of: int, samples: Iterator[Packed]) -> Shard:
        """Write shard `number` of `of`. "files" holds the paths, relative to `out`, that are a layout's own files."""
        ...

    def written(self, shard: Shard) -> bool:
        """Whether what `write` wrote is still there."""
        ...

    def resume(self, shard: Shard) -> None:
        """Take note of a shard that an earlier run wrote."""
        ...

    def finish(self, shards: Iterable[Shard]) -> None:
        """Write what joins the shards, when all are there; `shards` can be iterated over again."""
        ...
