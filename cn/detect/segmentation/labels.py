"""Label maps of the datasets themselves, as class ids: what the paper's segmentation ControlNets were trained on.

The readers give uint8 (h, w): ids of `palettes.ADE20K` or `palettes.COCO_STUFF`, and `NONE` where there is no class.
Any other file raises an InputError that names it; "-" is standard input. COCO's panoptic maps are in `panoptic`.
"""

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.detect.segmentation import palette_ade20k, palette_coco
from cn.detect.segmentation.color_matching import ColorMatch, ids_from_colors
from cn.detect.segmentation.palettes import NONE, Palette, ids_of_coco_labels
from cn.errors import InputError
from cn.images import pixel_values
from cn.images.reader import display_name

Reader = Callable[[str | os.PathLike[str]], NDArray[np.uint8]]

MIN_MATCHED = 0.5
"""An image is refused if less than this fraction of its non-black pixels has a color of the palette."""

_FULL_STEP = 10
"""ADE20K's full release has 256 objects for each step of red."""


def read_ids(path: str | os.PathLike[str], classes: int) -> NDArray[np.uint8]:
    """Plain ids 0..`classes` - 1, and 255 for none: an image with one channel, or a NumPy array of integers."""
    table = np.full(256, NONE, np.uint8)
    table[:classes] = np.arange(classes)
    return _mapped(path, table, {*range(classes), NONE}, f"ids are 0..{classes - 1}, or {NONE} for none")


def read_ade20k(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """A map of the ADE20K challenge (ADEChallengeData2016/annotations): 0 is other, 1..150 are the classes."""
    count = len(palette_ade20k.CLASSES)
    table = np.full(256, NONE, np.uint8)
    table[1 : count + 1] = np.arange(count)
    meaning = f"labels of the ADE20K challenge are 0 for none and 1..{count}"
    return _mapped(path, table, set(range(count + 1)), meaning)


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
    labels = palette_coco.LABELS
    meaning = f"labels of COCO-Stuff are 0..{labels - 1}, or {NONE} for none"
    return _mapped(path, ids_of_coco_labels(), {*range(labels), NONE}, meaning)


def read_palette_image(path: str | os.PathLike[str], palette: Palette) -> ColorMatch:
    """A map in the colors of `palette`, by `ids_from_colors`, in any image format.

    Raises InputError also where most non-black pixels have no color of the palette.
    """
    match = ids_from_colors(images.read(path), palette)
    if match.matched < MIN_MATCHED:
        share, name = f"{100 * match.matched:.0f} %", display_name(path)
        raise InputError(f"is no map in the colors of {palette.name}: {share} of what is not black has one", path=name)
    return match


def _mapped(
    path: str | os.PathLike[str], table: NDArray[np.uint8], allowed: set[int], meaning: str
) -> NDArray[np.uint8]:
    """The values of a single-channel map, looked up in `table` (256,); InputError for one that is not `allowed`."""
    numbers, name = _read(path), display_name(path)
    if numbers.ndim == 3 and (numbers == numbers[..., :1]).all():
        numbers = numbers[..., 0]  # Saved as RGB by a program without gray images.
    if numbers.ndim != 2:
        raise InputError(f"is a color image, where a single-channel map is expected ({meaning})", path=name)
    values = np.unique(numbers)
    if odd := [int(number) for number in values.tolist() if number not in allowed]:
        raise InputError(f"holds the number {odd[0]}, but {meaning}", path=name)
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
