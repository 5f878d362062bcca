"""A contact sheet of a dataset: maps and image of a sample side by side, with name, size, status and caption."""

import posixpath
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.data.formats.entry import entry
from cn.data.formats.opened import Opened
from cn.data.sources.sample import UNSTATED, Sample
from cn.data.statuses import read_statuses
from cn.errors import InputError

_SIDE = 256
_GAP = 4
_ASPECT_TOLERANCE = 0.02
OK, BROKEN, EMPTY, OTHER_FRAME = "ok", "broken", "empty", "other frame"
"""The statuses of a dataset that was not built by `cn dataset build`, whose own ones are in `build/status`."""


@dataclass(frozen=True)
class Sheet:
    """The sheet (h, w, 3) uint8, how many of how many samples it shows, and what is wrong with them, a line each."""

    image: NDArray[np.uint8]
    shown: int
    samples: int
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """Which samples are shown: those of a kind and of a status, evenly spread or by a seed."""

    count: int
    kind: str | None = None
    status: str | None = None
    seed: int | None = None
    """None: evenly spread."""
    unstated: bool = False
    """Whether maps that do not state their kind are of it, too."""


@dataclass(frozen=True)
class _Cell:
    """A sample as it is shown."""

    maps: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    image: NDArray[np.uint8] | None = None
    name: str = ""
    caption: str = ""
    status: str = OK
    problem: str | None = None


def contact_sheet(opened: Opened, choice: Choice, *, columns: int | None = None) -> Sheet:
    """Show some samples of a dataset.

    One whose images cannot be read is an empty cell, and listed in `failures`, as are pairs of other frames. Raises
    InputError for an unreadable dataset, where no sample is of the kind or the status, and where none can be shown.
    """
    if choice.kind == opened.kind:
        # All its maps are of this kind.
        choice = replace(choice, kind=None)
    # As in training and lint: maps may be of any kind where nothing says which.
    choice = replace(choice, unstated=opened.kind == UNSTATED)
    stated = {_stem(status.get("target") or status.get("name", "")): status for status in read_statuses(opened.root)}
    numbers, total = _matching(opened, choice, stated)
    left_out = [] if choice.status is None else _left_out(choice.status, stated)
    found = len(numbers) + len(left_out)
    if not found:
        what = [f"of the kind {choice.kind}"] * (choice.kind is not None)
        what += [f'with the status "{choice.status}"'] * (choice.status is not None)
        raise InputError(f"no samples {' '.join(what)} in it".replace("  ", " "), path=opened.place)
    places = _places(found, choice)
    wanted = {numbers[place] for place in places if place < len(numbers)}
    cells = [_cell(s, opened.root, choice, stated) for number, s in enumerate(opened.samples()) if number in wanted]
    cells += [left_out[place - len(numbers)] for place in places if place >= len(numbers)]
    failures = tuple(cell.problem for cell in cells if cell.problem is not None and cell not in left_out)
    shown = sum(cell.image is not None for cell in cells)
    if not shown and choice.status is None:
        raise InputError(f"no pair can be shown; the first: {failures[0]}", path=opened.place)
    kinds = sorted({kind for cell in cells for kind in cell.maps}) or [UNSTATED]
    sheet = images.grid(
        [_side_by_side(cell, kinds) for cell in cells],
        [_label(cell) for cell in cells],
        columns=columns or min(3, max(1, 8 // (len(kinds) + 1)), len(cells)),
        cell=len(kinds) * (_SIDE + _GAP) + _SIDE,
        title=", ".join((*(kind or "map" for kind in kinds), "image")) if len(kinds) > 1 else None,
    )
    return Sheet(sheet, shown, total, failures)


def _matching(opened: Opened, choice: Choice, stated: Mapping[str, Mapping[str, Any]]) -> tuple[list[int], int]:
    """The numbers of the samples that are of the kind and the status, and the number of all samples."""
    numbers, total = [], 0
    for number, sample in enumerate(opened.samples()):
        total += 1
        if choice.kind is not None and sample.problem is None and _maps(sample, choice) is None:
            continue
        if choice.status is None or choice.status in _statuses(sample, opened.root, choice, stated):
            numbers.append(number)
    if not total:
        raise InputError("no samples in it", path=opened.place)
    return numbers, total


def _maps(sample: Sample, choice: Choice) -> Sample | None:
    """The sample with the maps of one kind only, or those that may be of it; None if it has none."""
    if choice.kind is None:
        return sample
    names = (choice.kind, UNSTATED) if choice.unstated else (choice.kind,)
    chosen = {name: blob for name, blob in sample.maps.items() if name in names}
    return replace(sample, maps=chosen) if chosen else None


def _statuses(sample: Sample, root: str, choice: Choice, stated: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The statuses of a sample: those of the build, of the image and of its maps; else what its files show."""
    status = stated.get(_stem(sample.name))
    if status is None:
        return (_cell(sample, root, choice, stated).status,)
    kinds = status.get("kinds", {})
    of_maps = [result.get("status") for kind, result in kinds.items() if choice.kind in (None, kind)]
    return tuple(map(str, (status.get("status"), *of_maps)))


def _left_out(wanted: str, stated: Mapping[str, Mapping[str, Any]]) -> list[_Cell]:
    """Images that a build did not take, as cells without image: those of the status, in order."""
    return [
        _Cell(name=str(status.get("name", "")), status=wanted, problem=str(status.get("reason") or wanted))
        for status in stated.values()
        if status.get("status") == wanted and "target" not in status
    ]


def _places(found: int, choice: Choice) -> list[int]:
    """The places of those that are shown, in order."""
    count = min(choice.count, found)
    if choice.seed is not None:
        return sorted(random.Random(choice.seed).sample(range(found), count))
    return [i * found // count for i in range(count)]


def _cell(sample: Sample, root: str, choice: Choice, stated: Mapping[str, Mapping[str, Any]]) -> _Cell:
    """A sample with its images read, and what is wrong with it."""
    name = sample.name.removeprefix("target/")
    cell = _Cell(name=name, caption=sample.caption or "")
    where = sample.where or sample.name
    try:
        found = entry(_maps(sample, choice) or sample, root)
        image = images.read(found.image)
        maps = {kind: images.read_map(blob, kind or None) for kind, blob in found.maps.items()}
    except InputError as error:
        place = error.what if error.path == where else str(error)
        return replace(cell, status=BROKEN, problem=f"{where}: {place}")
    status = stated.get(_stem(sample.name))
    known = None if status is None else _most_telling(status, choice.kind)
    cell = replace(cell, maps=maps, image=image, caption=found.caption or "", status=known or OK)
    for kind, map in maps.items():
        (mh, mw), (h, w) = map.shape[:2], image.shape[:2]
        if abs(mw * h / (mh * w) - 1) > _ASPECT_TOLERANCE:
            what = f"{kind or 'source'} is {mw}×{mh} and target {w}×{h}: not the same frame"
            return replace(cell, status=OTHER_FRAME, problem=f"{where}: {what}")
    if known is None and any((map == map[:1, :1]).all() for map in maps.values()):
        cell = replace(cell, status=EMPTY)
    return cell


def _most_telling(status: Mapping[str, Any], kind: str | None) -> str:
    """The status of an image, or that of one of its maps where this says more."""
    kinds = status.get("kinds", {})
    of_maps = [str(result.get("status")) for name, result in kinds.items() if kind in (None, name)]
    return next((each for each in (str(status.get("status")), *of_maps) if each != OK), OK)


def _stem(name: str) -> str:
    """A name without suffix, by which a sample and its status are matched."""
    return posixpath.splitext(name)[0]


def _label(cell: _Cell) -> str:
    """Name, size and status in one line, then the caption, or what is wrong."""
    # With the letter x: the font of the sheets lacks the sign.
    size = "" if cell.image is None else f"{cell.image.shape[1]}x{cell.image.shape[0]}"
    status = "" if cell.status == OK else cell.status.upper()
    first = "  ".join(filter(None, (cell.name, size, status)))
    return f"{first}\n{cell.problem if cell.image is None else cell.caption}"


def _side_by_side(cell: _Cell, kinds: list[str]) -> NDArray[np.uint8] | None:
    """The maps and the image (256, n · 260 + 256, 3), each fitted into a white square, with white gaps between them."""
    if cell.image is None:
        return None
    row = np.full((_SIDE, len(kinds) * (_SIDE + _GAP) + _SIDE, 3), 255, np.uint8)
    parts = [cell.maps.get(kind) for kind in kinds] + [cell.image]
    for place, image in enumerate(parts):
        if image is None:
            continue
        scale = _SIDE / max(image.shape[:2])
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        top, start = (_SIDE - height) // 2, place * (_SIDE + _GAP) + (_SIDE - width) // 2
        row[top : top + height, start : start + width] = images.resize(image, (height, width))
    return row
