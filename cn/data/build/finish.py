"""The end of a build: duplicates found, the lists of pairs written, statistics counted.

It reads the statuses of all shards, and can be repeated at any time with the same result. Memory does not grow with the
number of images: they are divided by the first digits of their keys, and one such bucket is in memory at a time.
"""

import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from typing import Any, BinaryIO

from cn import storage
from cn.data.build.places import DESCRIPTION, STATISTICS, Places
from cn.data.build.plan import FORMAT, Plan
from cn.data.build.statistics import Statistics
from cn.data.build.status import FAILURES, ImageStatus, from_text, to_text
from cn.errors import MissingError

_DIGITS = 2
"""Of a key that decide its bucket: 256 of them."""

_OF_LAYOUTS = frozenset({
    *("frame", "repeats", "split", "depth_file", "normal_file"),
    *("key", "name", "status", "error_message", "sha256", "exif", "width", "height", "original_width"),
    *("original_height", "conditions", "cn"),
})  # fmt: skip
"""What only the layout of a source says of an image: the same images have the same lists in all layouts."""

_Place = tuple[int, int]
"""Shard and line of a status."""


def is_done(places: Places, shard: int) -> bool:
    """Whether a shard is there, and holds no image that is to be tried again."""
    try:
        return b'"status": "unreadable"' not in storage.read_bytes(places.status(shard))
    except MissingError:
        return False


def failures(places: Places, planned: Plan, most: int) -> Iterator[ImageStatus]:
    """The first `most` images that could not be used."""
    found = (status for _, statuses in _all_statuses(places, planned) for status in statuses)
    return islice((status for status in found if status.status in FAILURES), most)


def count_failures(statistics: Statistics) -> int:
    """How many images could not be used."""
    return sum(statistics.statuses[status] for status in FAILURES)


def finish(places: Places, planned: Plan) -> Statistics:
    """Write the lists of pairs, dataset.json and stats.json of a build whose shards are all there."""
    webdataset = planned.settings["layout"] == "webdataset"
    with tempfile.TemporaryDirectory(prefix="cn-") as folder:
        _divide(places, planned, folder)
        duplicates = _write_records(places, folder, lists=not webdataset)
    statistics = Statistics(tuple(planned.settings["kinds"]))
    for shard, statuses in _all_statuses(places, planned):
        settled = [_settled(status, (shard, line) in duplicates) for line, status in enumerate(statuses)]
        if settled != statuses:
            if webdataset:
                _drop_from_tar(places, shard, settled)
            storage.write(places.status(shard), to_text(settled), durable=True)
        for status in settled:
            statistics.add(status)
    storage.write(places.path(STATISTICS), _json(statistics.record()))
    description = {"format": FORMAT, **planned.settings, "source": planned.source, "pairs": statistics.pairs}
    storage.write(places.path(DESCRIPTION), _json(description), durable=True)
    return statistics


def _json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


def _all_statuses(places: Places, planned: Plan) -> Iterator[tuple[int, list[ImageStatus]]]:
    """Each shard with the statuses of its images."""
    paths = [places.status(shard) for shard in range(planned.shards)]
    for shard, data in enumerate(places.map(storage.read_bytes, paths)):
        yield shard, list(from_text(data, paths[shard]))


def _divide(places: Places, planned: Plan, folder: str) -> None:
    """Write what the lists need to know of each image into the file of its bucket."""
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for shard, statuses in _all_statuses(places, planned):
            for line, status in enumerate(statuses):
                if status.key is None or status.status not in ("ok", "duplicate"):
                    continue
                bucket = status.key[:_DIGITS]
                if bucket not in files:
                    files[bucket] = stack.enter_context(open(os.path.join(folder, bucket), "wb"))
                record = [status.key, shard, line, status.record()]
                files[bucket].write((json.dumps(record, ensure_ascii=False) + "\n").encode())


def _write_records(places: Places, folder: str, *, lists: bool) -> set[_Place]:
    """The places of duplicates. With `lists`, the list of pairs of each kind is written, sorted by key and caption."""
    duplicates: set[_Place] = set()
    with ExitStack() as stack:
        paths = {kind: places.path(places.records(kind)) for kind in places.kinds} if lists else {}
        files = {kind: stack.enter_context(storage.open_write(path)) for kind, path in paths.items()}
        for bucket in sorted(os.listdir(folder)):
            with open(os.path.join(folder, bucket), "rb") as lines:
                found = [json.loads(line) for line in lines]
            seen: set[tuple[Any, ...]] = set()
            for key, shard, line, record in sorted(found, key=_order):
                status = ImageStatus.from_record(record)
                identity = (key, status.prompt, *sorted(_maps_of(status)))
                if identity in seen:
                    duplicates.add((shard, line))
                    continue
                seen.add(identity)
                for kind, file in files.items():
                    file.write(_record(places, kind, status))
    return duplicates


def _order(record: list[Any]) -> tuple[Any, ...]:
    """By content; equal ones by place."""
    key, shard, line, status = record
    return key, status.get("prompt") or "", shard, line


def _maps_of(status: ImageStatus) -> Iterator[tuple[str, str]]:
    """What distinguishes the maps of equal images."""
    for kind, result in status.kinds.items():
        if result.file is not None:
            yield kind, result.map_key or ""


def _record(places: Places, kind: str, status: ImageStatus) -> bytes:
    """The line of a pair in the list of a kind; nothing where the image has no map of it."""
    result = status.kinds.get(kind)
    if result is None or result.file is None or status.target is None:
        return b""
    record = {
        "source": places.from_records(kind, result.file),
        "target": places.from_records(kind, status.target),
        "prompt": status.prompt or "",
        "original_size": status.original_size,
        "kind": kind,
    }
    # What the source says besides belongs to the image: cn dataset split keeps the images of one "group" together.
    record |= {name: value for name, value in status.extra.items() if name not in record and name not in _OF_LAYOUTS}
    return (json.dumps(record, ensure_ascii=False) + "\n").encode()


def _settled(status: ImageStatus, duplicate: bool) -> ImageStatus:
    if duplicate:
        return replace(status, status="duplicate")
    return replace(status, status="ok") if status.status == "duplicate" else status


def _drop_from_tar(places: Places, shard: int, statuses: list[ImageStatus]) -> None:
    """Write a shard again without duplicates."""
    dropped = {_stem(status) for status in statuses if status.status == "duplicate"}
    path = places.tar(shard)
    with storage.open_read(path) as old, storage.open_write(path) as new:
        reader = tarfile.TarFile(fileobj=old)
        with tarfile.TarFile(fileobj=new, mode="w", format=tarfile.PAX_FORMAT) as writer:
            for member in reader:
                if member.name.partition(".")[0] not in dropped:
                    writer.addfile(member, reader.extractfile(member))


def _stem(status: ImageStatus) -> str:
    return (status.target or "").rpartition("/")[2].partition(".")[0]
