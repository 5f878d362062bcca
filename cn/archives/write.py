"""Write safetensors files tensor by tensor, atomically, with at most one tensor in memory.

Why not safetensors' save_file: it needs all tensors in memory, cannot copy bytes from file to file, and checks nothing.
"""

import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cn.archives.entries import ITEM_SIZES, TORCH_NAMES, Entry, read_chunks
from cn.archives.finite import is_finite
from cn.errors import InputError
from cn.files import open_atomic

if TYPE_CHECKING:
    from torch import Tensor

HALF_OF = {"F32": "F16", "F64": "F16", "BF16": "F16"}
"""The dtype that `--half` writes for each dtype; all others stay."""

_ARRAYS = {"float32": "F32", "int64": "I64"}
_SAFETENSORS_NAMES = {torch_name: name for name, torch_name in TORCH_NAMES.items()}


@dataclass(frozen=True)
class Item:
    """One tensor to be written: its dtype, its shape, and a function that gives its bytes."""

    dtype: str
    shape: tuple[int, ...]
    chunks: Callable[[], Iterable[memoryview]]
    origin: Path | None = None
    """The file that it comes from, for messages."""

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * ITEM_SIZES[self.dtype]


def write_safetensors(
    path: Path,
    items: Mapping[str, Item],
    metadata: Mapping[str, str],
    *,
    on_bytes: Callable[[int], None] | None = None,
    patch_metadata: Callable[[str], str] | None = None,
) -> None:
    """Write tensors, the widest dtypes first and then by name: all are aligned and the bytes are reproducible.

    `on_bytes` is called with the number of bytes of each write. `patch_metadata` is called with each metadata value
    after the last tensor and returns its replacement, of the same length: for what is only known then.
    Raises InputError for a tensor that holds NaN or infinity, and when the file cannot be written; nothing is left
    behind then.
    """
    order = sorted(items, key=lambda name: (-ITEM_SIZES[items[name].dtype], name))
    with open_atomic(path) as file:
        file.write(_header({name: items[name] for name in order}, metadata))
        for name in order:
            written = 0
            for chunk in items[name].chunks():
                if not is_finite(chunk, items[name].dtype):
                    raise _not_finite(name, items[name])
                file.write(chunk)
                written += len(chunk)
                if on_bytes is not None:
                    on_bytes(len(chunk))
            if written != items[name].nbytes:
                raise InputError(f"changed while it was read ({name})", path=items[name].origin)
        if patch_metadata is not None:
            patched = {key: patch_metadata(value) for key, value in metadata.items()}
            file.seek(0)
            file.write(_header({name: items[name] for name in order}, patched))


def _not_finite(name: str, item: Item) -> InputError:
    large = ", or too large for half precision" if item.dtype == "F16" else ""
    return InputError(f"{name} holds numbers that are not finite{large}: nothing was written", path=item.origin)


def _header(items: Mapping[str, Item], metadata: Mapping[str, str]) -> bytes:
    record: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for name, item in items.items():
        record[name] = {
            "dtype": item.dtype,
            "shape": list(item.shape),
            "data_offsets": [start, start + item.nbytes],
        }
        start += item.nbytes
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def file_size(items: Mapping[str, Item], metadata: Mapping[str, str]) -> int:
    """The size in bytes of the file that `write_safetensors` will write."""
    return len(_header(items, metadata)) + sum(item.nbytes for item in items.values())


def copied(entries: Sequence[Entry], shape: tuple[int, ...], *, half: bool = False) -> Item:
    """A stored tensor, unchanged or rounded to half precision; several entries are concatenated."""
    dtype = entries[0].dtype
    written = HALF_OF.get(dtype, dtype) if half else dtype
    convert = _halved if written != dtype else _same
    return Item(written, shape, lambda: _copy(entries, convert), entries[0].path)


def _copy(entries: Sequence[Entry], convert: Callable[[memoryview, str], memoryview]) -> Iterator[memoryview]:
    for entry in entries:
        for chunk in read_chunks(entry):
            yield convert(chunk, entry.dtype)


def _same(chunk: memoryview, dtype: str) -> memoryview:
    return chunk


def _halved(chunk: memoryview, dtype: str) -> memoryview:
    """Little-endian float32, float64 or bfloat16 → float16, rounded half to even; infinity where too large."""
    if dtype == "BF16":
        numbers = (np.frombuffer(chunk, "<u2").astype("<u4") << 16).view("<f4")
    else:
        numbers = np.frombuffer(chunk, {"F32": "<f4", "F64": "<f8"}[dtype])
    with np.errstate(over="ignore"):
        return numbers.astype("<f2").view(np.uint8).data


def of_array(array: NDArray) -> Item:
    """A NumPy array in memory: float32 or int64."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return Item(_ARRAYS[array.dtype.name], array.shape, lambda: [flat.view(np.uint8).data])


def computed(dtype: str, shape: tuple[int, ...], read: Callable[[], "Tensor"], origin: Path | None = None) -> Item:
    """A tensor that is read, and converted to `dtype`, only when it is written."""
    return Item(dtype, shape, lambda: [_bytes(read(), dtype)], origin)


def of_tensor(tensor: "Tensor", *, half: bool = False) -> Item:
    """A tensor in memory."""
    name = dtype_name(tensor)
    return computed(HALF_OF.get(name, name) if half else name, tuple(tensor.shape), lambda: tensor.detach())


def dtype_name(tensor: "Tensor") -> str:
    """The safetensors name of a tensor's dtype."""
    return _SAFETENSORS_NAMES[str(tensor.dtype).removeprefix("torch.")]


def _bytes(tensor: "Tensor", dtype: str) -> memoryview:
    import torch

    flat = tensor.detach().to("cpu", getattr(torch, TORCH_NAMES[dtype])).contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
