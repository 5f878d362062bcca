"""The directory of a zip file, read strictly: the two headers of every part must agree on its place.

Why not zipfile: it follows the central directory only, takes the last of several parts with one name, gives no
offset of a part's bytes, and allocates a kilobyte for every 46 bytes of directory. Weights come from untrusted
sources, so duplicate names, overlaps, contradictory headers and encryption are errors here.
Source: PKWARE's APPNOTE 6.3.
"""

import struct
from collections import Counter
from dataclasses import dataclass
from typing import BinaryIO

from cn.errors import InputError, WeightsError
from cn.text import shown

_MAX_PARTS = 100_000
_MAX_DIRECTORY = 32 << 20
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 1 | 1 << 6 | 1 << 13
_WIDE = 0xFFFFFFFF


@dataclass(frozen=True)
class Part:
    """One part: `size` bytes of the zip file, from `offset`."""

    offset: int
    size: int
    compressed: bool


@dataclass(frozen=True)
class _Record:
    """A record of the central directory."""

    name: str
    raw_name: bytes
    header: int
    size: int
    method: int


def read_parts(file: BinaryIO, size: int) -> dict[str, Part]:
    """The parts of a zip file of `size` bytes, by name, in the order of its directory.

    Raises InputError when the file is damaged, cut off or encrypted, and WeightsError when it contradicts itself:
    different readers would see different contents.
    """
    try:
        start, length, count = _directory(file, size)
        file.seek(start)
        records = _records(file.read(length), count)
    except struct.error:
        raise InputError("damaged: its zip directory is invalid") from None
    located: dict[str, Part] = {}
    end = 0
    for record in sorted(records, key=lambda r: r.header):
        part = _locate(file, record)
        if record.header < end or part.offset + part.size > start:
            raise WeightsError("two parts of this zip file overlap: refused")
        end = part.offset + part.size
        located[record.name] = part
    return {record.name: located[record.name] for record in records}


def _directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """The start of the central directory, its length in bytes and its number of records."""
    tail_start = max(0, size - _END.size - 0xFFFF)
    file.seek(tail_start)
    tail = file.read(size - tail_start)
    at = tail.rfind(b"PK\5\6")
    if at < 0:
        raise InputError("cut off: the end of this zip file is missing")
    _, disk, first_disk, _, count, length, start, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise InputError("damaged: there is data after the end of this zip file")
    end = tail_start + at
    if end >= _END64_LOCATOR.size:
        file.seek(end - _END64_LOCATOR.size)
        mark, _, where, _ = _END64_LOCATOR.unpack(file.read(_END64_LOCATOR.size))
        if mark == b"PK\6\7":
            file.seek(min(where, size))
            mark, _, _, _, disk, first_disk, _, count, length, start = _END64.unpack(file.read(_END64.size))
            end = where if mark == b"PK\6\6" else -1
    if disk or first_disk or count > _MAX_PARTS or length > _MAX_DIRECTORY or start + length > end:
        raise InputError("damaged: its zip directory is invalid")
    return start, length, count


def _records(data: bytes, count: int) -> list[_Record]:
    records = []
    at = 0
    for _ in range(count):
        fields = _CENTRAL.unpack_from(data, at)
        mark, flags, method, packed, size = fields[0], fields[3], fields[4], fields[8], fields[9]
        name_length, extra_length, comment_length, header = fields[10], fields[11], fields[12], fields[16]
        at += _CENTRAL.size
        raw_name, extra = data[at : at + name_length], data[at + name_length : at + name_length + extra_length]
        at += name_length + extra_length + comment_length
        if mark != b"PK\1\2" or at > len(data):
            raise InputError("damaged: its zip directory is invalid")
        size, packed, header = _widened(extra, (size, packed, header))
        if flags & _ENCRYPTED:
            raise InputError("is an encrypted zip file; decrypt it first")
        if not method and packed != size:
            raise InputError("damaged: its zip directory is invalid")
        records.append(_Record(raw_name.decode("utf-8", "backslashreplace"), raw_name, header, packed, method))
    for name, times in Counter(record.name for record in records).items():
        if times > 1:
            raise WeightsError(f"{shown(name)} is in this zip file {times} times: refused")
    return records


def _widened(extra: bytes, values: tuple[int, int, int]) -> tuple[int, ...]:
    """Sizes and offset; those beyond 32 bits come from the zip64 extra field (struct.error where it is missing)."""
    at = 0
    wide = b""
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + length]
        at += 4 + length
    result = []
    for value in values:
        if value == _WIDE:
            value, wide = struct.unpack_from("<Q", wide)[0], wide[8:]
        result.append(value)
    return tuple(result)


def _locate(file: BinaryIO, record: _Record) -> Part:
    """The place of a part's bytes, by its local header, which must name the same part."""
    file.seek(record.header)
    data = file.read(_LOCAL.size + len(record.raw_name))
    if len(data) < _LOCAL.size or data[:4] != b"PK\3\4":
        raise InputError("damaged: a part of this zip file is not where its directory says")
    _, _, flags, method, *_, name_length, extra_length = _LOCAL.unpack_from(data)
    if (
        data[_LOCAL.size :] != record.raw_name
        or name_length != len(record.raw_name)
        or method != record.method
        or flags & _ENCRYPTED
    ):
        raise WeightsError("the directory of this zip file contradicts its contents: refused")
    return Part(record.header + _LOCAL.size + name_length + extra_length, record.size, bool(method))
