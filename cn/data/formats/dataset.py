"""A dataset with all its kinds: one sample for each image, however many condition maps it has."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cn import conditions, errors, storage
from cn.data.blobs import File
from cn.data.records import RECORDS, Pair, checked_records, records_file
from cn.data.sources.sample import UNSTATED, Sample
from cn.errors import InputError, UsageError
from cn.json_text import parse_json

DESCRIPTION = "dataset.json"
"""What a dataset is, as `cn dataset build` writes it; it goes along into other layouts, subsets and splits."""
OWN_EXTRA = "cn.extra"
"""In `Sample.extra`: what only one kind's line says, by kind."""


@dataclass(frozen=True)
class Dataset:
    """A dataset whose samples can be read again and again, in a fixed order."""

    root: str
    """Its folder; names of samples and of maps are relative to it."""
    kinds: tuple[str, ...]
    """The kinds of its maps where they are in folders of their own; empty where there is one kind, `UNSTATED`."""
    samples: Callable[[], Iterator[Sample]]
    """All samples, those with problems too."""
    description: Mapping[str, Any] | None = None
    """Its `dataset.json`."""


def is_dataset(path: str | os.PathLike[str]) -> bool:
    """Whether this is a dataset with `prompt.json`: a folder with it, that file, or a folder with one for each kind."""
    if storage.is_url(path):
        return False
    place = Path(path)
    return place.name == RECORDS or (place / RECORDS).is_file() or bool(_folders(place))


def open_dataset(path: str | os.PathLike[str]) -> Dataset:
    """A dataset: its folder or its `prompt.json`, of one kind or of several (`KIND/prompt.json`).

    Raises InputError for what is no dataset, or has no lines.
    """
    place = Path(path)
    root = place if place.is_dir() else place.parent
    kinds: tuple[str, ...] = ()
    if place.is_file() or (root / RECORDS).is_file():
        # One list is read again each time, so that no more than a line of it is in memory.
        samples: Callable[[], Iterator[Sample]] = partial(_listed, root, place)
    elif folders := _folders(root):
        kinds, samples = tuple(folders), _joined(root, folders).__iter__
    else:
        records_file(place)  # says what is missing
        raise AssertionError
    if next(samples(), None) is None:
        raise InputError("no pairs in it", path=path)
    return Dataset(str(root), kinds, samples, description(str(root)))


def _folders(root: Path) -> dict[str, Path]:
    """The folders with a `prompt.json` that are called like a kind of condition, by kind."""
    folders = sorted(place.parent for place in root.glob(f"*/{RECORDS}"))
    return {kind: folder for folder in folders if (kind := kind_named(folder.name)) is not None}


def kind_named(name: str) -> str | None:
    """The kind of this name or alias, None if there is none."""
    try:
        return conditions.get(name).kind
    except UsageError:
        return None


def description(root: str) -> Mapping[str, Any] | None:
    """The `dataset.json` of a folder, None if there is none. Raises InputError for one that is no JSON object."""
    file = storage.join(root, DESCRIPTION)
    if not storage.exists(file):
        return None
    with errors.about(file):
        value = parse_json(storage.read_bytes(file))
        if not isinstance(value, dict):
            raise InputError("is not a JSON object")
    return value


@dataclass
class _Joining:
    """A sample whose kinds are being found."""

    first: Pair
    maps: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    problem: str | None = None


def _listed(root: Path, place: Path) -> Iterator[Sample]:
    """The samples of one list of pairs."""
    for pair in checked_records(place):
        yield _sample(root, _Joining(pair, {UNSTATED: str(pair.source)}, {UNSTATED: pair.extra}, pair.problem))


def _joined(root: Path, places: Mapping[str, Path]) -> list[Sample]:
    """The samples of one or several lists of pairs: lines of the same image and caption are one sample.

    Where a list repeats them, the first of one list belongs to the first of another, and so on.
    """
    found: dict[tuple[Any, ...], _Joining] = {}
    for kind, place in places.items():
        seen: Counter[tuple[Any, ...]] = Counter()
        for pair in checked_records(place):
            key = _identity(pair)
            joining = found.setdefault((*key, seen[key]), _Joining(pair))
            seen[key] += 1
            joining.maps[kind] = str(pair.source)
            joining.extra[kind] = pair.extra
            joining.problem = joining.problem or pair.problem
    return [_sample(root, joining) for joining in found.values()]


def _identity(pair: Pair) -> tuple[Any, ...]:
    """What the lines of one sample have in common. Of the built-in scenes, each kind has its own copy of the image."""
    if pair.target == Path():
        return (pair.where,)
    scene = pair.extra.get("scene"), pair.extra.get("seed"), pair.extra.get("size")
    image = scene if isinstance(scene[0], int) and isinstance(scene[1], int) else os.path.normpath(str(pair.target))
    return image, pair.prompt, pair.stated


def _sample(root: Path, joining: _Joining) -> Sample:
    pair = joining.first
    if pair.target == Path():
        return Sample(pair.where, None, where=pair.where, problem=joining.problem)
    name = relative(os.path.normpath(str(pair.target)), str(root))
    folder, _, rest = name.partition("/")
    if UNSTATED not in joining.maps and rest.startswith("target/") and kind_named(folder) is not None:
        name = rest
    maps = {kind: File(path) for kind, path in joining.maps.items()}
    caption = pair.prompt if pair.stated else None
    extra = _extra(joining.extra)
    return Sample(name, File(str(pair.target)), caption, None, maps, extra, pair.where, joining.problem)


def _extra(by_kind: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The further keys of a sample: those that all its lines have in common, and `OWN_EXTRA` for the rest."""
    first, *others = by_kind.values()
    common = {key: value for key, value in first.items() if all(same(o.get(key, ...), value) for o in others)}
    own = {kind: {k: v for k, v in extra.items() if k not in common} for kind, extra in by_kind.items()}
    own = {kind: values for kind, values in own.items() if values}
    return {**common, OWN_EXTRA: own} if own else common


def same(a: Any, b: Any) -> bool:
    """Whether two JSON values are written alike: 1, 1.0 and true are not."""
    return type(a) is type(b) and (a == b or a != a) and repr(a) == repr(b)


def relative(path: str, root: str) -> str:
    """A path below `root` relative to it, with "/"; any other path without what leads elsewhere ("/", "..")."""
    if storage.is_url(path):
        below = path.removeprefix(f"{root.rstrip('/')}/")
    else:
        below = os.path.relpath(path, root) if root else path
    if below.startswith(f"..{os.sep}") or storage.is_url(below):
        below = path.partition("://")[2] or path
    return "/".join(part for part in below.replace(os.sep, "/").split("/") if part not in ("", ".", ".."))
