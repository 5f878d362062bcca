"""A contact sheet of a dataset."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.data.records import Pair, iterate_records, records_file
from cn.errors import InputError

_SIDE = 256
_GAP = 4


@dataclass(frozen=True)
class Sheet:
    """The sheet (h, w, 3) uint8, how many of how many pairs it shows, and one message for each broken pair."""

    image: NDArray[np.uint8]
    shown: int
    pairs: int
    failures: tuple[str, ...]


def contact_sheet(path: Path, count: int, *, columns: int | None = None) -> Sheet:
    """Show `count` pairs, evenly spread over the dataset: condition and target side by side, the prompt below.

    A pair whose images cannot be read is shown as an empty cell and listed in `failures`. Raises InputError for an
    unreadable dataset, and when no pair at all can be shown.
    """
    pairs = list(iterate_records(path))
    if not pairs:
        raise InputError("no pairs in it", path=records_file(path))
    chosen = [pairs[i * len(pairs) // min(count, len(pairs))] for i in range(min(count, len(pairs)))]
    cells: list[NDArray[np.uint8] | None] = []
    failures = []
    for pair in chosen:
        try:
            cells.append(_side_by_side(pair))
        except InputError as error:
            cells.append(None)
            failures.append(str(error))
    if len(failures) == len(chosen):
        raise InputError(f"no pair can be shown; the first: {failures[0]}", path=path)
    sheet = images.grid(
        cells, [pair.prompt for pair in chosen], columns=columns or min(3, len(chosen)), cell=2 * _SIDE + _GAP
    )
    return Sheet(sheet, len(chosen) - len(failures), len(pairs), tuple(failures))


def _side_by_side(pair: Pair) -> NDArray[np.uint8]:
    """Condition and target (256, 516, 3), each fitted into a white square, with a white gap between them."""
    pair.check()
    cell = np.full((_SIDE, 2 * _SIDE + _GAP, 3), 255, np.uint8)
    for left, image in ((0, images.read_map(pair.source)), (_SIDE + _GAP, images.read(pair.target))):
        scale = _SIDE / max(image.shape[:2])
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        top, start = (_SIDE - height) // 2, left + (_SIDE - width) // 2
        cell[top : top + height, start : start + width] = images.resize(image, (height, width))
    return cell
