"""Lists that other programs print: paths, one a line, or records of JSON such as those of `cn detect --json`."""

import os
from collections.abc import Iterator, Sequence

from cn import storage
from cn.data.sources.captions import FoldersCaptions
from cn.data.sources.columns import Columns, find_columns
from cn.data.sources.lines import JsonItems, array_rows, row_names
from cn.data.sources.listed import ListedPart
from cn.data.sources.listing import located, suffix
from cn.data.sources.maps import maps_of
from cn.data.sources.request import Found, Request, counted
from cn.data.sources.rows import Reader, Row, RowEntries, Rows
from cn.data.sources.sample import UNSTATED, Part
from cn.data.sources.shards import ShardPart
from cn.data.sources.videos import video_parts, words
from cn.data.sources.webdataset import ENDINGS as TAR_ENDINGS
from cn.errors import InputError
from cn.images.formats import VIDEO_SUFFIXES
from cn.text import first_names

STDIN = "standard input"
_PATH = "path"


class PathRows(Rows):
    """Paths as rows with one column."""

    def __init__(self, paths: Sequence[str], file: str = ""):
        self.paths, self.file = paths, file

    def __len__(self) -> int:
        return len(self.paths)

    def between(self, start: int, stop: int) -> Iterator[Row]:
        for path in self.paths[start:stop]:
            yield Row(self.file, {_PATH: path})


def recognize(lines: Sequence[str | bytes], request: Request) -> Found:
    """The images that the lines of standard input name, or describe as JSON. Raises InputError where there are none."""
    texts = [os.fsdecode(line) for line in lines if line.strip()]
    if not texts:
        raise InputError("no paths were given", path=STDIN)
    if texts[0].lstrip("\ufeff \t").startswith(("{", "[")):
        return _records(texts, request)
    paths = (text.strip("\r\n") for text in texts)
    once = dict.fromkeys(path if storage.is_url(path) else os.path.normpath(path) for path in paths)
    return path_list(list(once), request)


def path_list(paths: Sequence[str], request: Request) -> Found:
    """Images by their paths, whose captions are looked for beside them; and the samples of shards and videos."""
    tars = [path for path in paths if path.lower().endswith(TAR_ENDINGS)]
    films = [path for path in paths if suffix(path) in VIDEO_SUFFIXES]
    others = {*tars, *films}
    images = [path for path in paths if path not in others] if others else paths
    root = request.images or ""
    parts: list[Part] = []
    about = f"a list of {counted(len(paths), 'path')} on {STDIN}"
    warnings: list[str] = []
    if images:
        reader = Reader(Columns(_PATH), root, captions=FoldersCaptions(), maps=maps_of(request))
        entries = RowEntries(PathRows(images), reader, STDIN)
        parts.append(ListedPart(STDIN, entries))
        about += entries.survey.text() if not others else f": {counted(len(images), 'image')}{entries.survey.text()}"
        warnings = entries.survey.warnings(STDIN)
    if tars:
        parts += [ShardPart(path, located(root, path)) for path in tars]
        about += f"; {counted(len(tars), 'WebDataset shard')}"
    if films:
        parts += video_parts([(path, located(root, path)) for path in films], request)
        about += f"; {words(len(films), request)}"
    return Found("list", about, parts, warnings=warnings)


def _records(texts: Sequence[str], request: Request) -> Found:
    if texts[0].lstrip("\ufeff \t").startswith("["):
        rows = array_rows("\n".join(texts).encode("utf-8", "surrogateescape"), STDIN)
    else:
        rows = JsonItems([(f"{STDIN}:{number}", text) for number, text in enumerate(texts, start=1)])
    names = row_names(rows)
    is_detect = {_PATH, "status", "seconds"} <= set(names) and not request.columns
    if is_detect:
        columns = Columns(_PATH, None, {UNSTATED: "output"})
        kept = zip(rows.items, rows.between(0, len(rows)), strict=True)
        rows = JsonItems([item for item, row in kept if row.values.get("status") != "left out"])
    else:
        found = find_columns(names, request.columns)
        if found is None:
            there = first_names(names, 10)
            raise InputError(f"no column with images, only {there}; --column image=NAME says which it is", path=STDIN)
        columns = found
    reader = Reader(columns, request.images or "", captions=FoldersCaptions(), maps=maps_of(request))
    entries = RowEntries(rows, reader, STDIN)
    survey = entries.survey
    what = "records of cn detect" if is_detect else "JSON records"
    about = f"{survey.rows:,} {what} on {STDIN} ({columns.text()}){survey.text()}"
    return Found("list", about, [ListedPart(STDIN, entries)], warnings=survey.warnings(STDIN))
