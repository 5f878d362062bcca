"""Images in tables (Parquet, Arrow), read by the number of their row, in any order.

A Parquet file can be read only by row groups, of which a process keeps the last ones; an Arrow file is mapped into
memory. `cn.data.sources` reads tables from beginning to end.
"""

import posixpath
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from cn import errors, storage
from cn.data.blobs import Blob
from cn.errors import InputError
from cn.units import bytes_text

if TYPE_CHECKING:
    from cn.data.sources.parquet import TablePart

MAX_BYTES = 256 << 20
"""Of the row groups that a process keeps; the last one stays whatever its size."""
LARGE_GROUP = 64 << 20
"""Bytes of a row group beyond which reading one image takes too long."""


@dataclass(frozen=True)
class TableImage(Blob):
    """The image in row `number` of a table, or its map of a kind."""

    part: "TablePart"
    number: int
    kind: str | None
    name: str

    def read(self) -> bytes:
        from cn.data.sources.rows import Reader, Row

        columns = [self.part.columns.image, *self.part.columns.maps.values()]
        with errors.about(self.part.path):
            values = _values(self.part.path, columns, self.part.first + self.number)
        sample = Reader(self.part.columns, posixpath.dirname(self.part.path)).sample(Row("", values), self.name)
        blob = sample.image if self.kind is None else sample.maps.get(self.kind)
        if blob is None:
            raise InputError(sample.problem or "changed while it was read", path=str(self))
        return blob.read()

    def __str__(self) -> str:
        return self.name


def _values(path: str, columns: list[str], row: int) -> dict[str, Any]:
    import pyarrow

    try:
        table, place = (_mapped(path), row) if path.lower().endswith(".arrow") else _groups.find(path, columns, row)
        return {name: table.column(name)[place].as_py() for name in columns}
    except (pyarrow.ArrowException, IndexError, KeyError) as error:
        raise InputError(f"was changed, or is damaged ({' '.join(str(error).split())[:200]})") from error


@lru_cache(maxsize=64)
def _mapped(path: str) -> Any:
    """An Arrow file as a table, which takes no memory: a stream, as `datasets` writes it, or a file with an index."""
    import pyarrow

    source = pyarrow.memory_map(path)
    try:
        return pyarrow.ipc.open_stream(source).read_all()
    except pyarrow.ArrowInvalid:
        return pyarrow.ipc.open_file(source).read_all()


class _Groups:
    """The row groups that were read last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, path: str, columns: list[str], row: int) -> tuple[Any, int]:
        """The group that holds a row, as a table, and the row's place in it."""
        ends = _ends(path)
        group = next(number for number, end in enumerate((*ends, row + 1)) if row < end)
        with self._lock:
            if (path, group) not in self._kept:
                self._kept[path, group] = self._read(path, columns, group)
                while len(self._kept) > 1 and sum(table.nbytes for table in self._kept.values()) > MAX_BYTES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end((path, group))
            return self._kept[path, group], row - (ends[group - 1] if group else 0)

    @staticmethod
    def _read(path: str, columns: list[str], group: int) -> Any:
        import pyarrow.parquet

        with storage.open_read(path) as file, pyarrow.parquet.ParquetFile(file) as table:
            if group == table.num_row_groups:
                raise IndexError("it has fewer rows than before")
            return table.read_row_group(group, columns=columns)


_groups = _Groups()


@lru_cache(maxsize=4096)
def _ends(path: str) -> tuple[int, ...]:
    """The number of the last row of each group, plus one."""
    return tuple(accumulate(rows for rows, _ in _sizes(path)))


def _sizes(path: str) -> list[tuple[int, int]]:
    """Rows and bytes of each row group."""
    import pyarrow.parquet

    with storage.open_read(path) as file, pyarrow.parquet.ParquetFile(file) as table:
        groups = [table.metadata.row_group(number) for number in range(table.num_row_groups)]
        return [(group.num_rows, group.total_byte_size) for group in groups]


def slow_to_read(path: str) -> str | None:
    """A warning for a table whose row groups are so large that reading its images in random order takes long."""
    if path.lower().endswith(".arrow"):
        return None
    largest = max((size for _, size in _sizes(path)), default=0)
    if largest <= LARGE_GROUP:
        return None
    return (
        f"{path}: its row groups have up to {bytes_text(largest)}, and each image takes reading one of them; "
        "training is faster from a folder: cn dataset unpack"
    )
