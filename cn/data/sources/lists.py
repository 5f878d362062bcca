"""Files that list images: metadata.jsonl, .csv and .parquet of Hugging Face's imagefolder; CSV, TSV, JSONL and text."""

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from cn import storage
from cn.data.records import RECORDS
from cn.data.sources.captions import FoldersCaptions
from cn.data.sources.columns import Columns, find_columns, find_urls
from cn.data.sources.lines import json_rows, row_names
from cn.data.sources.listed import ListedPart
from cn.data.sources.listing import Listing, suffix
from cn.data.sources.maps import map_folders, maps_of
from cn.data.sources.request import Found, Request, counted
from cn.data.sources.rows import Reader, RowEntries, Rows, with_root
from cn.data.sources.tables import CsvRows, ListRows
from cn.errors import InputError
from cn.images.formats import SUFFIXES
from cn.text import first_names

_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet")
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
_MAX_LISTS = 100
"""Files of a folder that are tried as lists of its images, and folders that these may be in."""


def recognize_metadata(listing: Listing, request: Request) -> Found | None:
    """Hugging Face's imagefolder: a metadata file in the folder or in folders of it, which names images beside it."""
    files = [key for name in _METADATA for key in listing.keys if posixpath.basename(key) == name]
    return _found("imagefolder", listing, request, files)


def recognize_list(listing: Listing, request: Request) -> Found | None:
    """A file that lists images: one that was named, or one in a folder whose images it names."""
    files = [key for key in listing.with_suffix(_SUFFIXES) if posixpath.basename(key) != RECORDS]
    images = listing.with_suffix(SUFFIXES)
    if listing.whole:
        files = [key for key in files if "/" not in key][:_MAX_LISTS]
    elif images and request.layout is None:
        # A pattern that matches images matches their text files, too.
        return None
    if listing.whole and (texts := [key for key in files if suffix(key) == ".txt"]):
        stems = {posixpath.splitext(key)[0] for key in images} | set(images)
        files = [key for key in files if key not in texts or posixpath.splitext(key)[0] not in stems]
    return _found("list", listing, request, files)


def unused(keys: Sequence[str]) -> list[str]:
    """Warnings for lists in a folder that is not read as what they list."""
    lists = [key for key in keys if posixpath.basename(key) in _METADATA or ("/" not in key and suffix(key) in _TABLES)]
    hint = "it names no images that are here, or not in a column that is known (--column image=NAME)"
    return [f"{key} is not used: {hint}" for key in lists]


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
        return _text_rows(path)
    if kind == ".parquet":
        from cn.data.sources.parquet import ParquetRows

        table = ParquetRows(path)
        return table, table.names
    objects = json_rows(path)
    return objects, row_names(objects)


def _text_rows(path: str) -> tuple[Rows, Sequence[str]]:
    """A text file is a list of paths, or a table if its first line has the names of columns."""
    with storage.open_read(path) as file:
        start = file.readline(1 << 16).decode("utf-8", "replace").removeprefix("\ufeff")
    delimiter = "\t" if "\t" in start else ","
    names = [name.strip() for name in start.split(delimiter)]
    if len(names) > 1 and not any(suffix(name) in SUFFIXES for name in names) and find_columns(names, {}) is not None:
        table = CsvRows(path, delimiter)
        return table, table.names
    return ListRows(path), ListRows.names


def _found(layout: str, listing: Listing, request: Request, files: Sequence[str]) -> Found | None:
    """What these files list; a file that was not named and lists no image of the folder is none of this layout."""
    read: list[tuple[str, Columns, RowEntries]] = []
    warnings: list[str] = []
    forced = request.layout == layout or not listing.whole
    for key in files:
        try:
            entries = _entries(listing, request, key, listing.whole and layout == "list")
        except InputError:
            if forced or layout == "imagefolder":
                raise
            continue
        if entries is None:
            continue
        if twin := next((other for other, _, each in read if each.survey.keys.overlaps(entries.survey.keys)), None):
            warnings.append(f"{key}: lists the images that {twin} lists, and is left out")
            continue
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
    for key, _, entries in read:
        used |= entries.survey.used(listing)
        warnings += entries.survey.warnings(key)
        if entries.survey.urls:
            urls = counted(entries.survey.urls, "image")
            warnings.append(f"{key}: {urls} to be downloaded first, with img2dataset: the list has URLs")
    parts = [ListedPart(key, entries) for key, _, entries in read]
    return Found(layout, _about(layout, read), parts, used, warnings)


def _entries(listing: Listing, request: Request, key: str, must_match: bool) -> RowEntries | None:
    path = listing.path(key)
    rows, names = rows_of(path)
    columns = find_columns(names, request.columns) or _urls(names)
    if columns is None or not len(rows):
        return None
    folder = posixpath.dirname(key)
    maps = maps_of(request)
    if maps is None and not columns.maps and listing.whole:
        maps = map_folders(listing, listing.with_suffix(SUFFIXES), request)[1]
    reader = Reader(columns, listing.root, folder, captions=FoldersCaptions(), maps=maps)
    if request.images is not None or not listing.whole:
        reader = with_root(reader, rows, request.images)
    if must_match and (listing.with_suffix(SUFFIXES) or find_urls(names) is None):
        prefix = _prefix(listing, reader, rows)
        if prefix is None:
            return None
        reader = replace(reader, prefix=prefix)
    return RowEntries(rows, reader, key)


def _prefix(listing: Listing, reader: Reader, rows: Rows) -> str | None:
    """The folder that the paths of a list in a folder are relative to, "" for the same one; None where none fits."""
    first = [key for row in rows.between(0, min(20, len(rows))) if (key := reader.key(row)) is not None]
    images = set(listing.with_suffix(SUFFIXES))
    folders = sorted({posixpath.dirname(image) for image in images})
    near = ("", *folders[:_MAX_LISTS])
    paths = [listing.key(key) if posixpath.isabs(key) else key for key in first]
    return next((folder for folder in near if any(posixpath.join(folder, key) in images for key in paths)), None)


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
