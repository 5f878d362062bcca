"""Making a figure: its commands one after the other in a folder of its own, then the sheet of their files.

A figure is made again only where its commands, its sheet or the weights have changed since the record beside it; one
that was stopped goes on with the first command whose files are not all there.
"""

import contextlib
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn import app, images
from cn.errors import CnError, ExitCode, InputError
from cn.files import make_folder, write_atomic
from cn.sample import png_metadata
from cn.weights import bundled
from tools.gallery import inputs
from tools.gallery.figure import AUTOMATIC, Cell, Command, Figure, Plan, Settings

RECORDS = "recipes.json"
"""In the folder of the images: what each was made of."""

MAX_BYTES = 250_000
"""Of an image."""

QUALITIES = range(90, 39, -5)
"""Of JPEG, the first that gives a file that is small enough."""

DRAWING_CODE = ("inputs", "strokes", "stick_figures", "solids")
"""Modules that the inputs depend on."""

Record = dict[str, Any]


def read_records(folder: Path) -> dict[str, Record]:
    """Figure → its record; none where nothing was made."""
    path = folder / RECORDS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def missing(figure: Figure) -> list[str]:
    """The conditions that a figure needs, of which the base has no control."""
    there = {weights.kind for weights in bundled.files() if weights.role == "control"}
    return [kind for kind in figure.kinds if kind not in there]


@dataclass(frozen=True)
class Maker:
    """Makes figures in `out`; their work folders are below `work`."""

    out: Path
    work: Path
    settings: Settings

    def plan(self, figure: Figure) -> tuple[Plan, str]:
        """What a figure is made of, and the digest of that and of the weights."""
        plan = figure.plan(self.settings)
        return plan, plan.digest(weights_of(figure, self.settings), _sources(plan.commands))

    def is_made(self, figure: Figure, digest: str) -> bool:
        """Whether the image is there, made of what this digest stands for."""
        record = read_records(self.out).get(figure.name, {})
        return record.get("digest") == digest and (self.out / figure.file).exists()

    def make(self, figure: Figure) -> Path:
        """Run what is left of a figure's commands, write its image and its record. CnError where a command fails."""
        plan, digest = self.plan(figure)
        folder = make_folder(self.work / f"{figure.name}-{digest[:12]}")
        for command in plan.commands:
            run(command, folder)
        path = self.out / figure.file
        make_folder(self.out)
        write_image(path, image_of(plan, folder))
        record: Record = {
            "file": figure.file,
            "digest": digest,
            "weights": weights_of(figure, self.settings),
            "samples": plan.samples,
            "commands": [list(command.words) for command in plan.commands],
            "listed": list(plan.listed),
        }
        if plan.facts:
            record["facts"] = json.loads((folder / plan.facts).read_text(encoding="utf-8"))
        write_record(self.out, figure.name, record)
        return path


def weights_of(figure: Figure, settings: Settings) -> dict[str, str]:
    """The weights that a figure is sampled with: name → SHA-256."""
    names = {bundled.BASE_NAME, *settings.usable(figure.kinds)}
    return {weights.name: weights.sha256 for weights in bundled.files() if weights.name in names}


def _sources(commands: Iterable[Command]) -> list[str]:
    """The code that draws the inputs of these commands."""
    if all(command.words[0] == "cn" for command in commands):
        return []
    folder = Path(__file__).parent
    return [(folder / f"{name}.py").read_text(encoding="utf-8") for name in DRAWING_CODE]


def run(command: Command, folder: Path) -> None:
    """Run a command in `folder`, as a reader would, unless it is done. CnError where it fails."""
    done = folder / f".done-{hashlib.sha256(repr(command).encode()).hexdigest()[:12]}"
    there = all((folder / name).exists() for name in command.makes)
    if there and (done.exists() or not command.again):
        return
    words = command.again if command.again and there else command.words
    errors = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        if words[0] == "cn":
            code = app.run(list(words[1:]))
        else:
            inputs.main(words[3:])
            code = ExitCode.OK
    if code == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code != ExitCode.OK:
        raise CnError(f"`{' '.join(words)}` in {folder} ended with {code}: {errors.getvalue().strip()}")
    lost = [name for name in command.makes if not (folder / name).exists()]
    if lost:
        raise InputError(f"`{' '.join(words)}` did not write {', '.join(lost)}", path=folder)
    if command.again:
        done.touch()


def image_of(plan: Plan, folder: Path) -> NDArray[np.uint8]:
    """The image of a figure, uint8 (h, w, 3), of the files in its work folder."""
    paths = [_found(cell.path, folder) if cell is not None else None for cell in plan.cells]
    shown = [images.read(path) if path is not None else None for path in paths]
    if plan.is_copy and shown[0] is not None:
        return shown[0]
    labels = [_label(cell, folder) if cell is not None else "" for cell in plan.cells]
    return images.grid(
        shown,
        labels if any(labels) else None,
        columns=plan.columns,
        column_titles=plan.column_titles or None,
        row_titles=plan.row_titles or None,
        cell=plan.cell,
    )


def _found(pattern: str, folder: Path) -> Path:
    """The only file of this pattern. InputError where there is none, or more."""
    found = [*folder.glob(pattern)]
    if len(found) != 1:
        raise InputError(f"{len(found)} files are called {pattern}", path=folder)
    return found[0]


def _label(cell: Cell, folder: Path) -> str:
    if cell.label != AUTOMATIC:
        return cell.label
    return png_metadata.from_file(str(folder / cell.path)).request.prompts[0]


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image: a JPEG in the best quality in which it has at most `MAX_BYTES`. InputError where none is."""
    if path.suffix != ".jpg":
        images.write(path, image)
        return
    for quality in QUALITIES:
        data = images.encode(image, "JPEG", quality=quality)
        if len(data) <= MAX_BYTES:
            write_atomic(path, data)
            return
    raise InputError(
        f"larger than {MAX_BYTES} bytes even at quality {QUALITIES[-1]}: make its cells smaller", path=path
    )


def write_record(folder: Path, name: str, record: Mapping[str, Any]) -> None:
    """Put the record of a figure among those of the folder."""
    records = read_records(folder) | {name: dict(record)}
    text = json.dumps(records, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    write_atomic(folder / RECORDS, text.encode())
