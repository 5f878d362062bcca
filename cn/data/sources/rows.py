"""Rows of tables and lines of lists → samples, whatever file they come from."""

import os
import posixpath
import re
from abc import ABC, abstractmethod
from collections import Counter
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
        self._repeated: dict[int, int] = {}
        """Of rows whose image was in a row before: which time it is."""
        counts: Counter[str] = Counter()
        for number, row in enumerate(rows.between(0, len(rows))):
            key = reader.key(row)
            if key is None:
                self.survey.add(reader.sample(row, ""), row, reader)
                continue
            counts[key] += 1
            if counts[key] > 1:
                self._repeated[number] = counts[key]
            self.survey.add(reader.sample(row, key), row, reader)
        self.survey.keys = set(counts)
        self.survey.repeated = len(self._repeated)

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


@dataclass
class Survey:
    """What the rows of a file hold, counted."""

    rows: int = 0
    captions: int = 0
    first_of_several: int = 0
    """Captions that are the first of a list."""
    maps: "Counter[str]" = field(default_factory=Counter)
    problems: int = 0
    urls: int = 0
    repeated: int = 0
    keys: set[str] = field(default_factory=set)
    """The paths of images."""
    files: set[str] = field(default_factory=set)
    """The paths of all files that are read, those of maps and captions too."""

    def add(self, sample: Sample, row: Row, reader: Reader) -> None:
        """Count a sample."""
        self.rows += 1
        self.captions += sample.caption is not None or sample.caption_file is not None
        caption = row.values.get(reader.columns.caption) if reader.columns.caption else None
        self.first_of_several += isinstance(caption, list | tuple) and len(caption) > 1
        self.maps.update(list(sample.maps))
        self.problems += sample.problem is not None
        self.urls += sample.problem is not None and "is a URL" in sample.problem
        blobs = (sample.image, sample.caption_file, *sample.maps.values())
        self.files.update(blob.path for blob in blobs if isinstance(blob, File))

    def text(self) -> str:
        """In words, after the number of rows: ", 18 with captions, 20 with depth maps"."""
        words = [f", {self._share(self.captions)} with captions"] if self.captions else [", without captions"]
        for kind, number in sorted(self.maps.items()):
            words.append(f", {self._share(number)} with {kind or 'condition'} maps")
        return "".join(words)

    def _share(self, number: int) -> str:
        return "all" if number == self.rows > 1 else f"{number:,}"

    def warnings(self, file: str) -> list[str]:
        """What a person should know."""
        found = []
        if self.first_of_several:
            found.append(f"{file}: {self.first_of_several:,} images have several captions; the first of each is used")
        if self.repeated:
            found.append(f"{file}: {self.repeated:,} rows name an image that a row before them names; each is a sample")
        return found


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
