"""Label maps of the datasets themselves, as class ids: what the paper's segmentation ControlNets were trained on.

The readers give uint8 (h, w): ids of `palettes.ADE20K` or `palettes.COCO_STUFF`, and `NONE` where there is no class.
Any other file raises an InputError that names it; "-" is standard input. COCO's panoptic maps are in `panoptic`.
"""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cn import images
from cn.detect.segmentation import palette_ade20k, palette_coco
from cn.detect.segmentation.color_matching import MIN_MATCHED, ColorMatch, ids_from_colors
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF, NONE, Palette, ids_of_coco_labels
from cn.errors import InputError
from cn.images import pixel_values
from cn.images.reader import display_name
from cn.text import percent

Reader = Callable[[str | os.PathLike[str]], NDArray[np.uint8]]

MIN_FLAT = 0.8
"""With `nearest` also one is read whose non-black pixels have, to this fraction, colors of the palette or of areas."""

_FULL_STEP = 10
"""ADE20K's full release has 256 objects for each step of red."""


def read_ids(path: str | os.PathLike[str], classes: int) -> NDArray[np.uint8]:
    """Plain ids 0..`classes` - 1, and 255 for none: an image with one channel, or a NumPy array of integers."""
    hints = {150: "maps of the challenge count from 1: --from-labels challenge"} if classes == 150 else {}
    hints |= (
        dict.fromkeys(range(171, 182), "maps of COCO-Stuff: --from-labels stuffthingmaps") if classes == 171 else {}
    )
    allowed = {*range(classes), NONE}
    return _mapped(path, _plain(classes), allowed, f"ids are 0..{classes - 1}, or {NONE} for none", hints)


def read_ade20k(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """A map of the ADE20K challenge (ADEChallengeData2016/annotations): 0 is other, 1..150 are the classes."""
    count = len(palette_ade20k.CLASSES)
    meaning = f"labels of the ADE20K challenge are 0 for none and 1..{count}"
    hints = {NONE: f"plain ids have {NONE} for none: --from-labels ids"}
    return _mapped(path, _challenge(), set(range(count + 1)), meaning, hints)


def read_ade20k_full(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """A map of ADE20K's full release (…_seg.png): red and green encode some 3,000 objects, blue the instance.

    Objects of the challenge become its 150 classes, by the table of its authors, all others `NONE`. Parts of objects
    (…_parts_1.png) have the same encoding and cannot be distinguished: give the maps of whole objects.
    """
    pixels, name = _read(path), display_name(path)
    if pixels.ndim != 3:
        raise InputError("has one channel, but maps of ADE20K's full release (…_seg.png) have three", path=name)
    if (pixels[..., 0] % _FULL_STEP).any():
        raise InputError(f"is not a map of ADE20K's full release: its red is not in steps of {_FULL_STEP}", path=name)
    table = np.full((255 // _FULL_STEP + 1) * 256, NONE, np.uint8)
    for number, (_, _, objects) in enumerate(palette_ade20k.CLASSES):
        table[list(objects)] = number
    return table[pixels[..., 0].astype(np.intp) // _FULL_STEP * 256 + pixels[..., 1]]


def read_cocostuff(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """A map of COCO-Stuff (stuffthingmaps): labels 0..181, 255 for none.

    For maps of mmseg (…_labelTrainIds.png), which hold ids already, use `read_ids`.
    """
    table = ids_of_coco_labels()
    labels = set(np.flatnonzero(table != NONE).tolist())
    unused = palette_coco.LABELS - len(labels)
    meaning = f"labels of COCO-Stuff are 0..{palette_coco.LABELS - 1} ({unused} of them unused), or {NONE} for none"
    hints = dict.fromkeys(set(range(len(palette_coco.CLASSES))) - labels, "plain ids: --from-labels ids")
    return _mapped(path, table, labels | {NONE}, meaning, hints)


def read_palette_image(path: str | os.PathLike[str], palette: Palette, nearest: bool = False) -> ColorMatch:
    """A map in the colors of `palette`, by `ids_from_colors`, in any image format.

    Raises InputError also where most non-black pixels have no color of the palette, or with `nearest` where the image
    does not consist of areas of one color each.
    """
    # What is transparent has no class: the background of these maps is black.
    image, name = images.read_map(path, "ade20k"), display_name(path)
    if numbers := _gray_numbers(image, palette):
        what = f"is gray, with the values {numbers}: numbers of classes, not colors"
        raise InputError(f"{what}; choose another layout with --from-labels", path=name)
    match = ids_from_colors(image, palette, nearest=nearest)
    if match.matched < MIN_MATCHED and not (nearest and match.flat >= MIN_FLAT):
        share = f"{100 * match.matched:.0f} %"
        raise InputError(f"is no map in the colors of {palette.name}: {share} of what is not black has one", path=name)
    return match


def _gray_numbers(image: NDArray[np.uint8], palette: Palette) -> str | None:
    """The values of a gray image that are the number of a class, not its color: "1, 2, 3 …"; None for other images."""
    if not (image == image[..., :1]).all():
        return None
    values = np.unique(image[..., 0]).tolist()
    grays = {red for red, green, blue in (palette.void, *palette.colors.tolist()) if red == green == blue}
    others = [value for value in values if value not in (*grays, NONE)]
    if not others or max(others) > palette_coco.LABELS or grays & {*values} - {0}:
        return None
    return ", ".join(map(str, others[:3])) + " …" * (len(others) > 3)


def warning(path: str | os.PathLike[str], kind: str, layout: str, ids: NDArray[np.uint8]) -> str | None:
    """What cannot be right about reading a label map in this layout; None where nothing is suspicious."""
    if layout == "full" and "_parts_" in os.path.basename(os.fspath(path)):
        return "maps of parts (…_parts_1.png) show parts of objects, not objects; give the maps …_seg.png"
    colors = _color_table(path) if layout in TABLES[kind] else None
    if colors is None:
        return None
    stored = np.flatnonzero(np.isin(TABLES[kind][layout][: len(colors)], np.setdiff1d(ids, [NONE])))
    fitting = [name for name, table in TABLES[kind].items() if _fits(stored, table, colors, kind)]
    if not fitting or layout in fitting:
        return None
    return f"the file's own colors are those of --from-labels {fitting[0]}, not {layout}"


def _fits(stored: NDArray[np.intp], table: NDArray[np.uint8], colors: NDArray[np.uint8], kind: str) -> bool:
    """Whether the file's own colors of the numbers stored in it are those of their classes, by this layout."""
    ids = table[stored]
    known = ids != NONE
    palette = {"ade20k": ADE20K, "coco": COCO_STUFF}[kind]
    return bool(known.any()) and bool((palette.colors[ids[known]] == colors[stored[known]]).all())


def _color_table(path: str | os.PathLike[str]) -> NDArray[np.uint8] | None:
    """The colors (n, 3) of an image that stores indices into them; None for other files."""
    try:
        with Image.open(path) as image:
            colors = image.getpalette("RGB") if image.mode == "P" else None
    except (OSError, SyntaxError, ValueError):
        return None
    return None if colors is None else np.array(colors, np.uint8).reshape(-1, 3)


def _mapped(
    path: str | os.PathLike[str],
    table: NDArray[np.uint8],
    allowed: set[int],
    meaning: str,
    hints: Mapping[int, str] | None = None,
) -> NDArray[np.uint8]:
    """The values of a single-channel map, looked up in `table` (256,).

    Raises InputError for values that are not `allowed`; `hints` say what those of another layout may mean.
    """
    numbers, name = _read(path), display_name(path)
    if numbers.ndim == 3 and (numbers == numbers[..., :1]).all():
        numbers = numbers[..., 0]  # Saved as RGB by a program without gray images.
    if numbers.ndim != 2:
        raise InputError(f"is a color image, where a single-channel map is expected ({meaning})", path=name)
    values, counts = np.unique(numbers, return_counts=True)
    if odd := {
        number: count for number, count in zip(values.tolist(), counts.tolist(), strict=True) if number not in allowed
    }:
        first, *more = odd
        share = f"{percent(sum(odd.values()) / numbers.size)} of the image"
        others = f" and {len(more)} more that are no class" if more else ""
        hint = next((f"; {hints[number]}" for number in odd if hints and number in hints), "")
        raise InputError(f"holds the number {first}{others} ({share}), but {meaning}{hint}", path=name)
    return table[numbers.astype(np.intp)]


def read_color_codes(path: str | os.PathLike[str]) -> NDArray[np.int32]:
    """R + 256 G + 65536 B of each pixel (h, w), from an image whose colors encode integers."""
    pixels = _read(path)
    if pixels.ndim != 3:
        raise InputError("has one channel, but a panoptic map has three, which together number its segments", path=path)
    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    return red + (green << 8) + (blue << 16)


def _read(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The values as stored in the file: integers (h, w), or uint8 (h, w, 3) of a color image."""
    numbers = pixel_values.read_numbers(path)
    numbers = numbers.astype(np.uint8) if numbers.dtype == np.bool_ else numbers
    if not np.issubdtype(numbers.dtype, np.integer) or not numbers.size or not _is_map(numbers):
        shape = "×".join(map(str, numbers.shape)) or "one number"
        name = display_name(path)
        raise InputError(f"ids are integers (height × width), but this is {numbers.dtype} {shape}", path=name)
    return numbers


def _is_map(numbers: NDArray[Any]) -> bool:
    return numbers.ndim == 2 or (numbers.ndim == 3 and numbers.shape[2] == 3)


def _plain(classes: int) -> NDArray[np.uint8]:
    """(256,): the id of each plain id."""
    table = np.full(256, NONE, np.uint8)
    table[:classes] = np.arange(classes)
    return table


def _challenge() -> NDArray[np.uint8]:
    """(256,): the id of each label of the ADE20K challenge."""
    count = len(palette_ade20k.CLASSES)
    table = np.full(256, NONE, np.uint8)
    table[1 : count + 1] = np.arange(count)
    return table


TABLES = {
    "ade20k": {"challenge": _challenge(), "ids": _plain(len(palette_ade20k.CLASSES))},
    "coco": {"stuffthingmaps": ids_of_coco_labels(), "ids": _plain(len(palette_coco.CLASSES))},
}
"""For each layout with one number per pixel, the id (256,) of each number."""

READERS: dict[str, dict[str, Reader]] = {
    "ade20k": {
        "challenge": read_ade20k,
        "full": read_ade20k_full,
        "ids": functools.partial(read_ids, classes=len(palette_ade20k.CLASSES)),
    },
    "coco": {
        "stuffthingmaps": read_cocostuff,
        "ids": functools.partial(read_ids, classes=len(palette_coco.CLASSES)),
    },
}
"""The layouts of label maps of each kind that need no other file, by name; the first is the dataset's own."""
