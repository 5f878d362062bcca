"""A part that is a list of files: its samples are known, and only their images are to be read."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, overload

from cn.data.blobs import Blob, File
from cn.data.sources.sample import Part, Sample


class Entries(Sequence[Sample]):
    """Samples that are made when they are asked for, so that millions of them take little memory."""

    @abstractmethod
    def between(self, start: int, stop: int) -> Iterator[Sample]:
        """The samples from number `start` up to, without, number `stop`; both are within the length."""

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            numbers = range(len(self))[index]
            if numbers.step == 1:
                return tuple(self.between(numbers.start, max(numbers.start, numbers.stop)))
            return tuple(self[number] for number in numbers)
        number = range(len(self))[index]
        return next(self.between(number, number + 1))

    def __iter__(self) -> Iterator[Sample]:
        return self.between(0, len(self))


@dataclass(frozen=True)
class ListedPart(Part):
    """Samples whose images and maps are files; a sample's caption may be in a file, too."""

    type: ClassVar[str] = "list"
    name: str
    entries: Sequence[Sample]

    @property
    def count(self) -> int:
        return len(self.entries)

    def samples(self, start: int = 0, stop: int | None = None) -> Iterator[Sample]:
        if not isinstance(self.entries, Entries):
            return islice(iter(self.entries), start, stop)
        end = len(self.entries) if stop is None else min(stop, len(self.entries))
        return self.entries.between(min(start, end), end)

    def record(self, start: int, stop: int | None) -> dict[str, Any]:
        entries = [_record(sample) for sample in self.samples(start, stop)]
        return {"type": self.type, "name": self.name, "samples": entries}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "ListedPart":
        """The part that `record` described."""
        return cls(record["name"], tuple(map(_sample, record["samples"])))


def _record(sample: Sample) -> dict[str, Any]:
    """A sample as JSON values, without what is not there."""
    values = {
        "name": sample.name,
        "image": _path(sample.image),
        "caption": sample.caption,
        "caption_file": _path(sample.caption_file),
        "maps": {kind: _path(blob) for kind, blob in sample.maps.items()},
        "extra": dict(sample.extra),
        "where": sample.where,
        "problem": sample.problem,
    }
    return {name: value for name, value in values.items() if value is not None and value not in ("", {})} | (
        {"caption": ""} if sample.caption == "" else {}
    )


def _path(blob: Blob | None) -> str | list[str] | None:
    if blob is None:
        return None
    if not isinstance(blob, File):
        raise TypeError(f"{type(blob).__name__} in a list of files")
    return path_to_record(blob.path)


def _file(path: str | list[str] | None) -> File | None:
    return None if path is None else File(path_from_record(path))


def path_to_record(path: str) -> str | list[str]:
    """A path as a JSON value: a list with its bytes in Latin-1, where they are not UTF-8 and no JSON could hold it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return [path.encode("utf-8", "surrogateescape").decode("latin-1")]
    return path


def path_from_record(path: str | list[str]) -> str:
    """The inverse of `path_to_record`."""
    return path[0].encode("latin-1").decode("utf-8", "surrogateescape") if isinstance(path, list) else path


def _sample(record: Mapping[str, Any]) -> Sample:
    return Sample(
        record["name"],
        _file(record.get("image")),
        record.get("caption"),
        _file(record.get("caption_file")),
        {kind: file for kind, path in record.get("maps", {}).items() if (file := _file(path))},
        record.get("extra", {}),
        record.get("where", ""),
        record.get("problem"),
    )
