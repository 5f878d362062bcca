"""The plan of a build: which images belong to which shard, stored so that every process and every restart agrees."""

import contextlib
import functools
import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cn import storage
from cn.data.build import claim
from cn.data.build.places import Places
from cn.data.build.settings import BuildSettings
from cn.data.sources.listed import Entries, ListedPart, path_from_record, path_to_record
from cn.data.sources.parts import from_record
from cn.data.sources.sample import UNSTATED, Part, Sample, Source
from cn.errors import InputError, UsageError
from cn.json_text import parse_json

FORMAT = 1
_FEWEST, _MOST, _SHARDS = 16, 1000, 64
"""Images of a shard: at least, at most, and how many shards there should be in between."""


@dataclass(frozen=True)
class Plan:
    """What `build/plan.json` says."""

    settings: dict[str, Any]
    """`BuildSettings.record`."""
    source: str
    """What the source was recognized as."""
    root: str | None
    given: tuple[str, ...]
    """Kinds of which the source has finished maps."""
    measured: bool
    shard_size: int
    shards: int
    images: int | None
    """None where that is known only once the source was read."""
    networks: Mapping[str, str] = field(default_factory=dict)
    """Kind → SHA-256 of the weights of its network."""

    def write(self, places: Places) -> None:
        """Last, after the lists of its shards."""
        record = {"format": FORMAT, **vars(self)}
        storage.write(places.plan(), (json.dumps(record, indent=1) + "\n").encode(), durable=True)


def load(places: Places) -> Plan | None:
    """The plan of a dataset; None where there is none. InputError for a damaged one, and for one of a later version."""
    path = places.plan()
    if not storage.exists(path):
        return None
    try:
        record = parse_json(storage.read_bytes(path))
        if record.pop("format") != FORMAT:
            raise InputError("was made by a later version of cn", path=path)
        return Plan(**{**record, "given": tuple(record["given"])})
    except (TypeError, KeyError, AttributeError):
        raise InputError("is no plan of a build", path=path) from None


class _Chosen(Entries):
    """Some of the samples of a list, by their numbers."""

    def __init__(self, entries: Sequence[Sample], numbers: Sequence[int]):
        self.entries, self.numbers = entries, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def between(self, start: int, stop: int) -> Iterator[Sample]:
        return (self.entries[number] for number in self.numbers[start:stop])


def create(
    places: Places, settings: BuildSettings, source: Source, root: str | None, networks: Mapping[str, str]
) -> Plan:
    """Divide a source into shards, and store that."""
    given, measured = maps_of(source, settings)
    size = settings.shard_size or _shard_size(settings, source.count)
    planned = Plan(settings.record(), source.about, root, given, measured, size, 0, source.count, networks)
    return _extended(places, planned, _pieces(source, size))


def extend(places: Places, planned: Plan, source: Source) -> tuple[Plan, int]:
    """The plan with what the source has now and had not before, in further shards; and how many images it had before
    and has not now, which stay in the plan."""
    known: set[str] = set()
    parts: set[str] = set()
    for part in places.map(functools.partial(read_shard, places), range(planned.shards)):
        if isinstance(part, ListedPart):
            known.update(sample.name for sample in part.entries)
        else:
            parts.add(part.name)
    added: list[Part] = []
    found = 0
    for part in source.parts:
        if not isinstance(part, ListedPart):
            added += [part] if part.name not in parts else []
            continue
        names = [sample.name for sample in part.entries]
        found += sum(name in known for name in names)
        if new := [number for number, name in enumerate(names) if name not in known]:
            added.append(ListedPart(part.name, _Chosen(part.entries, new)))
    gone = max(0, len(known) - found)
    if not added:
        return planned, gone
    images = None if planned.images is None else planned.images + sum(part.count or 0 for part in added)
    more = replace(source, parts=added)
    return _extended(places, replace(planned, images=images), _pieces(more, planned.shard_size)), gone


def read_shard(places: Places, shard: int) -> Part:
    """The part of the source that a shard is made of."""
    path = places.plan(shard)
    try:
        # Not `parse_json`: names of files may be no UTF-8.
        return from_record(json.loads(gzip.decompress(storage.read_bytes(path))))
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError("is no list of images; remove the folder build, and build again", path=path) from None


def _extended(places: Places, planned: Plan, pieces: Iterator[dict[str, Any]]) -> Plan:
    # The time of day would be in the header otherwise.
    lists = (gzip.compress(json.dumps(record).encode(), mtime=0) for record in pieces)
    written = claim.lists_uploaded if storage.is_url(places.out) else _lists_written
    with written(places, planned.shards, lists) as added:
        if added is not None:
            planned = replace(planned, shards=planned.shards + added)
            planned.write(places)
            return planned
    other = load(places)
    assert other is not None
    return other


@contextlib.contextmanager
def _lists_written(places: Places, first: int, lists: Iterator[bytes]) -> Iterator[int | None]:
    shard = first
    for data in lists:
        storage.write(places.plan(shard), data)
        shard += 1
    yield shard - first


def _pieces(source: Source, size: int) -> Iterator[dict[str, Any]]:
    for part in source.parts:
        count = part.count
        if count is None:
            yield _absolute(part.record(0, None))
            continue
        for start in range(0, count, size):
            yield _absolute(part.record(start, min(start + size, count)))


def _absolute(record: Any) -> Any:
    """A part's record with absolute paths: a later run may start in another folder."""
    if "path" in record:
        record["path"] = _absolute_path(record["path"])
    for sample in record.get("samples", ()):
        sample.update({name: _absolute_path(sample[name]) for name in ("image", "caption_file") if name in sample})
        if "maps" in sample:
            sample["maps"] = {kind: _absolute_path(path) for kind, path in sample["maps"].items()}
    return record


def _absolute_path(path: Any) -> Any:
    found = path_from_record(path)
    return path if storage.is_url(found) else path_to_record(os.path.abspath(found))


def _shard_size(settings: BuildSettings, count: int | None) -> int:
    if settings.layout == "webdataset" or count is None:
        return _MOST
    return max(_FEWEST, min(_MOST, -(-count // _SHARDS)))


def maps_of(source: Source, settings: BuildSettings) -> tuple[tuple[str, ...], bool]:
    """The kinds of which the source has finished maps, and whether it has files of measurements."""
    first = next((sample for sample in source.samples() if sample.problem is None), None)
    if first is None:
        return (), False
    kinds = {kind for kind in settings.kinds if kind in first.maps}
    if UNSTATED in first.maps and len(settings.kinds) == 1:
        kinds = set(settings.kinds)
    elif UNSTATED in first.maps and not settings.detect:
        raise UsageError(
            "the source has maps whose kind it does not state, and there are several --cond: give only the one that "
            "they are, or --detect to detect all kinds"
        )
    measured = any(name.endswith("_file") and name[:-5] in ("depth", "normal") for name in first.extra)
    return tuple(kind for kind in settings.kinds if kind in kinds), measured
