"""COCO's panoptic maps as ids of COCO-Stuff, where their categories correspond.

A PNG numbers its segments, and a JSON file for the whole dataset gives the category of each segment. Of the 171 classes
of COCO-Stuff, 116 have their own category; 17 categories merge 43 classes, and their pixels become the class that the
category is named after ("tree-merged" → tree, not branch, bush or leaves); 12 classes were removed.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn import errors
from cn.detect.segmentation import palette_coco
from cn.detect.segmentation.labels import read_color_codes
from cn.detect.segmentation.palettes import COCO_STUFF, NONE, ids_of_coco_labels
from cn.errors import InputError
from cn.files import reason
from cn.json_text import parse_json

_CATEGORIES = 200


def ids_of_categories() -> NDArray[np.uint8]:
    """(201,): the id of each of COCO's categories 1..200; `NONE` for 0, 183 ("other") and numbers without category."""
    table = np.full(_CATEGORIES + 1, NONE, np.uint8)
    table[1 : palette_coco.LABELS + 1] = ids_of_coco_labels()[: palette_coco.LABELS]
    for category, classes in palette_coco.MERGED:
        table[category] = COCO_STUFF.id_of(classes[0])
    return table


class PanopticLabels:
    """The annotations of panoptic_train2017.json or panoptic_val2017.json, for reading the maps that belong to it.

    Raises InputError when the file is missing, or is not such a file.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        loaded = _load(self.path)
        annotations = loaded.get("annotations") if isinstance(loaded, dict) else None
        if not isinstance(annotations, list):
            raise InputError("is not a panoptic annotation of COCO: it has no list of annotations", path=self.path)
        self._segments: dict[str, list[tuple[int, int]]] = {}
        for annotation in annotations:
            segments = annotation.get("segments_info") if isinstance(annotation, dict) else None
            name = annotation.get("file_name") if isinstance(annotation, dict) else None
            if not isinstance(segments, list) or not isinstance(name, str) or not all(map(_is_segment, segments)):
                raise InputError("is not a panoptic annotation of COCO: one has no segments_info", path=self.path)
            self._segments[name] = segments
        self._ids = ids_of_categories()

    def read(self, path: str | os.PathLike[str]) -> NDArray[np.uint8]:
        """The ids of the map in a PNG, uint8 (h, w), which is found in the annotations by its file name.

        Raises InputError for a map without an annotation, or with an unknown segment or category.
        """
        name = os.path.basename(os.fspath(path))
        if name not in self._segments:
            raise InputError(f"{self.path} has no annotation of {name}", path=path)
        codes = read_color_codes(path)
        known = {0: NONE}
        for segment, category in self._segments[name]:
            if not 0 <= category <= _CATEGORIES:
                raise InputError(f"segment {segment} of {name} has category {category}, not 1..200", path=self.path)
            known[segment] = int(self._ids[category])
        codes_there, places = np.unique(codes, return_inverse=True)
        if missing := [code for code in codes_there.tolist() if code not in known]:
            raise InputError(f"{self.path} does not describe its segment {missing[0]}", path=path)
        return np.array([known[code] for code in codes_there.tolist()], np.uint8)[places].reshape(codes.shape)


def _is_segment(value: Any) -> bool:
    return isinstance(value, tuple) and all(type(number) is int for number in value)


def _small(value: dict[str, Any]) -> Any:
    """A segment as (id, category), without its box and area, which take most of the memory for a million segments."""
    if "category_id" in value and "id" in value and "segments_info" not in value:
        return value["id"], value["category_id"]
    return value


def _load(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise InputError("no such file", path=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", path=path) from error
    with errors.about(path):
        return parse_json(data, object_hook=_small)
