"""The pages of a TIFF and what its samples are, from the directories alone.

By hand, because Pillow counts previews and masks as pages, and does not say what it cannot read.
Source: TIFF 6.0, section 2, and the BigTIFF proposal.
"""

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIP_OFFSETS, SAMPLES, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES, SAMPLE_FORMAT = 273, 277, 279, 324, 325, 339
PLANES, SUB_IFDS, DNG_VERSION = 284, 330, 50706

_REDUCED, _MASK = 1, 4
_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""struct's letter of each integer type of a field."""
_MAX_PAGES = 100_000


@dataclass(frozen=True)
class Page:
    """One image file directory: its number in the chain, and the integer fields that were asked for."""

    index: int
    fields: dict[int, tuple[int, ...]]

    def get(self, tag: int, default: int = 0) -> int:
        """The first value of a field."""
        return (self.fields.get(tag) or (default,))[0]


def pages(file: BinaryIO) -> list[int]:
    """The indices of the directories that are pages: no previews of another page, no masks."""
    return [page.index for page in directories(file, {SUBFILE}) if not page.get(SUBFILE) & (_REDUCED | _MASK)]


def first_page(data: bytes, tags: set[int]) -> Page:
    """The first page, with the fields among `tags`; an empty one where there is none."""
    for page in directories(io.BytesIO(data), tags | {SUBFILE}):
        if not page.get(SUBFILE) & (_REDUCED | _MASK):
            return page
    return Page(0, {})


def directories(file: BinaryIO, tags: set[int]) -> Iterator[Page]:
    """The directories in order, with the fields among `tags`; ends where a chain is a loop, and at what is broken.

    After two or more, a directory that cannot be read counts as one, without fields.
    """
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return
    big = struct.unpack_from(f"{order}H", head, 2)[0] == 43
    if big and len(head) < 16:
        return
    offset = struct.unpack_from(f"{order}Q", head, 8)[0] if big else struct.unpack_from(f"{order}I", head, 4)[0]
    size = file.seek(0, os.SEEK_END)
    seen: set[int] = set()
    found = 0
    while offset and offset < size and offset not in seen and len(seen) < _MAX_PAGES:
        seen.add(offset)
        try:
            fields, offset = _directory(file, offset, order, big, tags)
        except (struct.error, OverflowError):
            offset = size
            break
        yield Page(found, fields)
        found += 1
    if offset >= size and found > 1:
        # Of several pages, the next one is cut off: reading it says so.
        yield Page(found, {})


def _directory(
    file: BinaryIO, offset: int, order: str, big: bool, tags: set[int]
) -> tuple[dict[int, tuple[int, ...]], int]:
    """The fields of the directory at `offset`, and the offset of the next one."""
    number, length, entry, word = ("Q", 8, 20, "Q") if big else ("H", 2, 12, "I")
    file.seek(offset)
    (count,) = struct.unpack(f"{order}{number}", file.read(length))
    # No file has more than 65535 tags.
    table = file.read(entry * min(count, 65535))
    following = file.read(8 if big else 4)
    fields: dict[int, tuple[int, ...]] = {}
    for start in range(0, len(table) - entry + 1, entry):
        tag, kind = struct.unpack_from(f"{order}HH", table, start)
        if tag in tags and kind in _TYPES:
            (values,) = struct.unpack_from(f"{order}{word}", table, start + 4)
            inline = table[start + 4 + len(following) : start + entry]
            fields[tag] = _values(file, values, inline, order, _TYPES[kind], word)
    complete = len(following) == (8 if big else 4)
    return fields, struct.unpack(f"{order}{word}", following)[0] if complete else 0


def _values(file: BinaryIO, count: int, inline: bytes, order: str, letter: str, word: str) -> tuple[int, ...]:
    """The values of a field: in the entry itself if they fit, else where the entry points to. Never more than exist."""
    size = struct.calcsize(f"{order}{letter}")
    if count * size > len(inline):
        file.seek(struct.unpack(f"{order}{word}", inline)[0])
        inline = file.read(min(count * size, 64 << 20))
    count = min(count, len(inline) // size)
    return struct.unpack(f"{order}{count}{letter}", inline[: count * size])
