"""Files that list images: metadata.jsonl, .csv and .parquet of Hugging Face's imagefolder; CSV, TSV, JSONL and text."""

import posixpath
from collections.abc import Sequence

from cn.data.records import RECORDS
from cn.data.sources.captions import FoldersCaptions
from cn.data.sources.columns import Columns, find_columns, find_urls
from cn.data.sources.lines import json_rows, row_names
from cn.data.sources.listed import ListedPart
from cn.data.sources.listing import Listing, suffix
from cn.data.sources.maps import maps_of
from cn.data.sources.request import Found, Request, counted
from cn.data.sources.rows import Reader, RowEntries, Rows, with_root
from cn.data.sources.tables import CsvRows, ListRows
from cn.errors import InputError
from cn.text import first_names

_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet")
_MAX_LISTS = 100
"""Files of a folder that are tried as lists of its images."""


def recognize_metadata(listing: Listing, request: Request) -> Found | None:
    """Hugging Face's imagefolder: a metadata file in the folder or in folders of it, which names images beside it."""
    files = [key for key in listing.keys if posixpath.basename(key) in _METADATA]
    return _found("imagefolder", listing, request, files)


def recognize_list(listing: Listing, request: Request) -> Found | None:
    """A file that lists images: one that was named, or one in a folder whose images it names."""
    files = [key for key in listing.with_suffix(_SUFFIXES) if posixpath.basename(key) != RECORDS]
    if listing.whole:
        files = [key for key in files if "/" not in key and not key.lower().endswith(".txt")][:_MAX_LISTS]
    return _found("list", listing, request, files)


def rows_of(path: str) -> tuple[Rows, Sequence[str]]:
    """The rows of a file, and the names of their columns. Raises InputError where it cannot be read."""
    kind = suffix(path)
    if kind == ".csv":
        rows = CsvRows(path)
        return rows, rows.names
    if kind == ".tsv":
        rows = CsvRows(path, "\t")
        return rows, rows.names
    if kind == ".txt":
        return ListRows(path), ListRows.names
    if kind == ".parquet":
        from cn.data.sources.parquet import ParquetRows

        table = ParquetRows(path)
        return table, table.names
    objects = json_rows(path)
    return objects, row_names(objects)


def _found(layout: str, listing: Listing, request: Request, files: Sequence[str]) -> Found | None:
    """What these files list; a file that was not named and lists no image of the folder is none of this layout."""
    read: list[tuple[str, Columns, RowEntries]] = []
    forced = request.layout == layout or not listing.whole
    for key in files:
        try:
            entries = _entries(listing, request, key, listing.whole and layout == "list")
        except InputError:
            if forced or layout == "imagefolder":
                raise
            continue
        if entries is not None:
            read.append((key, entries.reader.columns, entries))
    if not read:
        if forced and files:
            path = listing.path(files[0])
            names = rows_of(path)[1]
            raise InputError(
                f"no column with images, only {first_names(names, 10)}; --column image=NAME says which it is", path=path
            )
        return None
    used = {key for key, _, _ in read}
    warnings: list[str] = []
    for key, _, entries in read:
        used |= {listing.key(file) for file in entries.survey.files}
        warnings += entries.survey.warnings(key)
        if entries.survey.urls:
            warnings.append(f"{key}: {entries.survey.urls:,} images are URLs; download them first, with img2dataset")
    parts = [ListedPart(key, entries) for key, _, entries in read]
    return Found(layout, _about(layout, read), parts, used, warnings)


def _entries(listing: Listing, request: Request, key: str, must_match: bool) -> RowEntries | None:
    path = listing.path(key)
    rows, names = rows_of(path)
    columns = find_columns(names, request.columns) or _urls(names)
    if columns is None or not len(rows):
        return None
    folder = posixpath.dirname(key)
    reader = Reader(columns, listing.root, folder, captions=FoldersCaptions(), maps=maps_of(request))
    if request.images is not None or not listing.whole:
        reader = with_root(reader, rows, request.images)
    if must_match:
        keys = set(listing.keys)
        first = [reader.key(row) for row in rows.between(0, min(20, len(rows)))]
        if not any(each in keys for each in first):
            return None
    return RowEntries(rows, reader, key)


def _urls(names: Sequence[str]) -> Columns | None:
    """Of a list of URLs, their column as that of the images: each sample says that it is to be downloaded."""
    url = find_urls(names)
    return None if url is None else find_columns(names, {"image": url})


def _about(layout: str, read: Sequence[tuple[str, Columns, RowEntries]]) -> str:
    rows = sum(len(entries) for _, _, entries in read)
    first, columns, entries = read[0]
    if len(read) == 1:
        text = f"{first} with {counted(rows, 'image')} ({columns.text()}){entries.survey.text()}"
    else:
        names = ", ".join(f"{key} {len(each):,}" for key, _, each in read)
        captions = sum(each.survey.captions for _, _, each in read)
        text = f"{names}: {counted(rows, 'image')} ({columns.text()}), {captions:,} with captions"
    return f"Hugging Face's imagefolder: {text}" if layout == "imagefolder" else f"a list: {text}"
