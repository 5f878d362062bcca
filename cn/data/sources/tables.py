"""Tables of text: CSV, TSV, and lists of paths with captions or without."""

import csv
import io
import posixpath
import re
from array import array
from collections.abc import Iterator, Sequence

from cn import errors, storage
from cn.data.sources.lines import check_encoding
from cn.data.sources.rows import Row, Rows
from cn.errors import InputError
from cn.images.formats import SUFFIXES
from cn.json_text import decode_text

PATH, TEXT = "path", "text"
"""The names of columns where the file has no header."""
_MAX_FIELD = 1 << 24
_ENDING = "|".join(re.escape(suffix[1:]) for suffix in sorted(SUFFIXES))
_WITH_TEXT = re.compile(rf"(.+?\.(?:{_ENDING}))(?:#\d+)?(?:\t|\s*[|;,]\s*|\s+)(.*)", re.IGNORECASE | re.DOTALL)
"""A line of a list: the path ends with the first suffix of an image, and the caption follows."""


class CsvRows(Rows):
    """The rows of a CSV or TSV file; of the file only the place of each row is held."""

    def __init__(self, path: str, delimiter: str | None = None):
        self.path = path
        self._offsets, self._numbers = array("q"), array("q")
        with storage.open_read(path) as file, errors.about(path):
            start = file.read(65536)
            check_encoding(start[:512])
            file.seek(0)
            self.delimiter = delimiter or _delimiter(start)
            lines = _Lines(iter(file))
            reader = self._reader(lines)
            first = next(reader, None)
            if first is None:
                raise InputError("is empty")
            self.has_header = not any(_is_image(value) for value in first)
            names = [value.strip() for value in first] if self.has_header else _unnamed(first)
            self.names = names
            if not self.has_header:
                self._offsets.append(0)
                self._numbers.append(1)
            place, number = lines.offset, lines.number
            for values in reader:
                if any(values):
                    self._offsets.append(place)
                    self._numbers.append(number + 1)
                place, number = lines.offset, lines.number
            self._offsets.append(place)

    def _reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        csv.field_size_limit(_MAX_FIELD)
        reader = csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True)
        try:
            yield from reader
        except csv.Error as error:
            what = "its lines end with CR alone; save it with LF" if "new-line" in str(error) else str(error)
            raise InputError(f"line {reader.line_num}: {what}") from error

    def __len__(self) -> int:
        return len(self._numbers)

    def between(self, start: int, stop: int) -> Iterator[Row]:
        if start >= stop:
            return
        with storage.open_read(self.path) as file, errors.about(self.path):
            file.seek(self._offsets[start])
            number = start
            for values in self._reader(_Lines(iter(file))):
                if not any(values):
                    continue
                yield self._row(values, f"{self.path}:{self._numbers[number]}")
                number += 1
                if number == stop:
                    return

    def _row(self, values: Sequence[str], where: str) -> Row:
        if len(values) > len(self.names):
            extra = f"{len(values)} values for {len(self.names)} columns; is a text with a comma not in quotes?"
            return Row(where, problem=extra)
        if any("\n" in value and self._has_rows(value) for value in values):
            return Row(where, problem="a text goes on over rows that name images: a quote is opened and not closed")
        return Row(where, {name: value for name, value in zip(self.names, values, strict=False) if value != ""})

    def _has_rows(self, text: str) -> bool:
        """Whether a text of several lines holds rows of this table."""
        lines = text.splitlines()[1:]
        return any(_is_image(cell.strip('"')) for line in lines for cell in line.split(self.delimiter))


class _Lines(Iterator[str]):
    """The lines of a file as text, counted."""

    def __init__(self, lines: Iterator[bytes]):
        self._lines = lines
        self.offset = 0
        self.number = 0

    def __next__(self) -> str:
        line = next(self._lines)
        first = self.offset == 0
        self.offset += len(line)
        self.number += 1
        try:
            return decode_text(line) if first else line.decode()
        except UnicodeDecodeError:
            raise InputError(f"line {self.number} is not UTF-8; save the file as UTF-8") from None


def _delimiter(start: bytes) -> str:
    """Of a table whose beginning is given: what is most often in its first line."""
    line = start.split(b"\n", 1)[0].decode("utf-8", "replace")
    return max(",;\t|", key=lambda each: (line.count(each), each == ","))


def _is_image(value: str) -> bool:
    return posixpath.splitext(value.strip())[1].lower() in SUFFIXES


def _unnamed(values: Sequence[str]) -> list[str]:
    """Names for the columns of a file without header: the first image, the next one its map, a text."""
    images = [number for number, value in enumerate(values) if _is_image(value)]
    names = [f"column {number}" for number in range(1, len(values) + 1)]
    names[images[0]] = PATH
    if len(images) > 1:
        names[images[1]] = "conditioning_image"
    text = next((number for number, value in enumerate(values) if number not in images and value.strip()), None)
    if text is not None:
        names[text] = TEXT
    return names


class ListRows(Rows):
    """The lines of a text file: a path each, or a path and a caption."""

    names = (PATH, TEXT)

    def __init__(self, path: str):
        with errors.about(path):
            text = decode_text(storage.read_bytes(path))
        self.path = path
        self.items = [(number, line) for number, line in enumerate(io.StringIO(text), start=1) if line.strip()]

    def __len__(self) -> int:
        return len(self.items)

    def between(self, start: int, stop: int) -> Iterator[Row]:
        for number, line in self.items[start:stop]:
            line = line.strip("\r\n")
            where = f"{self.path}:{number}"
            if _is_image(line):
                yield Row(where, {PATH: line.strip()})
            elif "\t" in line or (match := _WITH_TEXT.fullmatch(line)) is None:
                path, _, caption = line.partition("\t")
                yield Row(where, {PATH: path.strip(), TEXT: caption})
            else:
                yield Row(where, {PATH: match[1].strip(), TEXT: match[2]})
