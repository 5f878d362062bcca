"""One tensor in a file, and how its numbers are reached: mapped into memory or read in pieces.

Nothing is imported from torch until a tensor is asked for, so that files are described in an instant.
"""

import math
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from cn.errors import InputError
from cn.files import reason

if TYPE_CHECKING:
    from torch import Tensor

_KINDS = {
    "F64": (8, "float64"),
    "F32": (4, "float32"),
    "F16": (2, "float16"),
    "BF16": (2, "bfloat16"),
    "I64": (8, "int64"),
    "I32": (4, "int32"),
    "I16": (2, "int16"),
    "I8": (1, "int8"),
    "U64": (8, "uint64"),
    "U32": (4, "uint32"),
    "U16": (2, "uint16"),
    "U8": (1, "uint8"),
    "BOOL": (1, "bool"),
    "C64": (8, "complex64"),
    "F8_E4M3": (1, "float8_e4m3fn"),
    "F8_E5M2": (1, "float8_e5m2"),
    "F8_E4M3FNUZ": (1, "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": (1, "float8_e5m2fnuz"),
    "F8_E8M0": (1, "float8_e8m0fnu"),
}

ITEM_SIZES: dict[str, int] = {dtype: size for dtype, (size, _) in _KINDS.items()}
"""Bytes of one number, by the dtype's name in safetensors files."""

TORCH_NAMES: dict[str, str] = {dtype: name for dtype, (_, name) in _KINDS.items()}
"""The same dtypes as torch calls them."""

_MAX_DIMENSIONS = 64
_MAX_BYTES = 1 << 62


@dataclass(frozen=True)
class Entry:
    """One tensor in a file: what it is and where its bytes lie."""

    dtype: str
    """As safetensors names it: one of `ITEM_SIZES`."""
    shape: tuple[int, ...]
    path: Path
    offset: int
    """Of the first byte of element 0, from the file's start."""
    strides: tuple[int, ...] | None = None
    """In elements; None: contiguous, in C order."""

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor when it is contiguous."""
        return self.elements * ITEM_SIZES[self.dtype]

    @property
    def is_floating(self) -> bool:
        return self.dtype.startswith(("F", "BF"))


def sane_shape(shape: Sequence[int], item_size: int) -> bool:
    """Whether torch can have a tensor of this shape at all: no overflow, and not more than 64 dimensions."""
    if len(shape) > _MAX_DIMENSIONS or any(type(n) is not int or not 0 <= n < _MAX_BYTES for n in shape):
        return False
    return math.prod(n for n in shape if n) * item_size < _MAX_BYTES


def reach(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Elements from the first to the last one of a view, both included; 0 for an empty tensor."""
    if 0 in shape:
        return 0
    return 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))


def contiguous_strides(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements of a view follow each other in C order; the strides of single rows say nothing."""
    expected = 1
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n > 1 and stride != expected:
            return 0 in shape
        expected *= n
    return True


def load_tensor(entry: Entry) -> "Tensor":
    """The CPU tensor of the stored dtype, mapped from the file: nothing is read until its numbers are used.

    Writing into it changes memory only, never the file. All tensors of one file that are alive share one mapping,
    which goes when the last of them does.
    Raises InputError when the file has gone or is shorter than it was.
    """
    import torch

    dtype = getattr(torch, TORCH_NAMES[entry.dtype])
    if not entry.elements:
        return torch.empty(entry.shape, dtype=dtype)
    count = entry.elements if entry.strides is None else reach(entry.shape, entry.strides)
    item = ITEM_SIZES[entry.dtype]
    mapped = _mapped(entry.path)
    if entry.offset + count * item > len(mapped):
        raise InputError(f"{entry.path}: has become shorter while it was in use")
    if entry.offset % item:
        # Other writers do not always align; torch's kernels may not be given such addresses, so this one is copied.
        raw = torch.frombuffer(mapped, dtype=torch.uint8, count=count * item, offset=entry.offset)
        flat = raw.clone().view(dtype)
    else:
        flat = torch.frombuffer(mapped, dtype=dtype, count=count, offset=entry.offset)
    return flat.view(entry.shape) if entry.strides is None else flat.as_strided(entry.shape, entry.strides)


def read_chunks(entry: Entry, size: int = 16 << 20) -> Iterator[memoryview]:
    """The tensor's little-endian bytes in C order, `size` or fewer at a time, for copying and hashing.

    Each piece is good until the next is asked for: one buffer serves them all. A contiguous entry needs no torch.
    Raises InputError when the file cannot be read or is shorter than it was.
    """
    if entry.strides is not None:
        yield from _strided_chunks(entry, size)
        return
    left = entry.nbytes
    buffer = memoryview(bytearray(min(size, left)))
    try:
        with open(entry.path, "rb") as file:
            file.seek(entry.offset)
            while left:
                count = file.readinto(buffer[: min(size, left)])
                if not count:
                    raise InputError(f"{entry.path}: has become shorter while it was in use")
                yield buffer[:count]
                left -= count
    except OSError as error:
        raise InputError(f"{entry.path}: cannot be read: {reason(error)}") from error


def _strided_chunks(entry: Entry, size: int) -> Iterator[memoryview]:
    import torch

    data = load_tensor(entry).contiguous().view(-1).view(torch.uint8).numpy().data
    for start in range(0, len(data), size):
        yield data[start : start + size]


_MAPPINGS: WeakValueDictionary[tuple[int, ...], mmap.mmap] = WeakValueDictionary()


def _mapped(path: Path) -> mmap.mmap:
    """A private, writable mapping of the whole file, shared while anybody uses it."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            # A file that was replaced under the same name is another file.
            key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            mapped = _MAPPINGS.get(key)
            if mapped is None:
                mapped = _MAPPINGS[key] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            return mapped
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is empty"
        raise InputError(f"{path}: cannot be read: {why}") from error


def shown(text: object, limit: int = 100) -> str:
    """A name out of a file, fit for one line on a terminal: shortened, with nothing unprintable in it."""
    word = str(text)[: limit + 1]
    word = "".join(c if c.isprintable() else "?" for c in word)
    return word if len(word) <= limit else word[: limit - 1] + "…"
