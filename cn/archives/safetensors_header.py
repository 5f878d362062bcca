"""The header of safetensors files: eight bytes of length, JSON, then the tensors' bytes without a gap.

As strict as the safetensors library, and about doubled names stricter. Source: the format's description in the
safetensors repository (README.md, "Format").
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from cn.archives.entries import ITEM_SIZES, Entry, sane_shape, shown
from cn.errors import InputError

MAX_HEADER = 100_000_000
"""Bytes; the library's limit."""
_MAX_COMMAS = 5_000_000
"""Half a million tensors: 100 MB of brackets and commas would become gigabytes of Python objects."""


def read_safetensors(file: BinaryIO, path: Path, size: int) -> tuple[dict[str, Entry], dict[str, str]]:
    """Tensors by name, in the header's order, and the metadata, of the file at its start; `size` in bytes.

    Raises InputError, with what is wrong, unless the header is well-formed and describes every byte once.
    """
    if size < 10:
        raise InputError(f"{path}: cut off: {size} bytes are too few for a safetensors file")
    length = struct.unpack("<Q", file.read(8))[0]
    if length > MAX_HEADER:
        raise InputError(f"{path}: damaged, or no safetensors file: its header claims to be {length} bytes long")
    if 8 + length > size:
        raise InputError(f"{path}: cut off: its header speaks of {8 + length} bytes, the file has {size}")
    header = _parse(file.read(length), path)
    metadata = header.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or any(type(value) is not str for value in metadata.values()):
        raise InputError(f"{path}: damaged: its __metadata__ is no table of texts")
    entries = {name: _entry(name, value, path, 8 + length) for name, value in header.items()}
    _check_cover(entries, path, 8 + length, size)
    return entries, metadata


def _parse(data: bytes, path: Path) -> dict[str, Any]:
    """The header's JSON object: RFC 8259 to the letter, names once each, no number with a sign or a point."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") > _MAX_COMMAS:
        raise InputError(f"{path}: its header lists more than any weights have")
    try:
        text = data.decode("utf-8")
        header = json.loads(
            text, object_pairs_hook=_once, parse_int=_plain, parse_float=_no_number, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        detail = f": {error}" if type(error) is ValueError else ""
        raise InputError(f"{path}: damaged: its header is not what safetensors files have{detail}") from None
    if not isinstance(header, dict):
        raise InputError(f"{path}: damaged: its header is no table of tensors")
    return header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"{shown(name)} is there twice")
        # Half of a surrogate pair is JSON to Python, but no text: this raises UnicodeEncodeError, a ValueError.
        name.encode("utf-8")
        if isinstance(value, str):
            value.encode("utf-8")
        result[name] = value
    return result


def _plain(number: str) -> int:
    if number.startswith("-") or len(number) > 20:
        raise ValueError(f"{shown(number, 30)} is no size")
    return int(number)


def _no_number(number: str) -> NoReturn:
    raise ValueError(f"{shown(number, 30)} is no size")


def _entry(name: str, value: Any, path: Path, start: int) -> Entry:
    """The entry of one tensor; `start` is where the tensors' bytes begin."""
    broken = f"{path}: damaged: {shown(name)}"
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{broken} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise InputError(f"{path}: {shown(name)} is stored as {shown(dtype, 30)}, which is not supported")
    if not isinstance(shape, list) or not sane_shape(shape, ITEM_SIZES[dtype]):
        raise InputError(f"{broken} has no possible shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or any(type(n) is not int for n in offsets):
        raise InputError(f"{broken} has no place in the file")
    entry = Entry(dtype, tuple(shape), path, start + offsets[0])
    if offsets[1] - offsets[0] != entry.nbytes:
        raise InputError(f"{broken} needs {entry.nbytes} bytes and has {offsets[1] - offsets[0]}")
    return entry


def _check_cover(entries: Mapping[str, Entry], path: Path, start: int, size: int) -> None:
    """The tensors lie one behind the other, from the header's end to the file's end."""
    end = start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].offset, item[1].nbytes)):
        if entry.offset != end:
            what = "overlaps another tensor" if entry.offset < end else "has a hole before it"
            raise InputError(f"{path}: damaged: {shown(name)} {what}")
        end += entry.nbytes
    if end != size:
        what = "cut off" if end > size else "damaged"
        raise InputError(f"{path}: {what}: its header speaks of {end} bytes, the file has {size}")
