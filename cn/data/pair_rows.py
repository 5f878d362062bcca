"""What a part of a source holds, in little memory: about 100 bytes a sample, read back one by one.

Millions of objects would take gigabytes, in each process that reads images ahead. Here a part is one string of bytes
with an entry for each sample, which is pickled in one piece. Own code, because a data frame or SQLite would take a
dependency or a file, and answers no question that is asked here.
"""

import hashlib
import json
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cn import storage
from cn.data.blobs import File, TarMember
from cn.data.records import ImageFile
from cn.data.sources.sample import Sample
from cn.data.table_images import TableImage

if TYPE_CHECKING:
    from cn.data.sources.parquet import TablePart

PROBLEM, UNCAPTIONED, SAME_FILE = 1, 2, 4
"""Flags of a row: it cannot be used, it has no caption, its image is its own map."""
_MAX_REPEATS = (1 << 16) - 1


@dataclass(frozen=True)
class Row:
    """A sample as it is stored; `where` is what messages call it."""

    where: str
    image: ImageFile | None
    maps: dict[str, ImageFile]
    caption: str | None
    caption_file: File | None
    problem: str | None


@dataclass
class PartRows:
    """The samples of one part; files are named relative to `home`: a folder, or the tar that they are members of."""

    home: str
    part: "TablePart | None" = None
    """The table that the images are in, if they are in one."""
    data: bytearray = field(default_factory=bytearray)
    ends: "array[int]" = field(default_factory=lambda: array("Q"))
    groups: "array[int]" = field(default_factory=lambda: array("H"))
    flags: "array[int]" = field(default_factory=lambda: array("B"))
    repeats: "array[int]" = field(default_factory=lambda: array("H"))
    """How often each is seen in an epoch of training. Not kept on the disk: only kohya's folders say it."""
    kinds: list[tuple[str, ...]] = field(default_factory=list)
    """Which kinds of maps a sample may have; a row's group is a place in this list."""

    needs_part: bool = False
    """Whether some of the images are neither files nor members of an uncompressed tar."""

    def __len__(self) -> int:
        return len(self.ends)

    def add(self, sample: Sample, repeats: int = 1) -> None:
        """Append a sample, which is seen `repeats` times in an epoch of training."""
        maps = {kind: self._code(blob) for kind, blob in sample.maps.items()}
        image = None if sample.image is None else self._code(sample.image)
        caption_file = None if sample.caption_file is None else self._code(sample.caption_file)
        flags = PROBLEM * (sample.problem is not None)
        flags |= UNCAPTIONED * (sample.caption_file is None and not (sample.caption or "").strip())
        # The cells of a table may all have one name.
        in_part = isinstance(image, dict) and "p" in image
        flags |= SAME_FILE * (image is not None and not in_part and image in maps.values())
        # Of a tar, `where` is only its path.
        where = sample.name if sample.where in ("", self.home) else sample.where
        entry = [where, image, maps, sample.caption, caption_file, sample.problem]
        self._append(entry, tuple(maps), flags)
        self.repeats.append(max(1, min(repeats, _MAX_REPEATS)))

    def _append(self, entry: list[Any], kinds: tuple[str, ...], flags: int) -> None:
        if kinds not in self.kinds:
            self.kinds.append(kinds)
        self.data += json.dumps(entry, separators=(",", ":")).encode()
        self.ends.append(len(self.data))
        self.groups.append(self.kinds.index(kinds))
        self.flags.append(flags)

    def __getitem__(self, number: int) -> Row:
        start = self.ends[number - 1] if number else 0
        where, image, maps, caption, caption_file, problem = json.loads(self.data[start : self.ends[number]])
        text = None if caption_file is None else self._blob(caption_file, number, None)
        return Row(
            where,
            None if image is None else self._blob(image, number, None),
            {kind: self._blob(code, number, kind) for kind, code in maps.items()},
            caption,
            None if text is None else File(str(text)),
            problem,
        )

    def _code(self, blob: ImageFile) -> Any:
        """A file as its path: text if it is below `home`, else [text]; a member of the tar `home`; else this row."""
        if isinstance(blob, TarMember) and blob.path == self.home:
            return {"m": blob.name, "o": blob.offset, "s": blob.size}
        if isinstance(blob, TarMember):
            return {"t": blob.path, "m": blob.name, "o": blob.offset, "s": blob.size}
        if not isinstance(blob, Path | File):
            self.needs_part = True
            return {"p": str(blob)}
        path, prefix = str(blob), self.home.rstrip("/") + "/"
        return path[len(prefix) :] if path.startswith(prefix) else [path]

    def _blob(self, code: Any, number: int, kind: str | None) -> ImageFile:
        if isinstance(code, dict) and "p" in code:
            assert self.part is not None
            return TableImage(self.part, number, kind, code["p"])
        if isinstance(code, dict):
            return TarMember(code.get("t", self.home), code["m"], code["o"], code["s"])
        path = code[0] if isinstance(code, list) else storage.join(self.home, code)
        return File(path) if storage.is_url(path) else Path(path)

    def is_of_one_file(self) -> bool:
        """Whether all that it names lies in the tar `home`, so that it can be kept as long as that does not change."""
        codes = (code for entry in self._entries() for code in (entry[1], *entry[2].values(), entry[4]) if code)
        return os.path.isfile(self.home) and all(isinstance(code, dict) and "m" in code for code in codes)

    def _entries(self) -> Iterator[Any]:
        start = 0
        for end in self.ends:
            yield json.loads(self.data[start:end])
            start = end

    def to_bytes(self) -> bytes:
        """As bytes: a line of JSON, then the arrays."""
        arrays = [bytes(self.data), *(a.tobytes() for a in (self.ends, self.groups, self.flags))]
        body = b"".join(arrays)
        head: dict[str, Any] = {
            "kinds": self.kinds,
            "lengths": [len(each) for each in arrays],
            "byteorder": _byteorder(),
        }
        head["sha256"] = hashlib.sha256(body).hexdigest()
        return json.dumps(head).encode() + b"\n" + body

    @classmethod
    def from_bytes(cls, raw: bytes, home: str, part: "TablePart | None") -> "PartRows":
        """The inverse. Raises ValueError or KeyError for anything else."""
        line, _, rest = raw.partition(b"\n")
        head = json.loads(line)
        if head["byteorder"] != _byteorder() or head["sha256"] != hashlib.sha256(rest).hexdigest():
            raise ValueError("written on another machine, or damaged")
        pieces, start = [], 0
        for length in head["lengths"]:
            pieces.append(rest[start : start + length])
            start += length
        found = cls(home, part, bytearray(pieces[0]), kinds=[tuple(kinds) for kinds in head["kinds"]])
        for values, piece in zip((found.ends, found.groups, found.flags), pieces[1:], strict=True):
            values.frombytes(piece)
        found.repeats = array("H", [1]) * len(found)
        return found


def _byteorder() -> str:
    """What the bytes of an array depend on."""
    return f"{array('Q', [1]).tobytes().hex()}/{array('H').itemsize}"
