"""WebDataset shards: tars in which the files of a sample have one name and differ in what follows its first dot.

`KEY.jpg KEY.txt KEY.json`, as img2dataset writes them, and `KEY.cond.png` or `KEY.canny.png` of `cn dataset build`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, ClassVar

from cn import conditions, errors, storage
from cn.data.blobs import Blob, Content, TarMember
from cn.data.sources.folder import printable
from cn.data.sources.rows import first_text
from cn.data.sources.sample import UNSTATED, Part, Sample
from cn.data.sources.tar_files import Member, is_compressed, members, streamed
from cn.errors import InputError
from cn.images.formats import SUFFIXES
from cn.json_text import decode_text, parse_json

IMAGES = ("jpg", "jpeg", "png", "webp", *sorted(suffix[1:] for suffix in SUFFIXES))
"""The first of these that a sample has is its image."""
_CAPTIONS = ("txt", "caption", "text")
_MAPS = dict.fromkeys(("cond", "conditioning", "control", "source"), UNSTATED) | {
    name: spec.kind for spec in conditions.CONDITIONS for name in (spec.kind, *spec.aliases)
}
"""What stands before the suffix of a map."""
_DONE = "success"


def split_name(name: str) -> tuple[str, str]:
    """The key of a member and its field: up to the first dot of the file's name, and what follows in lower case."""
    folder, slash, file = name.removeprefix("./").rpartition("/")
    key, _, rest = file.partition(".")
    return f"{folder}{slash}{key}", rest.lower()


def split_field(name: str) -> tuple[str, str]:
    """What of a field is part of the image's name, because people's files have dots in theirs; and the field."""
    parts = name.split(".")
    known = 2 if len(parts) > 1 and parts[-1] in IMAGES and parts[-2] in _MAPS else 1
    return ".".join(parts[:-known]), ".".join(parts[-known:])


@dataclass
class Group:
    """The members of one key, by prefix and field."""

    key: str
    fields: dict[str, dict[str, Member]] = field(default_factory=dict)
    twice: str | None = None
    """A member that is there twice."""
    cut: bool = False

    def add(self, name: str, member: Member) -> None:
        """Take a member whose field is `name`."""
        prefix, tail = split_field(name)
        fields = self.fields.setdefault(prefix, {})
        if tail in fields:
            self.twice = member.name
        fields.setdefault(tail, member)
        self.cut |= member.cut

    def named(self) -> Iterator[tuple[str, Mapping[str, Member]]]:
        """The samples of the key: usually one; images whose names have dots have their own."""
        shared = self.fields.get("", {})
        own = {prefix: fields for prefix, fields in self.fields.items() if _image(fields) is not None}
        if "" in own or not own:
            yield self.key, shared or next(iter(self.fields.values()))
            return
        for prefix, fields in own.items():
            yield f"{self.key}.{prefix}", {**shared, **fields}

    def is_complete(self, before: "Group | None") -> bool:
        """Whether this last key of a tar that is cut off has all that the one before it has."""
        if self.cut or before is None:
            return False
        return self.form >= before.form

    @property
    def form(self) -> set[tuple[str, str]]:
        """Which fields there are."""
        return {(prefix, tail) for prefix, fields in self.fields.items() for tail in fields}


def _image(fields: Mapping[str, Member]) -> str | None:
    return next((name for name in IMAGES if name in fields), None)


@dataclass(frozen=True)
class ShardPart(Part):
    """One tar. Its number of samples is known when it was read."""

    type: ClassVar[str] = "tar"
    name: str
    path: str
    kind: str = UNSTATED
    """The kind of `KEY.cond.png`, if that is known."""
    first: int = 0
    last: int | None = None
    """The samples that belong to the part: from number `first` up to, without, number `last`."""

    @property
    def count(self) -> int | None:
        return None

    def samples(self, start: int = 0, stop: int | None = None) -> Iterator[Sample]:
        start += self.first
        ends = [end for end in (self.last, None if stop is None else stop + self.first) if end is not None]
        end = min(ends, default=None)
        with errors.about(self.path), storage.open_read(self.path) as file:
            number = 0
            for group in self._groups(file):
                for name, fields in group.named():
                    if end is not None and number >= end:
                        return
                    if number >= start:
                        yield self._sample(group, name, fields, file)
                    number += 1

    def record(self, start: int, stop: int | None) -> dict[str, Any]:
        last = self.last if stop is None else self.first + stop
        last = last if self.last is None or last is None else min(last, self.last)
        values = {"type": self.type, "name": self.name, "path": self.path, "kind": self.kind}
        return values | {"first": self.first + start, "last": last}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "ShardPart":
        """The part that `record` described."""
        return cls(record["name"], record["path"], record["kind"], record["first"], record["last"])

    def _groups(self, file: BinaryIO) -> Iterator[Group]:
        """The keys of the tar in the order of their first files; a damaged tar gives those that are complete."""
        start = file.read(8)
        file.seek(0)
        if storage.is_url(self.path) or is_compressed(start):
            return _in_order(streamed(file))
        return iter(_gathered(members(file)))

    def _sample(self, group: Group, name: str, fields: Mapping[str, Member], file: BinaryIO) -> Sample:
        shown = printable(f"{self.name}/{name}")
        if group.twice is not None:
            return Sample(shown, None, where=self.path, problem=f"{group.twice} is in the tar twice")
        if link := next((member.name for member in fields.values() if member.is_link), None):
            what = f"{link} is a link in the tar; pack the files themselves (tar --dereference --hard-dereference)"
            return Sample(shown, None, where=self.path, problem=what)
        image = _image(fields)
        texts: dict[str, str] = {}
        problem = None if image is not None else f"no image of it in the tar, only {', '.join(sorted(fields))}"
        if others := [tail for tail in IMAGES if tail in fields and tail != image]:
            # Nothing says which of them is the condition.
            names = f"{fields[image or ''].name} and {fields[others[0]].name}"
            problem = f"there are two images of it, {names}; name a condition map KEY.cond.png"
        record: dict[str, Any] = {}
        try:
            for tail in ("cls", "json", *_CAPTIONS):
                if tail in fields:
                    with errors.about(fields[tail].name):
                        text = decode_text(_data(fields[tail], file))
                        texts[tail] = text
                        if tail == "json":
                            value = parse_json(text)
                            record = value if isinstance(value, dict) else {"json": value}
        except InputError as error:
            problem = problem or str(error)
        caption = next((texts[tail] for tail in _CAPTIONS if tail in texts), None)
        if caption is None:
            caption = first_text(record.get("caption")) or first_text(record.get("prompt"))
        extra = {key: value for key, value in record.items() if key not in ("caption", "prompt")}
        if "cls" in texts:
            extra["cls"] = texts["cls"].strip()
        maps = {}
        for tail, member in fields.items():
            kind, dot, _ = tail.partition(".")
            if dot and kind in _MAPS:
                maps[_MAPS[kind] or self.kind] = self._blob(member)
        blob = None if image is None else self._blob(fields[image])
        return Sample(shown, blob, caption, None, maps, extra, self.path, _failed(record) or problem)

    def _blob(self, member: Member) -> Blob:
        if member.data is not None:
            return Content(f"{self.path}/{member.name}", member.data)
        return TarMember(self.path, member.name, member.offset, member.size)


def _data(member: Member, file: BinaryIO) -> bytes:
    if member.data is not None:
        return member.data
    file.seek(member.offset)
    return file.read(member.size)


def _failed(record: Mapping[str, Any]) -> str | None:
    """Why img2dataset could not download an image, as its record says."""
    status = record.get("status")
    if not isinstance(status, str) or status == _DONE or not {"url", "error_message"} & set(record):
        return None
    message = record.get("error_message")
    return f"img2dataset says: {status}{f' ({message})' if message else ''}"


def _usable(found: Iterator[Member]) -> Iterator[tuple[str, str, Member]]:
    """(key, field, member) without hidden files and those that have no suffix."""
    for member in found:
        key, name = split_name(member.name)
        if name and not key.endswith("/") and key:
            yield key, name, member


def _gathered(found: Iterator[Member]) -> Iterator[Group]:
    """All members by key, wherever in the tar they are."""
    groups: dict[str, Group] = {}
    failure: InputError | None = None
    last = ""
    scattered = False
    try:
        for key, name, member in _usable(found):
            scattered |= key != last and key in groups
            last = key
            groups.setdefault(key, Group(key)).add(name, member)
    except InputError as error:
        failure = error
    if failure is not None and scattered:
        first = next(iter(groups.values()))
        groups = {key: group for key, group in groups.items() if group is first or group.is_complete(first)}
    elif failure is not None and last in groups:
        others = [group for key, group in groups.items() if key != last]
        if not groups[last].is_complete(others[-1] if others else None):
            del groups[last]
    yield from groups.values()
    if failure is not None:
        raise failure


def _in_order(found: Iterator[Member]) -> Iterator[Group]:
    """Members by key as they come; those of a key have to follow each other."""
    group: Group | None = None
    before: Group | None = None
    seen: set[str] = set()
    try:
        for key, name, member in _usable(found):
            if group is None or key != group.key:
                if group is not None:
                    yield group
                    before = group
                group = Group(key)
                if key in seen:
                    raise InputError(f"the files of {key} do not follow each other; unpack it, and pack it again")
                seen.add(key)
            group.add(name, member)
    except InputError:
        if group is not None and group.is_complete(before):
            yield group
        raise
    if group is not None:
        yield group
