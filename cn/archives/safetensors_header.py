"""The header of safetensors files: its length in eight bytes, JSON, then the tensors' bytes without gaps.

Why not the safetensors library: it gives no offsets (needed to copy tensors byte for byte), accepts duplicate names,
and does not say which tensor is wrong. Everything it rejects is rejected here too (tested).
Source: the safetensors repository, README.md, "Format".
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from cn.archives.entries import ITEM_SIZES, Entry, is_valid_shape
from cn.errors import InputError
from cn.text import shown

MAX_HEADER = 100_000_000
"""Bytes; the library's limit."""
_MAX_COMMAS = 5_000_000
"""Enough for half a million tensors; 100 MB of brackets and commas would become gigabytes of Python objects."""


def read_safetensors(file: BinaryIO, path: Path, size: int) -> tuple[dict[str, Entry], dict[str, str]]:
    """Tensors by name, in the header's order, and the metadata; `file` is at its start and has `size` bytes.

    Raises InputError unless the header is well-formed and describes every byte of the file exactly once.
    """
    if size < 10:
        raise InputError(f"cut off: {size} bytes are too few for a safetensors file")
    length = struct.unpack("<Q", file.read(8))[0]
    if length > MAX_HEADER:
        raise InputError(f"damaged, or not a safetensors file: its header claims to be {length} bytes long")
    if 8 + length > size:
        raise InputError(f"cut off: its header ends at byte {8 + length}, the file has {size} bytes")
    header = _parse(file.read(length))
    metadata = header.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or any(type(value) is not str for value in metadata.values()):
        raise InputError("damaged: its __metadata__ does not map names to strings")
    entries = {name: _entry(name, value, path, 8 + length) for name, value in header.items()}
    _check_coverage(entries, 8 + length, size)
    return entries, metadata


def _parse(data: bytes) -> dict[str, Any]:
    """The header's JSON object: strictly RFC 8259, without duplicate names, negative or fractional numbers."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") > _MAX_COMMAS:
        raise InputError("its header lists more tensors than any weights have")
    try:
        text = data.decode("utf-8")
        header = json.loads(
            text, object_pairs_hook=_unique, parse_int=_size, parse_float=_not_a_size, parse_constant=_not_a_size
        )
    except (ValueError, RecursionError) as error:
        detail = f": {error}" if type(error) is ValueError else ""
        raise InputError(f"damaged: its safetensors header is invalid{detail}") from None
    if not isinstance(header, dict):
        raise InputError("damaged: its header is not a table of tensors")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"{shown(name)} is listed twice")
        # Python's JSON accepts half of a surrogate pair, which is not text: UnicodeEncodeError, a ValueError.
        name.encode("utf-8")
        if isinstance(value, str):
            value.encode("utf-8")
        result[name] = value
    return result


def _size(number: str) -> int:
    if number.startswith("-") or len(number) > 20:
        raise ValueError(f"{shown(number, 30)} is not a size")
    return int(number)


def _not_a_size(number: str) -> NoReturn:
    raise ValueError(f"{shown(number, 30)} is not a size")


def _entry(name: str, value: Any, path: Path, start: int) -> Entry:
    """The entry of one tensor; `start` is the position where the tensors' bytes begin."""
    broken = f"damaged: {shown(name)}"
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{broken} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise InputError(f"{shown(name)} is stored as {shown(dtype, 30)}, which is not supported")
    if not isinstance(shape, list) or not is_valid_shape(shape, ITEM_SIZES[dtype]):
        raise InputError(f"{broken} has an impossible shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or any(type(n) is not int for n in offsets):
        raise InputError(f"{broken} has invalid data_offsets")
    entry = Entry(dtype, tuple(shape), path, start + offsets[0])
    if offsets[1] - offsets[0] != entry.nbytes:
        raise InputError(f"{broken} needs {entry.nbytes} bytes and has {offsets[1] - offsets[0]}")
    return entry


def _check_coverage(entries: Mapping[str, Entry], start: int, size: int) -> None:
    """The tensors must follow each other without gaps, from the end of the header to the end of the file."""
    end = start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].offset, item[1].nbytes)):
        if entry.offset != end:
            what = "overlaps another tensor" if entry.offset < end else "has a gap before it"
            raise InputError(f"damaged: {shown(name)} {what}")
        end += entry.nbytes
    if end != size:
        what = "cut off" if end > size else "damaged"
        raise InputError(f"{what}: its header describes {end} bytes, the file has {size}")
