"""The sheet of a sweep: its images with the values above and beside them, and how it was made in its PNG text."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cn import __version__, images
from cn.errors import InputError
from cn.files import make_folder
from cn.json_text import parse_json
from cn.sample.png_metadata import SHEET_KEY
from cn.sample.recipes import OtherRecipeError
from cn.sample.sweep import Grid, Sweep

MAX_PIXELS = 64_000_000
"""Of the images of a sheet: they are scaled down to that, since few programs show larger ones."""
MIN_SIDE = 192
"""Of a cell in pixels: smaller ones are doubled, since the text follows their size."""
_AXES = ("columns", "rows")


def check_sheet(grid: Grid, sweep: Sweep, overwrite: bool) -> None:
    """OtherRecipeError where something else than a sheet of these options has its name; their values may be others.

    InputError for a name that is not that of a PNG.
    """
    if images.format_of(grid.sheet) != "PNG":
        raise InputError("the sheet of a sweep is a PNG: give a folder, or a name with .png", path=grid.sheet)
    if overwrite or not grid.sheet.exists():
        return
    try:
        there = parse_json(images.read_info(grid.sheet).get(SHEET_KEY, ""))
    except InputError:
        there = None
    if _identity(there) != _identity(_record(grid, sweep)):
        raise OtherRecipeError(
            f"exists already, and is no sheet of {' and '.join(sweep.options)} for {grid.title!r}; give another --out, "
            "or --overwrite to replace it",
            path=grid.sheet,
        )


def _identity(record: Any) -> Any:
    """What a sheet shows, whatever the values."""
    if not isinstance(record, dict):
        return None
    axes = [record.get(name) for name in _AXES]
    return record.get("title"), [axis.get("option") if isinstance(axis, dict) else None for axis in axes]


def write_sheet(grid: Grid, sweep: Sweep) -> None:
    """Write it, of the images that are there. Raises InputError where one was removed or broken meanwhile."""
    columns, *rows = sweep.axes
    side = max(_longest_side(cell.path) for cell in grid.cells)
    while side < MIN_SIDE:
        side *= 2
    side = min(side, int(math.sqrt(MAX_PIXELS / len(grid.cells))))
    page = images.grid(
        [_at_most(images.read(cell.path), side) for cell in grid.cells],
        column_titles=columns.labels(),
        row_titles=rows[0].labels() if rows else None,
        title=grid.title or None,
        cell=side,
    )
    make_folder(grid.sheet.parent)
    images.write(grid.sheet, page, {SHEET_KEY: json.dumps(_record(grid, sweep), ensure_ascii=True, sort_keys=True)})


def _longest_side(path: Path) -> int:
    """Without decoding it: all images of a grid may be too much for the memory."""
    try:
        with Image.open(path) as image:
            return max(image.size)
    except OSError:
        raise InputError("was removed or changed while it was in use; start again", path=path) from None


def _at_most(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image
    factor = side / max(height, width)
    return images.resize(image, (max(1, round(height * factor)), max(1, round(width * factor))))


def _record(grid: Grid, sweep: Sweep) -> dict[str, Any]:
    """How it was made: the axes, and each image, relative to the sheet; these carry their own metadata."""
    axes = {
        name: {"option": axis.option, "values": [value.value for value in axis.values]}
        for name, axis in zip(_AXES, sweep.axes, strict=False)
    }
    where = grid.sheet.parent
    cells = [os.path.relpath(cell.path, where) for cell in grid.cells]
    return {"cn": __version__, "title": grid.title, **axes, "images": cells}
