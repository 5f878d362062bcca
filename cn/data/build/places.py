"""Where the files of a dataset that is being built lie."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from cn import storage
from cn.data.build.settings import BuildSettings
from cn.data.records import RECORDS
from cn.parallel import map_threads

Item = TypeVar("Item")
Value = TypeVar("Value")

DESCRIPTION, STATISTICS = "dataset.json", "stats.json"
WORK = "build"
"""The folder for the plan, the statuses and the locks of a build."""


@dataclass(frozen=True)
class Places:
    """The paths of one dataset; relative ones are relative to `out`, a folder or a URL."""

    out: str
    kinds: tuple[str, ...]

    @classmethod
    def of(cls, out: str, settings: BuildSettings) -> "Places":
        return cls(out, settings.kinds)

    def path(self, relative: str) -> str:
        """The full path of a file of the dataset."""
        return storage.join(self.out, *relative.split("/"))

    def map(self, function: Callable[[Item], Value], items: Iterable[Item]) -> Iterator[Value]:
        """`function` of each item, in order; in object storage, where each request takes long, of many at once."""
        if not storage.is_url(self.out):
            yield from map(function, items)
            return
        for done in map_threads(function, items, storage.REQUESTS):
            if done.error is not None:
                raise done.error
            yield done.value  # type: ignore[misc]

    def plan(self, shard: int | None = None) -> str:
        """The plan, or the part of it that lists the images of a shard."""
        return self.path(f"{WORK}/plan.json" if shard is None else f"{WORK}/plan/{shard:05d}.json.gz")

    def status(self, shard: int) -> str:
        """The statuses of the images of a shard; it is written last, so that it says that the shard is done."""
        return self.path(f"{WORK}/status/{shard:05d}.jsonl")

    def tar(self, shard: int) -> str:
        """A shard in WebDataset's format."""
        return self.path(f"{shard:05d}.tar")

    def target(self, key: str, suffix: str) -> str:
        """An image, relative to the dataset."""
        return f"target/{key[:2]}/{key}{suffix}"

    def source(self, kind: str, name: str, suffix: str) -> str:
        """A map, relative to the dataset."""
        folder = "source" if len(self.kinds) == 1 else f"{kind}/source"
        return f"{folder}/{name[:2]}/{name}{suffix}"

    def records(self, kind: str) -> str:
        """The list of the pairs of a kind, relative to the dataset."""
        return RECORDS if len(self.kinds) == 1 else f"{kind}/{RECORDS}"

    def from_records(self, kind: str, relative: str) -> str:
        """A path that is relative to the dataset, as the list of a kind's pairs names it."""
        if len(self.kinds) == 1:
            return relative
        return relative.removeprefix(f"{kind}/") if relative.startswith(f"{kind}/") else f"../{relative}"
