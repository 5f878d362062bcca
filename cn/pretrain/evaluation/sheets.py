"""Sheets of images for people to look at: samples that nobody chose, and each control with its maps."""

from collections.abc import Sequence
from pathlib import Path

from cn.images import grid, write
from cn.pretrain.evaluation.held_out import HeldOut, Images

UNCURATED, ROWS = 64, 16
"""How many samples of the first captions are shown; and scenes of each control."""
CELL = 192


def write_uncurated(folder: Path, samples: Images) -> None:
    """`samples.jpg`: the first samples, in their order."""
    shown = list(samples[:UNCURATED])
    columns = min(8, len(shown))
    write(folder / "samples.jpg", grid(shown, columns=columns, cell=CELL))


def write_control(folder: Path, kind: str, held_out: HeldOut, rows: Sequence[int], samples: Images) -> None:
    """`control-KIND.jpg`: image, map and sample of the first scenes that are sampled with the control."""
    cells = []
    for place, row in enumerate(rows[:ROWS]):
        cells += [held_out.rgb[row], held_out.maps[kind][row], samples[place]]
    # Two scenes beside each other.
    titles = ["image", kind, "sample"] * min(2, len(rows))
    write(folder / f"control-{kind}.jpg", grid(cells, column_titles=titles, cell=CELL))


def write_versions(folder: Path, attribute: str, words: Sequence[Sequence[str]], samples: Sequence[Images]) -> None:
    """`versions-ATTRIBUTE.jpg`: the first scenes, each sampled in versions that differ in one word, which is below."""
    shown = words[: ROWS // 2]
    cells = [samples[version][row] for row, names in enumerate(shown) for version in range(len(names))]
    labels = [name for names in shown for name in names]
    write(folder / f"versions-{attribute}.jpg", grid(cells, labels, columns=len(samples), cell=CELL))
