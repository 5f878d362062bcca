"""A contact sheet of the conditions: `make sheet`. By networks whose weights are here, else by methods without weights.

It shows what is detected in three photographs that come with scikit-image (NASA's, in the public domain, and CC0).
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.detect import published, registry
from cn.weights import catalog

CN = Path(sys.executable).with_name("cn")
PHOTOGRAPHS = ("astronaut", "coffee", "rocket")
CELL = 256


SHOWN = ("canny", "hough", "hed", "scribble", "lineart", "depth", "normal")
"""Kinds that show something in each of the photographs."""

RANDOM = ("--random", "--seed", "4")
OPTIONS = {("scribble", None): RANDOM, ("normal", "midas-small"): ("--strength", "250")}
"""More options of `cn detect`, by kind and method (None: any)."""


@dataclass(frozen=True)
class Choice:
    """A way of making the maps of a kind."""

    label: str
    """The text under the image."""
    options: tuple[str, ...]
    """Options of `cn detect`."""


def choice(kind: str) -> Choice | None:
    """The first network whose weights are here, else the method that needs none; None where there is neither."""
    family = registry.kind_spec(kind).family
    if family is None:
        return Choice(kind.capitalize(), ())
    for method in registry.methods(family):
        more = OPTIONS.get((kind, method.name), ()) + OPTIONS.get((kind, None), ())
        if not method.networks:
            return Choice(f"{method.name}, no weights", ("--method", method.name, *more))
        for spec in method.networks:
            for name in spec.weights:
                if path := catalog.find_local(catalog.find(name)):
                    return Choice(spec.title, ("--weights", str(path), *more))
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path("demo"), help="folder of the sheet")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        _write(out / "conditions-photographs.png", *_photographs(Path(folder)))


Cell = tuple[NDArray[np.uint8], str]


def _photographs(folder: Path) -> tuple[list[list[Cell]], list[str]]:
    """Rows of cells, and the titles of the columns: the kinds that can be detected with the weights that are here."""
    from skimage import data

    choices = {kind: choice(kind) for kind in SHOWN}
    shown = {kind: chosen for kind, chosen in choices.items() if chosen is not None}
    for kind in SHOWN:
        if kind not in shown:
            names = " or ".join(entry.name for entry in published.of_kind(kind) if published.readable(entry))
            print(f"{kind}: left out, because it needs weights (cn weights pull {names})", file=sys.stderr)
    rows: list[list[Cell]] = []
    for name in PHOTOGRAPHS:
        path = folder / f"{name}.png"
        images.write(path, np.asarray(getattr(data, name)()))
        rows.append([(images.read(path), ""), *(_detected(path, kind, chosen) for kind, chosen in shown.items())])
    return rows, ["photograph", *shown]


def _detected(path: Path, kind: str, chosen: Choice) -> Cell:
    out = path.with_name(f"{path.stem}-{kind}.png")
    subprocess.run([CN, "detect", kind, path, out, *chosen.options], check=True, stdout=subprocess.DEVNULL)
    return images.read(out), chosen.label


def _write(path: Path, rows: list[list[Cell]], titles: list[str]) -> None:
    cells, labels = zip(*(cell for row in rows for cell in row), strict=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, images.grid(cells, labels, column_titles=titles, cell=CELL))
    print(path)


if __name__ == "__main__":
    main()
