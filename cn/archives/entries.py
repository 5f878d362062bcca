"""One tensor in a file, and access to its numbers: mapped into memory or read in chunks.

torch is imported only when a tensor is loaded, so that describing a file stays fast.
"""

import math
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
    """One tensor in a file: its dtype, its shape and where its bytes are."""

    dtype: str
    """By its safetensors name: a key of `ITEM_SIZES`."""
    shape: tuple[int, ...]
    path: Path
    offset: int
    """The position in the file of the first byte of element 0."""
    strides: tuple[int, ...] | None = None
    """In elements; None: contiguous, in C order."""
    scale: "Entry | None" = None
    """A factor of the numbers: one for all, or one for each index of the first dimension."""
    plus: "Entry | None" = None
    """A tensor of the same shape, perhaps in another file, from which the (scaled) numbers are differences."""

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor when it is contiguous."""
        return self.elements * ITEM_SIZES[self.dtype]

    @property
    def is_computed(self) -> bool:
        """Whether its values are computed, in float32, from what is stored."""
        return self.scale is not None or self.plus is not None

    @property
    def is_floating(self) -> bool:
        return self.is_computed or self.dtype.startswith(("F", "BF"))


def is_valid_shape(shape: Sequence[int], item_size: int) -> bool:
    """Whether torch can represent a tensor of this shape: no overflow, at most 64 dimensions."""
    if len(shape) > _MAX_DIMENSIONS or any(type(n) is not int or not 0 <= n < _MAX_BYTES for n in shape):
        return False
    return math.prod(n for n in shape if n) * item_size < _MAX_BYTES


def span(shape: Sequence[int], strides: Sequence[int]) -> int:
    """How many elements of its storage a view spans, first to last inclusive; 0 for an empty tensor."""
    if 0 in shape:
        return 0
    return 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))


def contiguous_strides(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements of a view are contiguous in C order; strides of dimensions of size 1 do not matter."""
    expected = 1
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n > 1 and stride != expected:
            return 0 in shape
        expected *= n
    return True


def load_tensor(entry: Entry) -> "Tensor":
    """The CPU tensor in its stored dtype, memory-mapped: nothing is read until its numbers are used.

    Writing into it changes memory only, never the file. All live tensors of one file share one mapping, which is
    released with the last of them. A tensor with a scale, and a difference, is computed, in float32.
    Raises InputError when the file is gone or has become shorter.
    """
    import torch

    if entry.is_computed:
        values = load_tensor(replace(entry, scale=None, plus=None)).float()
        if entry.scale is not None:
            factor = load_tensor(entry.scale).float().flatten()
            values = values * factor.reshape(-1, *(1,) * (len(entry.shape) - 1))
        return values if entry.plus is None else load_tensor(entry.plus).float() + values
    dtype = getattr(torch, TORCH_NAMES[entry.dtype])
    if not entry.elements:
        return torch.empty(entry.shape, dtype=dtype)
    count = entry.elements if entry.strides is None else span(entry.shape, entry.strides)
    item = ITEM_SIZES[entry.dtype]
    mapped = _mapped(entry.path)
    if entry.offset + count * item > len(mapped):
        raise InputError("has become shorter while it was in use", path=entry.path)
    if entry.offset % item:
        # Not every writer aligns tensors, and torch's kernels need aligned addresses: copy this one.
        raw = torch.frombuffer(mapped, dtype=torch.uint8, count=count * item, offset=entry.offset)
        flat = raw.clone().view(dtype)
    else:
        flat = torch.frombuffer(mapped, dtype=dtype, count=count, offset=entry.offset)
    return flat.view(entry.shape) if entry.strides is None else flat.as_strided(entry.shape, entry.strides)


def read_chunks(entry: Entry, size: int = 16 << 20) -> Iterator[memoryview]:
    """The tensor's little-endian bytes in C order, at most `size` at a time, to copy and hash.

    They are as stored, without `scale` and `plus`. Each chunk is valid until the next one is requested: all share one
    buffer. A contiguous entry needs no torch.
    Raises InputError when the file cannot be read or has become shorter.
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
                    raise InputError("has become shorter while it was in use", path=entry.path)
                yield buffer[:count]
                left -= count
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=entry.path) from error


def _strided_chunks(entry: Entry, size: int) -> Iterator[memoryview]:
    import torch

    data = load_tensor(entry).contiguous().view(-1).view(torch.uint8).numpy().data
    for start in range(0, len(data), size):
        yield data[start : start + size]


_MAPPINGS: WeakValueDictionary[tuple[int, ...], mmap.mmap] = WeakValueDictionary()


def _mapped(path: Path) -> mmap.mmap:
    """A private, writable mapping of the whole file, shared as long as it is in use."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            # The key changes when the file is replaced by another of the same name.
            key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            mapped = _MAPPINGS.get(key)
            if mapped is None:
                mapped = _MAPPINGS[key] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            return mapped
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is empty"
        raise InputError(f"cannot be read: {why}", path=path) from error
