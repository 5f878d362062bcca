"""Rows of tables and lines of lists → samples, whatever file they come from."""

import os
import posixpath
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cn import storage
from cn.data.blobs import Blob, Content, File
from cn.data.sources.captions import FoldersCaptions
from cn.data.sources.columns import Columns
from cn.data.sources.folder import printable
from cn.data.sources.listed import Entries
from cn.data.sources.listing import located
from cn.data.sources.sample import Sample
from cn.data.sources.survey import Names, Survey
from cn.text import shown

_WEB = re.compile(r"(https?|ftp)://", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One row or line, or why it cannot be read."""

    where: str
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None


class Rows(ABC):
    """The rows of one file, which are read again when they are asked for."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def between(self, start: int, stop: int) -> Iterator[Row]:
        """The rows from number `start` up to, without, number `stop`."""


@dataclass(frozen=True)
class Reader:
    """How rows become samples."""

    columns: Columns
    root: str
    """The folder that names are relative to."""
    prefix: str = ""
    """The folder below it that the rows' paths are relative to."""
    kind: Callable[[Mapping[str, Any]], str] | None = None
    """Of a row: the kind of its maps of a kind that no column states."""
    captions: FoldersCaptions | None = None
    """Where captions are looked for that the rows do not have."""
    maps: Callable[[str], Mapping[str, Blob]] | None = None
    """The maps of an image in a folder of their own, by the path of the image."""

    def key(self, row: Row) -> str | None:
        """The path of the row's image as the row gives it; None where it gives none."""
        value = row.values.get(self.columns.image)
        value = value.get("path") if isinstance(value, Mapping) and value.get("bytes") is None else value
        return self._clean(value) if isinstance(value, str) and value.strip() else None

    def sample(self, row: Row, name: str) -> Sample:
        """The sample of a row; a row that cannot be used gives one with a problem."""
        if row.problem is not None:
            return Sample(name, None, where=row.where, problem=row.problem)
        image, problem = self._blob(row, self.columns.image, name)
        maps = dict(self.maps(image.path)) if self.maps is not None and isinstance(image, File) else {}
        for kind, column in self.columns.maps.items():
            if row.values.get(column) in (None, ""):
                continue
            blob, wrong = self._blob(row, column, f"{name}#{kind or 'cond'}")
            problem = problem or wrong
            if blob is not None:
                maps[kind or (self.kind(row.values) if self.kind is not None else kind)] = blob
        caption = first_text(row.values.get(self.columns.caption)) if self.columns.caption else None
        text = None
        if caption is None and self.captions is not None and isinstance(image, File):
            text = self.captions.of(image.path)
        extra = {key: value for key, value in row.values.items() if key not in self.columns.used and is_json(value)}
        return Sample(name, image, caption, File(text) if text else None, maps, extra, row.where, problem)

    def _clean(self, path: str) -> str:
        """A path relative to the root, without "./", and with Windows' separators replaced if that is what it takes."""
        if storage.is_url(path):
            return path
        path = posixpath.join(self.prefix, path.strip())
        if "\\" in path and not os.path.lexists(located(self.root, path)):
            path = path.replace("\\", "/")
        return posixpath.normpath(path)

    def _blob(self, row: Row, column: str, name: str) -> tuple[Blob | None, str | None]:
        value = row.values.get(column)
        if isinstance(value, Mapping):
            value = value.get("path") if value.get("bytes") is None else value["bytes"]
        if isinstance(value, bytes | bytearray | memoryview):
            return Content(name, bytes(value)), None
        if value is None or value == "":
            return None, f'"{column}" is missing'
        if not isinstance(value, str):
            return None, f'"{column}" is neither a path nor an image'
        if _WEB.match(value):
            return None, f"{shown(value)} is a URL: download first, with img2dataset"
        if "\0" in value:
            return None, f'"{column}" is no path: it holds a zero byte'
        return File(located(self.root, self._clean(value))), None


def first_text(value: Any) -> str | None:
    """A caption: a text, or the first of a list of them; None for anything else, and for nothing but spaces."""
    texts = value if isinstance(value, list | tuple) else (value,)
    return next((text for text in texts if isinstance(text, str) and text.strip()), None)


def is_several(value: Any) -> bool:
    """Whether there are more captions than one."""
    return isinstance(value, list | tuple) and len(value) > 1


def is_json(value: Any) -> bool:
    """Whether a value can be written as JSON."""
    if isinstance(value, list | tuple):
        return all(map(is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(each) for key, each in value.items())
    return value is None or isinstance(value, str | int | float | bool)


class RowEntries(Entries):
    """Samples of rows that name files."""

    def __init__(self, rows: Rows, reader: Reader, file: str):
        self.rows, self.reader, self.file = rows, reader, file
        """`file`: the name of the rows' file, for samples without a name."""
        self.survey = Survey()
        keys = Names()
        for number, row in enumerate(rows.between(0, len(rows))):
            key = reader.key(row)
            keys.add(f"#{number}" if key is None else key)
            several = reader.columns.caption and is_several(row.values.get(reader.columns.caption))
            self.survey.add(reader.sample(row, key or ""), bool(several))
        self._repeated = keys.repeated()
        """Of rows whose image was in a row before: which time it is."""
        self.survey.repeated = len(self._repeated)
        self.survey.keys = keys

    def __len__(self) -> int:
        return len(self.rows)

    def between(self, start: int, stop: int) -> Iterator[Sample]:
        for number, row in enumerate(self.rows.between(start, stop), start):
            key = self.reader.key(row)
            if key is None:
                name = f"{self.file}#{number + 1}"
            else:
                name = printable(key) + (f"#{self._repeated[number]}" if number in self._repeated else "")
            yield self.reader.sample(row, name)


def with_root(reader: Reader, rows: Rows, chosen: str | None) -> Reader:
    """The reader whose root is the folder that the user named, or where the first image is: here, if not there."""
    if chosen is not None:
        return replace(reader, root=chosen)
    if storage.is_url(reader.root):
        return reader
    for row in rows.between(0, min(len(rows), 10)):
        key = reader.key(row)
        if key is not None and not os.path.exists(located(reader.root, key)) and os.path.exists(key):
            return replace(reader, root="")
    return reader
