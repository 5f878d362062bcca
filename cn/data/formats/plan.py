"""What a pack will write: which samples, how many bytes, in which shards. Known before the first byte is written."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from cn import storage
from cn.data.blobs import Blob, Content, File, TarMember
from cn.data.formats.entry import Entry, Keys, entry
from cn.data.sources.sample import Sample
from cn.errors import InputError

Samples = Callable[[], Iterator[Sample]]
"""Gives the samples of a source, as often as it is called, always in the same order."""


@dataclass
class LeftOutSamples:
    """Samples that are not written, and why: each reason once, with the first sample and their number."""

    reasons: dict[str, list[str]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(map(len, self.reasons.values()))

    def add(self, error: InputError, place: str) -> None:
        """Count one; `place` is the line or name of the sample."""
        where, what = error.path or place, error.what
        self.reasons.setdefault(what, []).append(where if where == place or place in where else f"{place}: {where}")

    def messages(self) -> list[str]:
        """One for each reason, those of most samples first."""
        ordered = sorted(self.reasons.items(), key=lambda item: -len(item[1]))
        return [
            f"{names[0]}: {what}" + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")
            for what, names in ordered
        ]


@dataclass(frozen=True)
class Plan:
    """The samples that can be written, in order, and the shards that they make."""

    samples: Samples
    root: str
    sizes: tuple[int, ...]
    """Bytes of the images and maps of each sample; -1 for one that is left out."""
    shards: tuple[tuple[int, int], ...]
    """First sample and the one after the last, by the numbers of `sizes`, of each shard."""
    left_out: LeftOutSamples
    digest: str
    """Of the names, captions and sizes of all samples: what was begun with another digest is another dataset."""
    kinds: tuple[str, ...]
    """The kinds of all maps, sorted."""

    @property
    def count(self) -> int:
        """Samples that are written, if no file turns out to be broken."""
        return sum(size >= 0 for size in self.sizes)

    @property
    def bytes(self) -> int:
        """Of all images and maps."""
        return self.bytes_of(0, len(self.sizes))

    def bytes_of(self, start: int, stop: int) -> int:
        """Of the images and maps of some samples."""
        return sum(size for size in self.sizes[start:stop] if size > 0)

    def entries(self) -> Iterator[tuple[int, Entry, str]]:
        """Number, entry and key of each sample that can be written."""
        keys = Keys()
        for number, sample in enumerate(self.samples()):
            if self.sizes[number] >= 0:
                found = entry(sample, self.root)
                yield number, found, keys.key(found.image_name)


def make_plan(
    samples: Samples, root: str, *, shard_size: int, max_bytes: int | None = None, need_maps: bool = False
) -> Plan:
    """Look at all samples, without reading images where their size is known otherwise.

    A shard has at most `shard_size` samples, and at most `max_bytes` of images and maps unless one sample alone has
    more. With `need_maps`, samples without condition map are left out.

    Raises InputError where no sample can be written.
    """
    sizes: list[int] = []
    kinds: set[str] = set()
    left_out, digest = LeftOutSamples(), sha256()
    for sample in samples():
        try:
            found = entry(sample, root)
            if need_maps and not found.maps:
                raise InputError(
                    "has no condition map; `cn dataset build` makes them", path=sample.where or sample.name
                )
            size = sum(map(blob_size, found.blobs))
        except InputError as error:
            left_out.add(error, sample.where or sample.name)
            size = -1
        else:
            kinds.update(found.maps)
            digest.update(f"{found.record_text()}\0{found.caption}\0{size}\n".encode("utf-8", "surrogateescape"))
        sizes.append(size)
    if all(size < 0 for size in sizes):
        reasons = "; ".join(left_out.messages()[:3]) or "it has no samples"
        raise InputError(f"nothing can be written: {reasons}", path=root)
    digest.update(json.dumps([shard_size, max_bytes]).encode())
    return Plan(
        samples=samples,
        root=root,
        sizes=tuple(sizes),
        shards=tuple(_shards(sizes, shard_size, max_bytes)),
        left_out=left_out,
        digest=digest.hexdigest(),
        kinds=tuple(sorted(kinds)),
    )


def blob_size(blob: Blob) -> int:
    """The bytes of an image. Raises InputError, naming it, where it cannot be read."""
    if isinstance(blob, TarMember):
        return blob.size
    if isinstance(blob, Content):
        return len(blob.data)
    if isinstance(blob, File):
        if not storage.is_url(blob.path) and os.path.isdir(blob.path):
            raise InputError("is a folder, not an image", path=blob.path)
        return storage.size(blob.path)
    return len(blob.read())


def _shards(sizes: list[int], shard_size: int, max_bytes: int | None) -> Iterator[tuple[int, int]]:
    start, count, total = 0, 0, 0
    for number, size in enumerate(sizes):
        if size < 0:
            continue
        if count and (count == shard_size or (max_bytes is not None and total + size > max_bytes)):
            yield start, number
            start, count, total = number, 0, 0
        count, total = count + 1, total + size
    yield start, len(sizes)
