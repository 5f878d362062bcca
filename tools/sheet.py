"""Contact sheets of the conditions: `make sheet`. Networks are used whose published weights are here, else other ways.

One sheet shows what is detected in three photographs that come with scikit-image (NASA's, in the public domain, and
CC0), the other what the built-in scenes know exactly.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.weights import catalog

CN = Path(sys.executable).with_name("cn")
PHOTOGRAPHS = ("astronaut", "coffee", "rocket")
SCENE_SEED, SCENES = 2, (396, 394)
CELL = 256


@dataclass(frozen=True)
class Column:
    """A kind, and the ways of making it, the best first: a published name, or "" for none, and options."""

    kind: str
    ways: tuple[tuple[str, str, tuple[str, ...]], ...]
    """(published name or "", what stands under the image, options of `cn detect`)."""

    def way(self) -> tuple[str, list[str]] | None:
        for name, label, options in self.ways:
            if not name:
                return label, list(options)
            if path := catalog.here(catalog.find(name)):
                return label, [*options, "--weights", str(path)]
        return None


COLUMNS = (
    Column("canny", (("", "Canny", ()),)),
    Column(
        "hough",
        (
            ("mlsd-large", "M-LSD large", ()),
            ("mlsd-tiny", "M-LSD tiny", ()),
            ("", "LSD, no weights", ("--method", "lsd")),
        ),
    ),
    Column(
        "hed",
        (
            ("controlnet-hed", "HED", ()),
            ("tin2", "TIN", ()),
            ("", "gradient, no weights", ("--method", "gradient")),
        ),
    ),
    Column(
        "scribble",
        (
            ("controlnet-hed", "from HED, at random", ("--random", "--seed", "4")),
            ("tin2", "from TIN, at random", ("--random", "--seed", "4")),
            ("", "from gradients, at random", ("--method", "gradient", "--random", "--seed", "4")),
        ),
    ),
    Column("lineart", (("anime2sketch", "Anime2Sketch", ()), ("", "no weights", ("--method", "standard")))),
    Column("depth", (("dpt-hybrid", "DPT-hybrid", ()), ("midas-small", "MiDaS small", ()))),
    Column(
        "normal", (("dpt-hybrid", "from DPT-hybrid", ()), ("midas-small", "from MiDaS small", ("--strength", "250")))
    ),
)
EXACT = ("canny", "depth", "normal", "openpose", "ade20k")
"""What the built-in scenes give without a detector (but for Canny's)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path("demo"), help="folder of the two sheets")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        _write(out / "conditions-photographs.png", *_photographs(Path(folder)))
        _write(out / "conditions-scenes.png", *_scenes(Path(folder)))


Cell = tuple[NDArray[np.uint8], str]


def _photographs(folder: Path) -> tuple[list[list[Cell]], list[str]]:
    """Rows of cells, and the titles of the columns: those kinds that can be detected with what is here."""
    from skimage import data

    shown = [column for column in COLUMNS if column.way()]
    for column in COLUMNS:
        if column not in shown:
            names = " or ".join(name for name, _, _ in column.ways)
            print(f"{column.kind}: left out, since it needs weights (cn weights pull {names})", file=sys.stderr)
    rows: list[list[Cell]] = []
    for name in PHOTOGRAPHS:
        path = folder / f"{name}.png"
        images.write(path, np.asarray(getattr(data, name)()))
        rows.append([(images.read(path), ""), *(_detected(path, column) for column in shown)])
    return rows, ["photograph", *(column.kind for column in shown)]


def _detected(path: Path, column: Column) -> Cell:
    way = column.way()
    assert way is not None
    label, options = way
    out = path.with_name(f"{path.stem}-{column.kind}.png")
    subprocess.run([CN, "detect", column.kind, path, out, *options], check=True, stdout=subprocess.DEVNULL)
    return images.read(out), label


def _scenes(folder: Path) -> tuple[list[list[Cell]], list[str]]:
    rows: list[list[Cell]] = []
    for scene in SCENES:
        row: list[Cell] = []
        for kind in EXACT:
            pairs = folder / f"{kind}-{scene}"
            words = ("dataset", "synth", pairs, "--count", 1, "--cond", kind, "--seed", SCENE_SEED, "--start", scene)
            subprocess.run([CN, *map(str, words), "-q"], check=True, stdout=subprocess.DEVNULL)
            record = json.loads((pairs / "prompt.json").read_text().splitlines()[0])
            row.append((images.read(pairs / record["source"]), ""))
        rows.append([(images.read(pairs / record["target"]), record["prompt"]), *row])
    return rows, ["built-in scene", *EXACT]


def _write(path: Path, rows: list[list[Cell]], titles: list[str]) -> None:
    pictures, labels = zip(*(cell for row in rows for cell in row), strict=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, images.grid(pictures, labels, column_titles=titles, cell=CELL))
    print(path)


if __name__ == "__main__":
    main()
