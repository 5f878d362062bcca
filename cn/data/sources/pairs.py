"""`prompt.json` of the official trainer, and the datasets of `cn dataset build` and `cn dataset synth`.

Of several kinds, each has a folder with a prompt.json of its own: KIND/prompt.json. The pairs of one image become one
sample with several maps.
"""

import functools
import posixpath
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cn.data.records import RECORDS
from cn.data.sources.columns import PROMPT_JSON, find_columns
from cn.data.sources.lines import json_rows, row_names
from cn.data.sources.listed import Entries, ListedPart
from cn.data.sources.listing import Listing
from cn.data.sources.maps import kind_of
from cn.data.sources.own import single_kind
from cn.data.sources.request import Found, Request, counted
from cn.data.sources.rows import Reader, RowEntries, Rows, first_text
from cn.data.sources.sample import Sample


def recognize(listing: Listing, request: Request) -> Found | None:
    """`prompt.json` in the folder, or in each of several folders in it, or that file itself."""
    if listing.whole:
        found = [key for key in listing.keys if posixpath.basename(key) == RECORDS]
        # That of the folder, those of its kinds, or those of a folder that an archive was unpacked into.
        depth = min((key.count("/") for key in found), default=0)
        files = [key for key in found if key.count("/") == depth]
    else:
        files = [key for key in listing.with_suffix((".json", ".jsonl")) if _is_named(key, request)]
    read = [each for each in (_Records.open(listing, key, request) for key in files) if each is not None]
    if not read:
        return None
    if len(read) == 1:
        entries: Entries = read[0].entries
    else:
        entries = JoinedEntries(read)
    used = set(files)
    warnings: list[str] = []
    for records in read:
        used |= records.entries.survey.used(listing)
        warnings += records.entries.survey.warnings(records.file)
    return Found("prompt.json", _about(read, entries), [ListedPart(RECORDS, entries)], used, warnings)


def _is_named(key: str, request: Request) -> bool:
    """Whether a file that was named is to be read so; people rename prompt.json."""
    return posixpath.basename(key) == RECORDS or request.layout == "prompt.json"


def _about(read: "Sequence[_Records]", entries: Entries) -> str:
    if not isinstance(entries, JoinedEntries):
        survey = read[0].entries.survey
        return f"the official trainer's {read[0].file} with {counted(survey.rows, 'pair')}{survey.text()}"
    kinds = ", ".join(f"{each.folder} {each.entries.survey.rows:,}" for each in read)
    samples, captions = len(entries), entries.captions
    with_captions = "all" if captions == samples > 1 else f"{captions:,}"
    return (
        f"a dataset of {counted(samples, 'image')} with a {RECORDS} for each of {len(read)} kinds ({kinds}), "
        f"{with_captions} with captions"
    )


@dataclass(frozen=True)
class _Records:
    """One `prompt.json`: `folder` is where it lies."""

    file: str
    folder: str
    rows: Rows
    entries: RowEntries

    @classmethod
    def open(cls, listing: Listing, key: str, request: Request) -> "_Records | None":
        """None for a file of that name that is none of this layout."""
        rows = json_rows(listing.path(key))
        if not any({"source", "target"} & set(row.values) for row in rows.between(0, min(20, len(rows)))):
            return None
        names = row_names(rows)
        columns = None if "prompt" in names and not request.columns else find_columns(names, request.columns)
        columns = columns or PROMPT_JSON
        folder = posixpath.dirname(key)
        kind = functools.partial(row_kind, default=kind_of(posixpath.basename(folder)) or single_kind(listing))
        root, prefix = (listing.root, folder) if request.images is None else (request.images, "")
        reader = Reader(columns, root, prefix, kind)
        return cls(key, folder, rows, RowEntries(rows, reader, key))


def row_kind(values: Mapping[str, Any], default: str) -> str:
    """The kind that a row states, as `cn` writes it; else `default`."""
    kind = values.get("kind")
    return (kind_of(kind) if isinstance(kind, str) else "") or default


class JoinedEntries(Entries):
    """The samples of several kinds: rows with the same image, or with the same scene of `cn dataset synth`."""

    def __init__(self, read: Sequence[_Records]):
        self._entries = [records.entries for records in read]
        places: dict[Any, int] = {}
        self._rows = [array("q") for _ in read]
        captioned: set[int] = set()
        for number, records in enumerate(read):
            seen: Counter[Any] = Counter()
            for row_number, row in enumerate(records.rows.between(0, len(records.rows))):
                image = _identity(records, row.values) if row.problem is None else (records.file, row_number)
                seen[image] += 1
                place = places.setdefault((image, seen[image]), len(places))
                column = self._rows[number]
                column.extend([-1] * (place + 1 - len(column)))
                column[place] = row_number
                if first_text(row.values.get("prompt")):
                    captioned.add(place)
        self.captions = len(captioned)
        for column in self._rows:
            column.extend([-1] * (len(places) - len(column)))

    def __len__(self) -> int:
        return len(self._rows[0])

    def between(self, start: int, stop: int) -> Iterator[Sample]:
        streams = [_Ordered(entries) for entries in self._entries]
        for place in range(start, stop):
            pairs = zip(streams, self._rows, strict=True)
            found = [stream[rows[place]] for stream, rows in pairs if rows[place] >= 0]
            yield functools.reduce(_joined, found)


def _identity(records: _Records, values: Mapping[str, Any]) -> Any:
    """What the rows of one image have in common."""
    if isinstance(values.get("scene"), int) and "seed" in values:
        return ("scene", values["seed"], values["scene"], values.get("size"))
    return posixpath.normpath(posixpath.join(records.folder, str(values.get("target"))))


class _Ordered:
    """Samples by number, read in one go where the numbers follow each other, as they nearly always do."""

    def __init__(self, entries: Entries):
        self.entries = entries
        self._next = -1
        self._stream: Iterator[Sample] = iter(())

    def __getitem__(self, number: int) -> Sample:
        if number != self._next:
            self._stream = self.entries.between(number, len(self.entries))
        self._next = number + 1
        return next(self._stream)


def _joined(first: Sample, second: Sample) -> Sample:
    """One image with the maps of both; what else is said of it is that of the first."""
    return replace(
        first,
        caption=second.caption if first.caption is None else first.caption,
        maps={**second.maps, **first.maps},
        extra={key: value for key, value in first.extra.items() if second.extra.get(key, value) == value},
        problem=first.problem or second.problem,
    )
