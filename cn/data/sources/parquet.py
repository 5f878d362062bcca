"""Parquet and Arrow files: with the bytes of images, as `datasets` writes them, or with paths. Needs pyarrow."""

import posixpath
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, ClassVar

from cn import errors, storage
from cn.data.sources.columns import Columns, find_columns
from cn.data.sources.listed import ListedPart
from cn.data.sources.listing import Listing, suffix
from cn.data.sources.request import Found, Request, counted
from cn.data.sources.rows import Reader, Row, Rows
from cn.data.sources.sample import Part, Sample
from cn.errors import InputError
from cn.images.formats import SUFFIXES
from cn.text import shown

_TABLES = (".parquet", ".arrow")
_BATCH = 64
"""Rows that are decoded at a time: images of a few megabytes each."""
_PARTS_OF_SETS = ("train", "validation", "valid", "val", "test", "dev")


def _arrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise InputError('reading Parquet needs pyarrow: pip install "controlnet-cn[parquet]"') from None
    return pyarrow


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """An object of pyarrow for a file: a ParquetFile, or a reader of Arrow batches."""
    arrow = _arrow()
    with errors.about(path), storage.open_read(path) as file:
        try:
            if suffix(path) == ".parquet":
                with arrow.parquet.ParquetFile(file) as table:
                    yield table
            else:
                yield _arrow_reader(arrow, file)
        except (arrow.ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.strerror:
                raise
            text = shown(" ".join(str(error).split()), 200)
            raise InputError(f"is broken or cut off, or no {suffix(path)[1:]} file ({text})") from error
        except MemoryError:
            raise InputError("needs more memory than there is; is it broken?") from None


def _arrow_reader(arrow: Any, file: Any) -> Any:
    """`datasets` writes streams; other tools write files with an index."""
    if file.read(6) == b"ARROW1":
        file.seek(0)
        return arrow.ipc.open_file(file)
    file.seek(0)
    return arrow.ipc.open_stream(file)


def _batches(table: Any, columns: Sequence[str] | None, start: int, stop: int) -> Iterator[tuple[int, Any]]:
    """(number of the first row, batch) of those that hold rows from `start` up to, without, `stop`."""
    if hasattr(table, "iter_batches"):
        counts = [table.metadata.row_group(number).num_rows for number in range(table.metadata.num_row_groups)]
        ends = list(accumulate(counts))
        first = bisect_right(ends, start)
        groups = [number for number in range(first, len(counts)) if ends[number] - counts[number] < stop]
        place = ends[first] - counts[first] if groups else 0
        for group in groups:
            for batch in table.iter_batches(_BATCH, row_groups=[group], columns=columns):
                yield place, batch
                place += batch.num_rows
        return
    place = 0
    for batch in _arrow_batches(table):
        if place >= stop:
            return
        for offset in range(0, batch.num_rows, _BATCH):
            piece = batch.slice(offset, _BATCH)
            piece = piece if columns is None else piece.select(columns)
            # Arrow files are used as they are: damaged ones would be read beyond their end.
            piece.validate(full=True)
            yield place, piece
            place += piece.num_rows


def _arrow_batches(table: Any) -> Iterator[Any]:
    if hasattr(table, "get_batch"):
        for number in range(table.num_record_batches):
            yield table.get_batch(number)
        return
    yield from table


class ParquetRows(Rows):
    """The rows of a table without images in it, such as metadata.parquet."""

    def __init__(self, path: str):
        self.path = path
        with _opened(path) as table:
            self.names = _schema(table).names
            self._count = _count(table)

    def __len__(self) -> int:
        return self._count

    def between(self, start: int, stop: int) -> Iterator[Row]:
        yield from table_rows(self.path, start, stop)


def table_rows(path: str, start: int, stop: int, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Some rows of a table, read group by group."""
    with _opened(path) as table:
        for place, batch in _batches(table, columns, start, stop):
            first = max(0, start - place)
            for number in range(first, min(batch.num_rows, stop - place)):
                values = batch.slice(number, 1).to_pylist()[0]
                yield Row(f"{path}, row {place + number + 1}", {name: _json(value) for name, value in values.items()})


def _json(value: Any) -> Any:
    """A value of a table as JSON has it; dates and decimals become text."""
    if value is None or isinstance(value, str | int | float | bool | bytes | dict | list):
        return value
    return str(value)


def _schema(table: Any) -> Any:
    return table.schema_arrow if hasattr(table, "schema_arrow") else table.schema


def _count(table: Any) -> int:
    """The number of rows; of a stream, by reading it."""
    if hasattr(table, "iter_batches"):
        return int(table.metadata.num_rows)
    return sum(batch.num_rows for batch in _arrow_batches(table))


@dataclass(frozen=True)
class TablePart(Part):
    """A table with images in it; samples are called by its name and the number of their row."""

    type: ClassVar[str] = "table"
    name: str
    path: str
    columns: Columns
    rows: int
    first: int = 0
    keep: Sequence[str] = field(default=())
    """The columns that are kept in `Sample.extra`."""

    @property
    def count(self) -> int:
        return self.rows

    def samples(self, start: int = 0, stop: int | None = None) -> Iterator[Sample]:
        end = self.first + (self.rows if stop is None else min(stop, self.rows))
        columns = [*dict.fromkeys((*sorted(self.columns.used), *self.keep))]
        reader = Reader(self.columns, posixpath.dirname(self.path))
        if self.first + start >= end:
            return
        rows = table_rows(self.path, self.first + start, end, columns)
        for number, row in enumerate(rows, self.first + start):
            yield reader.sample(row, f"{self.name}/{number:06}")

    def record(self, start: int, stop: int | None) -> dict[str, Any]:
        end = self.rows if stop is None else min(stop, self.rows)
        columns = {"image": self.columns.image, "caption": self.columns.caption, "maps": dict(self.columns.maps)}
        values = {"type": self.type, "name": self.name, "path": self.path, "columns": columns, "keep": list(self.keep)}
        return values | {"first": self.first + start, "rows": max(0, end - start)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "TablePart":
        """The part that `record` described."""
        columns = Columns(**record["columns"])
        return cls(record["name"], record["path"], columns, record["rows"], record["first"], tuple(record["keep"]))


def recognize(listing: Listing, request: Request) -> Found | None:
    """Parquet files, or Arrow files of `save_to_disk`, with images in a column."""
    files = listing.with_suffix(_TABLES)
    parts: list[TablePart] = []
    broken: dict[str, InputError] = {}
    several = False
    for key in files:
        try:
            with _opened(listing.path(key)) as table:
                schema, count = _schema(table), _count(table)
        except InputError as error:
            broken[key] = error
            continue
        heavy = [each.name for each in schema if _is_heavy(each.type)]
        columns = find_columns(schema.names, request.columns, heavy)
        if columns is None or columns.image not in heavy:
            # Paths in a table are read as those of any list.
            continue
        if columns.caption is not None:
            several |= str(schema.field(columns.caption).type).startswith(("list", "large_list"))
        keep = [each for each in schema.names if each not in {*columns.used, *heavy}]
        parts.append(TablePart(key, listing.path(key), columns, count, 0, tuple(keep)))
    if not parts:
        if broken and (request.layout is not None or not listing.with_suffix(SUFFIXES)):
            raise next(iter(broken.values()))
        return None
    rows = sum(part.rows for part in parts)
    kind = suffix(parts[0].path)[1:].capitalize()
    about = f"{counted(len(parts), f'{kind} file')} with {counted(rows, 'image')} ({parts[0].columns.text()})"
    if sets := _sets(parts):
        about += f": {', '.join(f'{name} {number:,}' for name, number in sets.items())}"
    warnings = [f"{parts[0].name}: images with several captions; the first of each is used"] if several else []
    used = {part.name for part in parts} | {key for key in listing.keys if _belongs(key)}
    # What cannot be read is a sample that says so, and the other files are used.
    lost = [Sample(key, None, where=listing.path(key), problem=error.what) for key, error in broken.items()]
    rest = [ListedPart("broken files", lost)] if lost else []
    return Found("parquet", about, [*parts, *rest], used | set(broken), warnings)


def _is_heavy(kind: Any) -> bool:
    """Whether a column holds bytes."""
    return "binary" in str(kind)


def _belongs(key: str) -> bool:
    """What `datasets` and its hub write besides."""
    name = posixpath.basename(key)
    return name in ("README.md", "dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json")


def _sets(parts: Sequence[TablePart]) -> dict[str, int]:
    """The parts of the set that the names of files state, with their rows; none where there is only one."""
    found: dict[str, int] = {}
    for part in parts:
        words = posixpath.splitext(part.name)[0].replace("/", "-").split("-")
        name = next((word for word in words if word in _PARTS_OF_SETS), "")
        found[name] = found.get(name, 0) + part.rows
    return found if len(found) > 1 or "" not in found else {}
