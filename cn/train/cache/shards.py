"""Numbers kept in safetensors files of bounded size, each row with an entry that says what it is.

A file's name holds a hash of the keys of its rows. So a file that is there under the wanted name is the wanted one, a
killed writer has lost only the file at hand, and older files stay readable until the new ones are complete.
"""

import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cn.errors import InputError
from cn.files import write_atomic

T = TypeVar("T")
MAX_BYTES = 32 << 20
"""Of the numbers of a file: what is lost at most when a process is killed."""
MAX_ROWS = 1000
_ENTRIES = "entries"
_OPEN = 64
"""Files that are kept open."""


@dataclass(frozen=True)
class Shard:
    """A file that is wanted: rows number `start` up to, without, number `stop`."""

    path: Path
    start: int
    stop: int


def plan(
    folder: Path, kind: str, keys: Sequence[Any], row_bytes: int, groups: Sequence[Any] | None = None
) -> list[Shard]:
    """The files for rows with these keys (JSON values), each of `row_bytes`: `latents-00000-3fa2c07be1d0.safetensors`.

    They depend on nothing but the keys and their order. A file holds rows of one of the `groups` (default: of any),
    which follow each other.
    """
    rows = max(1, min(MAX_ROWS, MAX_BYTES // row_bytes))
    found = []
    for number, (start, stop) in enumerate(_spans(groups or [None] * len(keys), rows)):
        part = keys[start:stop]
        digest = hashlib.sha256(json.dumps(part).encode()).hexdigest()[:12]
        path = folder / f"{kind}-{number:05d}-{digest}.safetensors"
        found.append(Shard(path, start, start + len(part)))
    return found


def _spans(groups: Sequence[Any], rows: int) -> Iterator[tuple[int, int]]:
    """The first row and the one after the last of pieces of at most `rows` rows, each of one group."""
    start = 0
    for _, group in itertools.groupby(groups):
        end = start + sum(1 for _ in group)
        for first in range(start, end, rows):
            yield first, min(first + rows, end)
        start = end


def files(folder: Path, kind: str) -> list[Path]:
    """All files of one kind, in order."""
    return sorted(folder.glob(f"{kind}-*.safetensors"))


def write(path: Path, tensors: Mapping[str, Tensor], entries: Sequence[Any]) -> None:
    """Write a file, whole or not at all. The same values give the same bytes. Raises OutputError."""
    text = json.dumps(entries, separators=(",", ":"))
    values = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, save(values, {_ENTRIES: text}))


def read_entries(path: Path) -> list[Any]:
    """The entries of a file's rows. Raises InputError for a damaged file."""
    try:
        with safe_open(path, "pt") as file:
            entries = json.loads((file.metadata() or {})[_ENTRIES])
            names = list(file.keys())
            counts = {file.get_slice(name).get_shape()[0] for name in names}
    except (OSError, SafetensorError, ValueError, KeyError, IndexError) as error:
        raise _damaged(path, error) from error
    if not isinstance(entries, list) or counts != {len(entries)}:
        raise _damaged(path, "its rows do not match its entries")
    return entries


def intact(paths: Sequence[Path], entry: Callable[[Any], T]) -> Iterator[tuple[Path, list[T]]]:
    """The files that can be read, with their entries, each as `entry` makes it; InputError of it is damage, too."""
    for path in paths:
        try:
            yield path, list(map(entry, read_entries(path)))
        except InputError:
            continue


def text_entry(value: Any) -> str:
    """The entry of a caption."""
    if not isinstance(value, str):
        raise InputError("its entries are no captions")
    return value


def row_shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of a row's tensor of this name. Raises InputError."""
    try:
        return tuple(_opened(path).get_slice(name).get_shape()[1:])
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def read_row(path: Path, row: int) -> dict[str, Tensor]:
    """A row's tensors by name, as they are stored, without the first dimension. Raises InputError."""
    try:
        file = _opened(path)
        names = list(file.keys())
        return {name: file.get_slice(name)[row] for name in names}
    except (OSError, SafetensorError, IndexError) as error:
        raise _damaged(path, error) from error


@functools.lru_cache(maxsize=_OPEN)
def _opened(path: Path) -> Any:
    return safe_open(path, "pt")


def forget() -> None:
    """Open files again when they are read next."""
    _opened.cache_clear()


def _damaged(path: Path, why: object) -> InputError:
    return InputError(f"cannot be read ({why}); run cn dataset cache again, which replaces what is damaged", path=path)
