"""What a dataset holds, in any layout: its images, each with its maps and the lines that name them."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cn import conditions, storage
from cn.conditions import KINDS
from cn.data.blobs import Blob
from cn.data.lint.captions import TokenCounter
from cn.data.lint.finding import Finding
from cn.data.lint.line_checks import LineChecks
from cn.data.map_warnings import map_info
from cn.data.records import RECORDS, Pair, iterate_records, records_file
from cn.data.sources.open import open_source
from cn.data.sources.sample import Part, Sample, Source
from cn.errors import InputError

Image = Path | Blob
OWN_FOLDER = "lint"
"""What `--fix` writes into a dataset."""
_PROBED = 20
"""Maps that are looked at to find the kind of a dataset that does not say it."""


@dataclass(frozen=True)
class View:
    """A map of an image: one line of the dataset."""

    source: Image
    where: str
    kind: str | None
    subset: str
    """The folder or file of its kind, or the kind itself."""


@dataclass
class Item:
    """An image with all its maps."""

    target: Image
    lines: list[str] = field(default_factory=list)
    """Where it is named."""
    views: list[View] = field(default_factory=list)

    @property
    def groups(self) -> list[str]:
        """The subsets that it belongs to."""
        return list(dict.fromkeys(view.subset for view in self.views)) or [""]


@dataclass(frozen=True)
class Subset:
    """The `prompt.json` of one kind."""

    file: Path
    kind: str | None


@dataclass
class Contents:
    """A dataset. `stream` gives its images; `pairs` and the findings of `checks` are complete after that."""

    root: str
    checks: LineChecks
    subsets: tuple[Subset, ...] = ()
    """Its files in the format of `prompt.json`; none in another layout."""
    source: Source | None = None
    """What it is in another layout."""
    kind: str | None = None
    items: list[Item] = field(default_factory=list)
    pairs: int = 0
    without_map: list[str] = field(default_factory=list)
    """The lines of images without any map."""

    @property
    def count(self) -> int | None:
        """The number of images, if it is known."""
        return len(self.items) if self.source is None else self.source.count

    @property
    def groups(self) -> frozenset[str]:
        """The names of the whole and of its subsets: a finding about one of them is about no line."""
        return frozenset({self.root, *(str(subset.file) for subset in self.subsets)})

    def stream(self) -> Iterator[Item]:
        """All images in order. What is in tables or compressed is in memory only while it is used."""
        if self.source is None:
            yield from self.items
            return
        number = 0
        for part in self.source.parts:
            for sample in self._samples(part):
                if (item := self._item(sample, number)) is not None:
                    number += 1
                    yield item
        if not self.pairs and not number:
            raise InputError("no pairs in it", path=self.root)

    def _samples(self, part: Part) -> Iterator[Sample]:
        try:
            yield from part.samples()
        except InputError as error:
            text = f"{error.what}; what is behind that place is not read"
            self.checks.add(Finding("broken", error.path or part.name, text, error.path or part.name))

    def _item(self, sample: Sample, number: int) -> Item | None:
        where = _place(sample, self.root)
        problem, caption = sample.problem, ""
        if problem is None:
            try:
                caption = sample.caption if sample.caption is not None else sample.read_caption() or ""
            except InputError as error:
                problem = str(error)
        if problem is not None or sample.image is None:
            self.pairs += 1
            self.checks.add(Finding("broken-line", where, f"{problem}; repair it, or leave it out"))
            return None
        item = Item(sample.image, [where])
        self.checks.caption(caption, where, str(sample.image), number=number, name=sample.name)
        self.checks.name(str(sample.image), where)
        for kind, map in sample.maps.items():
            if self.kind in (None, kind or self.kind):
                item.views.append(View(map, where, kind or self.kind, kind))
                self.checks.name(str(map), where)
        if not item.views:
            self.without_map.append(where)
        self.pairs += max(1, len(item.views))
        return item


def _place(sample: Sample, root: str) -> str:
    """The line of a list that names a sample, or the sample's own name where there is no list."""
    if sample.image is None:
        return sample.where or f"{root}: {sample.name}"
    name = str(sample.image)
    return name if name.startswith(sample.where) else sample.where


def read_contents(
    path: str | os.PathLike[str], kind: str | None = None, count_tokens: TokenCounter | None = None
) -> Contents:
    """Open a dataset, and read the lines of `prompt.json`; `kind` is the one of maps that do not state it.

    Of a dataset of several kinds, it is the only one that is read. Raises InputError where there is none.
    """
    wanted = conditions.get(kind).kind if kind is not None else None
    checks = LineChecks(count_tokens)
    if not storage.is_url(path) and (subsets := find_subsets(Path(path), wanted)):
        root = Path(path) if Path(path).is_dir() else Path(path).parent
        contents = Contents(str(root), checks, subsets, kind=wanted)
        reader = _Lines(contents)
        for subset in subsets:
            for pair in iterate_records(subset.file):
                reader.add(pair, subset)
        if not contents.pairs:
            raise InputError("no pairs in it", path=path)
        return contents
    name = os.fspath(path)
    source = open_source(name, results=[storage.join(name, OWN_FOLDER)])
    return Contents(name, checks, source=source, kind=wanted)


def find_subsets(path: Path, kind: str | None) -> tuple[Subset, ...]:
    """The files of a dataset in the format of `prompt.json`: one, or those in its folders; () in another layout.

    `kind` as for `read_contents`. Raises InputError where there is no such file or folder, or none of that kind.
    """
    if path.is_dir() and not (path / RECORDS).is_file():
        files = sorted(folder / RECORDS for folder in path.iterdir() if (folder / RECORDS).is_file())
        found = tuple(Subset(file, _kind_of(file, None)) for file in files)
        wanted = tuple(subset for subset in found if kind in (None, subset.kind))
        if found and not wanted:
            raise InputError(f"holds no maps of {kind}", path=path)
        return wanted
    if path.is_file() and path.suffix.lower() not in (".json", ".jsonl"):
        return ()
    file = records_file(path)
    return (Subset(file, _kind_of(file, kind)),)


def _kind_of(file: Path, given: str | None) -> str | None:
    """The kind that was given, that the first maps state, that lines state, or that the folder is named after."""
    if given is not None:
        return given
    pairs = []
    for pair in iterate_records(file):
        pairs.append(pair)
        if len(pairs) >= _PROBED:
            break
    for pair in pairs:
        info = map_info(pair.source) if pair.problem is None and isinstance(pair.source, Path) else None
        if info is not None:
            return info.kind
    stated = next((pair.extra["kind"] for pair in pairs if pair.extra.get("kind") in KINDS), None)
    if stated is not None:
        return str(stated)
    return file.parent.name if file.parent.name in KINDS else None


def stated_resolution(root: str) -> int | None:
    """Of `dataset.json`, where there is a right one: it is not what lint checks."""
    try:
        value = json.loads(storage.read_bytes(storage.join(root, "dataset.json"))).get("resolution")
    except (InputError, ValueError, AttributeError):
        return None
    return value if isinstance(value, int) and value > 0 else None


class _Lines:
    """Sorts the lines of `prompt.json` by their images."""

    def __init__(self, contents: Contents):
        self._contents, self._checks = contents, contents.checks
        self._by_target: dict[str, int] = {}

    def add(self, pair: Pair, subset: Subset) -> None:
        """Add a line: a view of a new image, or of one that is known."""
        self._contents.pairs += 1
        if pair.problem is not None:
            text = f"{pair.problem}; repair the line, or leave it out"
            self._checks.add(Finding("broken-line", pair.where, text))
            return
        target, source, group = existing(pair.target), existing(pair.source), str(subset.file)
        name = os.path.normpath(str(target))
        items = self._contents.items
        number = self._by_target.setdefault(name, len(items))
        if number == len(items):
            items.append(Item(target))
        self._checks.name(name, pair.where)
        self._checks.name(str(source), pair.where)
        item = items[number]
        first = next((view for view in item.views if (view.source, view.subset) == (source, group)), None)
        if first is not None:
            text = f"is the same pair as {first.where}; keep one of them"
            self._checks.add(Finding("duplicate", pair.where, text, str(target), subset.kind))
            return
        item.lines.append(pair.where)
        item.views.append(View(source, pair.where, subset.kind, group))
        below = os.path.relpath(name, subset.file.parent)
        self._checks.caption(pair.prompt, pair.where, str(target), number=number, name=below)


def existing(image: Image) -> Image:
    """The path of an image, with Windows' separators replaced if that is what it takes, as in training."""
    if isinstance(image, Path) and "\\" in str(image) and not image.exists():
        other = Path(str(image).replace("\\", "/"))
        return other if other.exists() else image
    return image
