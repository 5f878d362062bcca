"""The form with `prompt.json` (fill50k, the official trainer): `source/`, `target/`, and a line for each image.

With several kinds, `KIND/prompt.json` and `KIND/source/` for each, whose lines name the images as `../target/…`.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import BinaryIO

from cn import storage
from cn.data.blobs import Blob, File
from cn.data.formats.entry import COND, Entry
from cn.data.formats.writer import Packed, Shard
from cn.data.records import RECORDS
from cn.errors import OutputError
from cn.files import make_folder, reason


@dataclass
class Names:
    """Which contents took which name, so that no file replaces another one."""

    case_sensitive: bool = True
    taken: dict[str, str] = field(default_factory=dict)
    """Name → what identifies its content."""

    def take(self, name: str, content: str) -> tuple[str, bool]:
        """The name for a content, another one if this one is taken by another content; and whether that is new.

        The name itself decides which other one, so that it is the same in every run.
        """
        stem, dot, ending = name.rpartition(".")
        for attempt in range(1, len(self.taken) + 3):
            candidate = name if attempt == 1 else f"{stem}-{attempt}{dot}{ending}"
            key = candidate if self.case_sensitive else candidate.casefold()
            if key not in self.taken:
                self.taken[key] = content
                return candidate, True
            if self.taken[key] == content:
                return candidate, False
        raise AssertionError("there are more names than contents")


def make_link(path: str, target: str) -> None:
    """A hard link at `target` to a file, or a symbolic link where that is not possible. Raises OutputError."""
    make_folder(os.path.dirname(target))
    source = os.path.realpath(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        try:
            os.link(source, target)
        except OSError:
            # Another disk, a file system without hard links, or a file of somebody else.
            os.symlink(source, target)
    except OSError as error:
        raise OutputError(f"cannot be linked: {reason(error)}", path=target, number=error.errno) from error


def lines(entry: Entry, image_name: str, map_names: Mapping[str, str], several: bool) -> dict[str, str]:
    """The line of each kind's `prompt.json`, by its folder; names of files are relative to the dataset's folder."""
    prompt = {} if entry.caption is None else {"prompt": entry.caption}
    # What other layouts call by our names stays, too.
    extra = {f"original_{key}" if key in ("source", "target", "prompt") else key: v for key, v in entry.extra.items()}
    found = {}
    for kind, name in map_names.items():
        folder = kind_folder(kind, several)
        source = name.removeprefix(f"{folder}/") if several else name
        target = f"../{image_name}" if several else image_name
        record = {"source": source, "target": target, **prompt, **extra, **entry.own_extra.get(kind, {})}
        found[folder] = json.dumps(record, ensure_ascii=False) + "\n"
    return found


def kind_folder(kind: str, several: bool) -> str:
    """The folder of a kind's list: "" where there is one list."""
    return (kind or COND) if several else ""


@dataclass
class FolderWriter:
    """Files under their own names, and lists of them."""

    out: str
    kinds: tuple[str, ...]
    names: Names = field(default_factory=Names)
    places: Sequence[int] | None = None
    """For each sample its place in the lists; None: they are in order."""

    @property
    def several(self) -> bool:
        """Whether each kind has a folder."""
        return bool(set(self.kinds) - {""})

    def write(self, number: int, of: int, samples: Iterator[Packed]) -> Shard:
        found: list[dict[str, str]] = []
        numbers: list[int] = []
        new: dict[str, str] = {}
        size = 0
        for sample in samples:
            entry = sample.entry
            image = self._put(entry.image_name, entry.image, sample, sample.image, new)
            maps = {}
            for kind, name in entry.map_names.items():
                wanted = name if kind or not self.several else f"{COND}/{name}"
                maps[kind] = self._put(wanted, entry.maps[kind], sample, sample.maps.get(kind, b""), new)
            size += len(sample.image) + sum(map(len, sample.maps.values()))
            found.append(lines(entry, image, maps, self.several))
            numbers.append(sample.number)
        record = {"files": [], "samples": len(found), "bytes": size}
        return {**record, "lines": found, "numbers": numbers, "new": new}

    def _put(self, wanted: str, blob: Blob, sample: Packed, data: bytes, new: dict[str, str]) -> str:
        """Write or link one file, unless it is there already; its name."""
        link = sample.linked and isinstance(blob, File) and not storage.is_url(blob.path)
        content = os.path.realpath(str(blob)) if link else sha256(data).hexdigest()[:16]
        name, first = self.names.take(wanted, content)
        if first:
            target = storage.join(self.out, name)
            if link:
                make_link(str(blob), target)
            else:
                storage.write(target, data)
            new[name] = content
        return name

    def written(self, shard: Shard) -> bool:
        return all(storage.exists(storage.join(self.out, name)) for name in shard["new"])

    def resume(self, shard: Shard) -> None:
        for name, content in shard["new"].items():
            self.names.take(name, content)

    def finish(self, shards: Iterable[Shard]) -> None:
        found: Iterable[tuple[int, dict[str, str]]]
        found = (pair for shard in shards for pair in zip(shard["numbers"], shard["lines"], strict=True))
        if (places := self.places) is not None:
            found = sorted(found, key=lambda pair: places[pair[0]])
        write_lists(self.out, (lines for _, lines in found))


def write_lists(out: str, samples: Iterator[dict[str, str]]) -> None:
    """Write `prompt.json`, or `KIND/prompt.json` of each kind, from the lines of each sample by kind."""
    with contextlib.ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for sample in samples:
            for kind, line in sample.items():
                if kind not in files:
                    file = storage.join(out, kind, RECORDS) if kind else storage.join(out, RECORDS)
                    files[kind] = stack.enter_context(storage.open_write(file))
                files[kind].write(line.encode())


def case_sensitive(out: str) -> bool:
    """Whether names that differ only in case are different files in a folder, which is created."""
    if storage.is_url(out):
        return True
    probe = make_folder(out) / ".cn-case"
    try:
        probe.touch()
        return not probe.with_name(".CN-CASE").exists()
    except OSError as error:
        raise OutputError(f"cannot be written: {reason(error)}", path=out, number=error.errno) from error
    finally:
        probe.unlink(missing_ok=True)
