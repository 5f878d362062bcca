"""The form with `prompt.json` (fill50k, the official trainer): `source/`, `target/`, and a line for each image.

With several kinds, `KIND/prompt.json` and `KIND/source/` for each, whose lines name the images as `../target/…`.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import BinaryIO, Literal

from cn import storage
from cn.data.blobs import Blob, File
from cn.data.formats.entry import COND, Entry
from cn.data.formats.writer import Packed, Shard
from cn.data.records import RECORDS
from cn.errors import OutputError
from cn.files import make_folder, reason

Linking = Literal["link", "copy"]


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


def place(blob: Blob, target: str, linking: Linking) -> None:
    """Put a file at `target`: as a hard link, or a symbolic link on another disk, or a copy.

    What is not a file of this machine is copied. Raises OutputError, and InputError for what cannot be read.
    """
    if linking == "copy" or not isinstance(blob, File) or storage.is_url(blob.path) or storage.is_url(target):
        storage.write(target, blob.read())
        return
    make_folder(os.path.dirname(target))
    source = os.path.realpath(blob.path)
    try:
        if os.path.lexists(target):
            if os.path.exists(target) and os.path.samefile(source, target):
                return
            os.unlink(target)
        try:
            os.link(source, target)
        except OSError:
            # Another disk, or a file system without hard links, or a file of somebody else.
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

    @property
    def several(self) -> bool:
        """Whether each kind has a folder."""
        return bool(set(self.kinds) - {""})

    def write(self, number: int, of: int, samples: Iterator[Packed]) -> Shard:
        found: list[dict[str, str]] = []
        new: dict[str, str] = {}
        size = 0
        for sample in samples:
            entry, names = sample.entry, {}
            for kind, data in (("image", sample.image), *((f"map {k}", sample.maps[k]) for k in sample.maps)):
                wanted = entry.image_name if kind == "image" else entry.map_names[kind.removeprefix("map ")]
                if self.several and kind == "map ":
                    wanted = f"{COND}/{wanted}"
                content = sha256(data).hexdigest()[:16]
                names[kind], first = self.names.take(wanted, content)
                if first:
                    storage.write(storage.join(self.out, names[kind]), data)
                    new[names[kind]] = content
                    size += len(data)
            maps = {kind: names[f"map {kind}"] for kind in sample.maps}
            found.append(lines(entry, names["image"], maps, self.several))
        return {"files": [], "samples": len(found), "bytes": size, "lines": found, "new": new}

    def written(self, shard: Shard) -> bool:
        return all(storage.exists(storage.join(self.out, name)) for name in shard["new"])

    def resume(self, shard: Shard) -> None:
        for name, content in shard["new"].items():
            self.names.take(name, content)

    def finish(self, shards: Iterable[Shard]) -> None:
        write_lists(self.out, (sample for shard in shards for sample in shard["lines"]))


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
