"""What a dataset lists: its images, each with its maps, and what is wrong with the lines themselves."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cn import conditions
from cn.conditions import KINDS
from cn.data.blobs import Blob
from cn.data.lint.captions import CaptionTally, TokenCounter, caption_faults
from cn.data.lint.finding import Finding
from cn.data.lint.names import NameIndex
from cn.data.map_warnings import map_info
from cn.data.records import RECORDS, Pair, iterate_records, records_file
from cn.errors import InputError

Image = Path | Blob
_PROBED = 20
"""Maps that are looked at to find the kind of a dataset that does not say it."""


@dataclass(frozen=True)
class View:
    """A map of an image: one line of the dataset."""

    source: Image
    where: str
    kind: str | None
    subset: str
    """The folder or file of its kind."""


@dataclass
class Item:
    """An image with all its maps."""

    target: Image
    views: list[View] = field(default_factory=list)


@dataclass(frozen=True)
class Subset:
    """The pairs of one kind: a file or folder that `iterate_records` reads."""

    path: Path
    kind: str | None


@dataclass
class Contents:
    """The images of a dataset, in order, and what was found while its lines were read."""

    root: Path
    subsets: tuple[Subset, ...]
    items: list[Item] = field(default_factory=list)
    pairs: int = 0
    findings: list[Finding] = field(default_factory=list)
    captions: CaptionTally = field(default_factory=CaptionTally)
    resolution: int | None = None
    """What `dataset.json` states."""


def find_subsets(path: Path, kind: str | None) -> tuple[Path, tuple[Subset, ...]]:
    """The root of a dataset, and its kinds: one, or those in its folders.

    `kind` is the one of maps that do not say it; of several kinds, the only one that is wanted. Raises InputError
    where there is no dataset, or none of that kind.
    """
    if path.is_dir() and not (path / RECORDS).is_file():
        folders = sorted(folder for folder in path.iterdir() if (folder / RECORDS).is_file())
        subsets = tuple(Subset(folder, _kind_of(folder, None)) for folder in folders)
        if subsets:
            wanted = tuple(subset for subset in subsets if kind in (None, subset.kind))
            if not wanted:
                raise InputError(f"holds no maps of {kind}", path=path)
            return path, wanted
    file = records_file(path)
    return file.parent, (Subset(file, _kind_of(file.parent, kind)),)


def _kind_of(folder: Path, given: str | None) -> str | None:
    """The kind that was given, that the first maps state, that lines state, or that the folder is named after."""
    if given is not None:
        return given
    pairs = []
    for pair in iterate_records(folder / RECORDS):
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
    return folder.name if folder.name in KINDS else None


def read_contents(path: Path, kind: str | None = None, count_tokens: TokenCounter | None = None) -> Contents:
    """Read the lines of a dataset. Raises InputError where there is none, or no pair in it."""
    root, subsets = find_subsets(path, conditions.get(kind).kind if kind is not None else None)
    contents = Contents(root, subsets, resolution=_resolution(root))
    reader = _Reader(contents, count_tokens)
    for subset in subsets:
        for pair in iterate_records(subset.path):
            reader.add(pair, subset)
    if not contents.pairs:
        raise InputError("no pairs in it", path=path)
    contents.findings = list(reader.findings())
    return contents


def _resolution(root: Path) -> int | None:
    """Of `dataset.json`, where there is a right one: it is not what lint checks."""
    try:
        value = json.loads((root / "dataset.json").read_text(encoding="utf-8")).get("resolution")
    except (OSError, ValueError, AttributeError):
        return None
    return value if isinstance(value, int) and value > 0 else None


class _Reader:
    """Sorts lines by their images."""

    def __init__(self, contents: Contents, count_tokens: TokenCounter | None):
        self._contents, self._count_tokens = contents, count_tokens
        self._by_target: dict[str, int] = {}
        self._sources, self._captioned = set[int](), set[int]()
        self._names = NameIndex()
        self._found: dict[object, Finding] = {}

    def findings(self) -> Iterator[Finding]:
        """What is wrong with the lines, in order; a missing caption of all of them is one fault."""
        found = list(self._found.values())
        empty = [finding for finding in found if finding.rule == "empty-caption"]
        if len(empty) == len(self._contents.items) > 1:
            found = [finding for finding in found if finding.rule != "empty-caption"]
            text = f"none of its {len(empty)} images has a caption; write them, or let cn dataset caption do it"
            found.append(Finding("empty-caption", str(self._contents.root), text))
        return iter(found)

    def add(self, pair: Pair, subset: Subset) -> None:
        """Add a line: a view of a new image, or of one that is known."""
        self._contents.pairs += 1
        if pair.problem is not None:
            text = f"{pair.problem}; repair the line, or leave it out"
            self._found[pair.where] = Finding("broken-line", pair.where, text)
            return
        target, source = existing(pair.target), existing(pair.source)
        name = os.path.normpath(str(target))
        number = self._by_target.setdefault(name, len(self._contents.items))
        is_new = number == len(self._contents.items)
        if is_new:
            self._contents.items.append(Item(target))
            self._clash(name, pair.where)
        self._clash(os.path.normpath(str(source)), pair.where)
        item = self._contents.items[number]
        group = str(subset.path)
        first = next((view for view in item.views if (view.source, view.subset) == (source, group)), None)
        if first is not None:
            text = f"is the same pair as {first.where}; keep one of them"
            self._found[pair.where] = Finding("duplicate", pair.where, text, str(target), subset.kind)
            return
        self._count_caption(pair, name, subset)
        item.views.append(View(source, pair.where, subset.kind, group))
        for rule, text in caption_faults(pair.prompt, self._count_tokens):
            # An image of several kinds has its caption in several lines: one fault.
            known = self._found.get((number, rule))
            if known is None:
                self._found[number, rule] = Finding(rule, pair.where, text, str(target))
            else:
                self._found[number, rule] = Finding(
                    rule, known.where, known.text, known.path, also=(*known.also, pair.where)
                )

    def _count_caption(self, pair: Pair, name: str, subset: Subset) -> None:
        """Once for each image: the kinds of a dataset may share the images, or have copies of the same name."""
        key = hash(os.path.relpath(name, subset.path if subset.path.is_dir() else subset.path.parent))
        if key not in self._captioned:
            self._captioned.add(key)
            self._contents.captions.add(pair.prompt, pair.where)

    def _clash(self, name: str, where: str) -> None:
        key = hash(name)
        if key in self._sources:
            return
        self._sources.add(key)
        if (other := self._names.clash(name)) is not None:
            text = f"differs from {other} in case or Unicode form only, so that Windows and macOS have one file of both"
            self._found["clash", name] = Finding("case-clash", where, f"{text}; rename one of them", name)


def existing(image: Image) -> Image:
    """The path of an image, with Windows' separators replaced if that is what it takes, as in training."""
    if isinstance(image, Path) and "\\" in str(image) and not image.exists():
        other = Path(str(image).replace("\\", "/"))
        return other if other.exists() else image
    return image
