"""A part that is a list of files: its samples are known, and only their images are to be read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

from cn.data.blobs import Blob, File
from cn.data.sources.sample import Part, Sample


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
        return islice(iter(self.entries), start, stop)

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


def _path(blob: Blob | None) -> str | None:
    if blob is not None and not isinstance(blob, File):
        raise TypeError(f"{type(blob).__name__} in a list of files")
    return None if blob is None else blob.path


def _sample(record: Mapping[str, Any]) -> Sample:
    image, caption = record.get("image"), record.get("caption_file")
    return Sample(
        record["name"],
        None if image is None else File(image),
        record.get("caption"),
        None if caption is None else File(caption),
        {kind: File(path) for kind, path in record.get("maps", {}).items()},
        record.get("extra", {}),
        record.get("where", ""),
        record.get("problem"),
    )
