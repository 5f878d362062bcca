"""The pairs of a dataset in any layout, which `cn train` and others read: by number, in little memory.

`prompt.json` (one kind, or a folder for each of several), WebDataset shards, imagefolder, parquet, kohya's folders:
whatever `cn.data.sources` recognizes. A sample with a condition map of the wanted kind is a pair, and so is one whose
map is of a kind that is not stated.
"""

import bisect
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

from cn import conditions, storage
from cn.data.blobs import File
from cn.data.pair_notes import NotesTally
from cn.data.pair_rows import PROBLEM, SAME_FILE, UNCAPTIONED, PartRows, Row
from cn.data.records import RECORDS, Pair, checked_records, records_file, refuse_if_most
from cn.data.sources.sample import UNSTATED, Sample
from cn.errors import InputError, UsageError
from cn.json_text import parse_json

CACHE = "cache"
"""The folder in a dataset that `cn dataset cache` writes."""
READ = "a dataset is a folder with prompt.json, WebDataset shards, an imagefolder, or parquet"
DESCRIPTION = "dataset.json"
"""What a dataset that `cn dataset build` wrote says of itself."""

_MAGIC = re.compile(r"[*?\[{]")
"""What makes a path a pattern."""


@dataclass(frozen=True)
class Pairs(Sequence[Pair]):
    """The pairs of a dataset; each is made when it is asked for. Picklable. They carry no `extra`."""

    parts: tuple[PartRows, ...]
    kind: str | None
    """The kind of the maps, where that is known."""
    chosen: "array[int] | None"
    """The numbers of the samples that are pairs; None: all."""
    broken: tuple[str, ...]
    """What is wrong with those that cannot be used, each with its place."""
    notes: tuple[str, ...]
    """What else a person should know."""
    root: str
    """The folder of the dataset."""
    starts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.chosen) if self.chosen is not None else self.starts[-1]

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return _pair(self.row(index), self.kind)

    def row(self, index: int) -> Row:
        """What is stored of a pair; its caption may be in a file that is not read yet."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        number = range(len(self))[index] if self.chosen is None else self.chosen[index]
        place = bisect.bisect_right(self.starts, number) - 1
        return self.parts[place][number - self.starts[place]]

    def usable(self) -> "array[int]":
        """The indices of the pairs without a known problem."""
        flags = _flags(self.parts, self.chosen)
        return array("Q", (index for index, flag in enumerate(flags) if not flag & PROBLEM))

    def repeats(self) -> "array[int]":
        """How often each pair is seen in an epoch, as the dataset says it: kohya's folders `10_name` do."""
        every = array("H", b"".join(part.repeats.tobytes() for part in self.parts))
        return every if self.chosen is None else array("H", (every[number] for number in self.chosen))


def open_pairs(path: storage.StrPath, kind: str | None = None, *, flag: str = "--cond") -> Pairs:
    """The pairs of a dataset, those whose images are missing with that problem; `kind`: of these maps.

    Raises InputError where there are none, or where more than half of them have a problem; UsageError where the dataset
    has maps of several kinds and `kind` does not say which, or has none of that kind: with which `flag` it is given.
    """
    wanted = conditions.get(kind).kind if kind is not None else None
    if storage.is_url(path):
        return _of_source(os.fspath(path), wanted, flag)
    folder = Path(path)
    if not (folder.exists() or _MAGIC.search(str(path))) or _holds_records(folder):
        return _of_records(folder, wanted, path)
    if kinds := _kind_folders(folder):
        chosen = _choice(kinds, wanted, path, flag)
        return _of_records(folder / chosen, chosen if chosen in conditions.KINDS else wanted, path, root=folder)
    return _of_source(os.fspath(path), wanted, flag)


def dataset_folder(path: storage.StrPath) -> str:
    """The folder of a dataset (`Pairs.root`), without reading it. InputError where there is none."""
    if storage.is_url(path) or not os.path.isdir(path):
        if not (storage.is_url(path) or os.path.exists(path) or _MAGIC.search(os.fspath(path))):
            raise InputError("no such file or folder", path=path)
        return _parent(os.fspath(path))
    return str(_set_folder(Path(path)))


def _parent(path: str) -> str:
    """The folder of a file, or the one that a pattern begins with."""
    return os.path.dirname(path if os.path.lexists(path) else _MAGIC.split(path)[0])


def _set_folder(folder: Path) -> Path:
    """The folder of a whole dataset, given that of one of its kinds."""
    above = _description(folder.parent).get("kinds")
    name = folder.resolve().name
    return folder.parent if isinstance(above, list) and name in above and (folder / RECORDS).is_file() else folder


def _holds_records(path: Path) -> bool:
    """Whether a dataset is in the format of `prompt.json`, rather than a list in a file of another format."""
    if path.is_dir():
        return (path / RECORDS).is_file()
    if path.name == RECORDS or path.suffix.lower() not in (".json", ".jsonl", ".ndjson", ""):
        return path.name == RECORDS
    with storage.open_read(path) as file:
        head = file.read(1 << 16).lstrip(b"\xef\xbb\xbf \t\r\n")
    return b'"source"' in head and b'"target"' in head


def _kind_folders(folder: Path) -> list[str]:
    """The kinds of a dataset with a `prompt.json` for each: OUT/KIND/prompt.json."""
    try:
        return sorted(path.parent.name for path in folder.glob(f"*/{RECORDS}"))
    except OSError:
        return []


def _choice(kinds: Sequence[str], wanted: str | None, path: storage.StrPath, flag: str) -> str:
    """The kind to take. UsageError, listing what there is, where it is not clear or not there."""
    names = ", ".join(kinds)
    if wanted is not None and wanted not in kinds:
        give = " or ".join(f"{flag} {kind}" for kind in kinds)
        raise UsageError(f"{path} holds {names} maps, not {wanted}; give {give}")
    if wanted is None and len(kinds) > 1:
        raise UsageError(f"{path} holds maps of several kinds; choose one with {flag}: {names}")
    return wanted or kinds[0]


def _of_records(path: Path, kind: str | None, named: storage.StrPath, root: Path | None = None) -> Pairs:
    """Of one `prompt.json`; `kind` is known where the folder has its name, and `root` is the one above then."""
    file = records_file(path)
    rows, tally = PartRows(str(file.parent)), NotesTally()
    for pair in checked_records(path):
        tally.add(pair)
        broken = pair.problem is not None
        image = None if broken else File(str(pair.target))
        maps = {} if broken else {UNSTATED: File(str(pair.source))}
        rows.add(Sample(pair.where, image, pair.prompt, maps=maps, problem=pair.problem))
    if not len(rows):
        raise InputError("no pairs in it", path=file)
    known = kind if root is not None else _described(file.parent)
    return _assembled([rows], known, None, named, root or _set_folder(file.parent), tally.messages())


def _of_source(path: str, wanted: str | None, flag: str) -> Pairs:
    # Not for prompt.json, which most datasets have.
    from cn.data.pair_index import rows_of
    from cn.data.sources.open import open_source
    from cn.data.table_images import slow_to_read

    try:
        source = open_source(path, results=[storage.join(path, CACHE)])
    except InputError as error:
        if error.path != path:
            raise
        raise InputError(f"{error.what}; {READ}", path=path) from error
    home = path.rstrip("/") if storage.is_folder(path) else _parent(path)
    parts = [rows_of(part, home) for part in source.parts]
    found = {kind for part in parts for kinds in part.kinds for kind in kinds}
    if not found:
        bad = [problem for part in parts for problem in _problems(part, range(len(part)))]
        refuse_if_most(bad, sum(map(len, parts)), path)
        raise InputError(
            f"{source.about}: no image has a condition map; make a dataset of them with: "
            f"cn dataset build {path} OUT --cond {wanted or 'KIND'}",
            path=path,
        )
    stated = sorted(found - {UNSTATED})
    if UNSTATED not in found:
        kind: str | None = _choice(stated, wanted, path, flag)
    else:
        kind = wanted if wanted in stated else _described(Path(home))
    chosen = _fitting(parts, kind)
    total, count = sum(map(len, parts)), sum(map(len, parts)) if chosen is None else len(chosen)
    what = f"{kind} map" if kind else "condition map"
    notes = [f"{path}: {total - count:,} of {total:,} images have no {what}: left out"] if count < total else []
    notes += [note for part in parts if part.part is not None and (note := slow_to_read(part.part.path))]
    return _assembled(parts, kind, chosen, path, home, [*source.warnings, *notes, *_notes(parts, chosen, path)])


def _fitting(parts: Sequence[PartRows], kind: str | None) -> "array[int] | None":
    """The numbers of the samples with a map of this kind or of an unstated one, and of broken ones; None: of all."""
    chosen, start = array("Q"), 0
    for part in parts:
        fits = [UNSTATED in kinds or kind in kinds for kinds in part.kinds]
        for number, (group, flags) in enumerate(zip(part.groups, part.flags, strict=True)):
            if fits[group] or flags & PROBLEM:
                chosen.append(start + number)
        start += len(part)
    return chosen if len(chosen) < start else None


def _notes(parts: Sequence[PartRows], chosen: "array[int] | None", path: str) -> list[str]:
    """What a person should know of the samples that are pairs."""
    tally = NotesTally(first_same=path)
    for flags in _flags(parts, chosen):
        if not flags & PROBLEM:
            tally.usable += 1
            tally.bare += bool(flags & UNCAPTIONED)
            tally.same += bool(flags & SAME_FILE)
    return tally.messages()


def _flags(parts: Sequence[PartRows], chosen: "array[int] | None") -> Iterable[int]:
    """The flags of all samples that are pairs."""
    every = b"".join(part.flags for part in parts)
    return every if chosen is None else (every[number] for number in chosen)


def _assembled(
    parts: Sequence[PartRows],
    kind: str | None,
    chosen: "array[int] | None",
    path: storage.StrPath,
    root: Path | str,
    notes: Iterable[str],
) -> Pairs:
    # A broken sample has no map that would say whether it is wanted: it is a pair of every kind.
    broken = tuple(problem for part in parts for problem in _problems(part, range(len(part))))
    starts = (0, *accumulate(map(len, parts)))
    pairs = Pairs(tuple(parts), kind, chosen, broken, tuple(notes), str(root), starts)
    if not len(pairs):
        raise InputError("no pairs in it", path=path)
    refuse_if_most(broken, len(pairs), path)
    return pairs


def _problems(part: PartRows, numbers: Iterable[int]) -> Iterator[str]:
    for number in numbers:
        if part.flags[number] & PROBLEM:
            row = part[number]
            yield f"{row.where}: {row.problem}"


def _pair(row: Row, kind: str | None) -> Pair:
    """The pair of a sample: its map of this kind, or the one of an unstated kind."""
    source = row.maps.get(kind or UNSTATED) or row.maps.get(UNSTATED)
    problem, caption = row.problem, row.caption
    if row.caption_file is not None:
        try:
            caption = Sample(row.where, None, caption_file=row.caption_file).read_caption()
        except InputError as error:
            problem = problem or str(error)
    if problem is not None or source is None or row.image is None:
        return Pair(Path(), Path(), "", row.where, problem=problem or "has no condition map")
    return Pair(source, row.image, caption or "", row.where, captioned=bool(caption and caption.strip()))


def _described(folder: Path) -> str | None:
    """The kind of the maps of a dataset, where its `dataset.json` states exactly one."""
    kinds = _description(folder).get("kinds")
    return kinds[0] if isinstance(kinds, list) and len(kinds) == 1 and kinds[0] in conditions.KINDS else None


def _description(folder: Path) -> dict[str, Any]:
    """What a dataset says of itself; {} where it says nothing."""
    try:
        record = parse_json((folder / DESCRIPTION).read_bytes())
    except (OSError, InputError):
        return {}
    return record if isinstance(record, dict) else {}
