"""Files of JSON: one object a line, or one array of objects."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cn import errors, storage
from cn.data.records import MAX_LINE
from cn.data.sources.rows import Row, Rows
from cn.errors import InputError
from cn.json_text import decode_text, parse_json

_MAX_ARRAY = 1 << 30
_BOM = b"\xef\xbb\xbf"


class JsonLines(Rows):
    """One JSON object a line; of the file only the place of each line is held."""

    def __init__(self, path: str):
        self.path = path
        self._offsets, self._numbers = array("q"), array("q")
        with storage.open_read(path) as file:
            with errors.about(path):
                check_encoding(file.read(512))
            file.seek(0)
            offset = 0
            for number, line in enumerate(file, start=1):
                if line.strip() and line.strip() != _BOM:
                    self._offsets.append(offset)
                    self._numbers.append(number)
                offset += len(line)
            self._offsets.append(offset)

    def __len__(self) -> int:
        return len(self._numbers)

    def between(self, start: int, stop: int) -> Iterator[Row]:
        with storage.open_read(self.path) as file:
            file.seek(self._offsets[start])
            for number in range(start, stop):
                size = self._offsets[number + 1] - self._offsets[number]
                # Blank lines up to the next record are read with it.
                line = file.read(size).lstrip(b"\n").partition(b"\n")
                yield json_row(line[0], f"{self.path}:{self._numbers[number]}", ended=bool(line[1]))


class JsonItems(Rows):
    """Objects in memory: the items of an array, or lines of standard input."""

    def __init__(self, items: Sequence[tuple[str, Any]]):
        self.items = items
        """Place in the file, and value, or the bytes of a line."""

    def __len__(self) -> int:
        return len(self.items)

    def between(self, start: int, stop: int) -> Iterator[Row]:
        for where, value in self.items[start:stop]:
            yield json_row(value, where) if isinstance(value, bytes | str) else _object(value, where)


def json_rows(path: str) -> Rows:
    """The objects of a JSON file, whichever form it has. Raises InputError where it is neither."""
    with storage.open_read(path) as file:
        start = file.read(4096).removeprefix(_BOM).lstrip()
        if not start.startswith(b"["):
            return JsonLines(path)
        file.seek(0)
        data = file.read(_MAX_ARRAY + 1)
    with errors.about(path):
        if len(data) > _MAX_ARRAY:
            raise InputError("an array of more than 1 GiB; write one object per line")
        try:
            return array_rows(data, path)
        except InputError:
            # A file of lines may begin with a broken one.
            lines = JsonLines(path)
            if any(row.problem is None for row in lines.between(0, min(2, len(lines)))):
                return lines
            raise


def array_rows(data: bytes, path: str) -> JsonItems:
    """The items of a JSON array."""
    items = parse_json(data)
    if not isinstance(items, list):
        raise InputError(f"expected a JSON array, not {type(items).__name__}")
    return JsonItems([(f"{path}, item {number}", item) for number, item in enumerate(items, start=1)])


def json_row(line: bytes | str, where: str, *, ended: bool = True) -> Row:
    """The row of one line of JSON."""
    if len(line) > MAX_LINE:
        return Row(where, problem="the line is longer than 1 MiB")
    try:
        return _object(parse_json(line), where)
    except InputError as error:
        text = line if isinstance(line, bytes) else line.encode("utf-8", "replace")
        cut = not ended and not text.rstrip().endswith(b"}")
        return Row(where, problem=f"{error.what}; is the line cut off?" if cut else error.what)


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, Mapping):
        return Row(where, problem=f"expected a JSON object, not {type(value).__name__}")
    return Row(where, value)


def check_encoding(start: bytes) -> None:
    """InputError for a file in UTF-16 or UTF-32."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        decode_text(start)
    if any(start[k::2].count(0) > len(start) // 4 > start[1 - k :: 2].count(0) for k in (0, 1)):
        raise InputError("is UTF-16 or UTF-32; save it as UTF-8")


def row_names(rows: Rows, count: int = 100) -> list[str]:
    """The names of the columns in the first rows."""
    found: dict[str, None] = {}
    for row in rows.between(0, min(count, len(rows))):
        found |= dict.fromkeys(row.values)
    return list(found)
