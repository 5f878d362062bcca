"""Colors of segmentation maps: class id → RGB, as existing ControlNets expect them. The inverse: `color_matching`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.detect.segmentation import palette_ade20k, palette_coco

Color = tuple[int, int, int]

NONE = 255
"""The id of pixels without a class, in 8-bit maps."""


@dataclass(frozen=True)
class Palette:
    """Class names with their colors; the id of a class is its index in the table."""

    name: str
    entries: tuple[tuple[str, Color], ...]
    void: Color = (0, 0, 0)
    """The color of pixels without a class."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.entries)

    @property
    def colors(self) -> NDArray[np.uint8]:
        """(n, 3) RGB."""
        return np.array([color for _, color in self.entries], np.uint8)

    def id_of(self, name: str) -> int:
        """The id of a class; KeyError for a name that is not in the table."""
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(f"{self.name} has no class {name!r}") from None

    def name_of(self, number: int) -> str:
        """The name of a class; "no class" for `NONE` and any other id that is not in the table."""
        return self.entries[number][0] if 0 <= number < len(self.entries) else "no class"

    def shared(self) -> dict[Color, tuple[int, ...]]:
        """The colors of more than one id, with all their ids, including `NONE`."""
        having: dict[Color, list[int]] = {}
        for number, (_, color) in enumerate(self.entries):
            having.setdefault(color, []).append(number)
        if self.void in having:
            having[self.void].append(NONE)
        return {color: tuple(ids) for color, ids in having.items() if len(ids) > 1}

    def ambiguous(self, ids: NDArray[np.integer]) -> list[tuple[int, ...]]:
        """For ids read from colors, the groups of ids of the same color that occur; the first of each is the id read.

        For the void color that is `NONE`.
        """
        present = set(np.unique(ids).tolist())
        groups = (sorted(group, key=lambda number: number != NONE) for group in self.shared().values())
        return [tuple(group) for group in groups if group[0] in present]


def paint(ids: NDArray[np.integer], palette: Palette) -> NDArray[np.uint8]:
    """Class ids (h, w) to colors (h, w, 3) RGB; ids outside of the table (-1, 255, …) get the void color."""
    known = (ids >= 0) & (ids < len(palette.entries))
    table = np.vstack([palette.colors, np.array([palette.void], np.uint8)])
    return table[np.where(known, ids, len(palette.entries))]


ADE20K = Palette("ADE20K", tuple((name, color) for name, color, _ in palette_ade20k.CLASSES))
"""150 classes; the id is the label of the dataset minus one. Road and skyscraper share a color."""

COCO_STUFF = Palette("COCO-Stuff", tuple((name, color) for name, color, _ in palette_coco.CLASSES))
"""171 classes; 17 share their colors, and handbag has the void color."""


def ids_of_coco_labels() -> NDArray[np.uint8]:
    """(256,): the id 0..170 of each label 0..181 of COCO-Stuff, `NONE` for all other labels."""
    table = np.full(256, NONE, np.uint8)
    for number, (_, _, label) in enumerate(palette_coco.CLASSES):
        table[label] = number
    return table
