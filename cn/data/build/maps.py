"""The maps of a batch of images, of one kind: detected, made of files, or given."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn import conditions, images, storage
from cn.conditions import ConditionInfo
from cn.data.blobs import Blob, File
from cn.data.build.image import Picture, is_plain_map, png_text
from cn.data.build.recipes import Recipe
from cn.data.build.status import KindResult, Result
from cn.data.sources.sample import UNSTATED, Sample
from cn.detect.checks import check_map, check_photograph
from cn.detect.checks.facts import facts_of
from cn.detect.detector import Detection, Detector
from cn.detect.run.batch import is_memory_error
from cn.detect.run.inputs import split
from cn.errors import CnError, InputError, OutputError, UnreadableError
from cn.images.maps import decode_map

_ASPECT_TOLERANCE = 0.02
"""How much the shapes of a map and its image may differ, as in training."""


@dataclass(frozen=True)
class Made:
    """A map that is ready to be written, or why there is none."""

    result: KindResult
    data: bytes | None = None
    suffix: str = ".png"


@dataclass(frozen=True)
class Item:
    """An image of a batch."""

    sample: Sample
    picture: Picture
    training: NDArray[np.uint8]
    """The training image (h, w, 3) that detectors see."""


def make(recipe: Recipe, items: Sequence[Item], only_kind: bool) -> list[Made]:
    """The maps of a batch, in its order; `only_kind`: maps of an unstated kind are of this one."""
    if recipe.origin == "detector":
        return _detected(recipe, items)
    one = _from_file if recipe.origin == "files" else _given
    return [_guarded(one, recipe, item, only_kind) for item in items]


def _guarded(function: Any, recipe: Recipe, item: Item, only_kind: bool) -> Made:
    """`function` for one image; its failure concerns this image alone, unless nothing can be written any more."""
    try:
        made: Made = function(recipe, item, only_kind)
        return made
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> Made:
    """Why one image has no map. An error of the program itself is the status of this image: millions may follow it."""
    if isinstance(error, OutputError):
        raise error
    if isinstance(error, UnreadableError):
        return Made(KindResult("unreadable", reason=str(error)))
    if isinstance(error, CnError):
        return Made(KindResult("broken", reason=str(error)))
    if is_memory_error(error):
        return Made(KindResult("failed", reason="needs more memory than there is; fewer --workers may help"))
    return Made(KindResult("failed", reason=f"{type(error).__name__}: {error}"))


def _detected(recipe: Recipe, items: Sequence[Item]) -> list[Made]:
    detector = recipe.detector
    assert detector is not None
    made: dict[int, Made] = {}
    for numbers in _groups(items, detector.batch_size):
        try:
            found = _padded(detector, [items[number] for number in numbers])
        except Exception as error:
            if len(numbers) > 1:
                # One of them fails; processed one by one, the others succeed.
                made |= {number: _detected(recipe, [items[number]])[0] for number in numbers}
                continue
            found = []
            made[numbers[0]] = _failure(error)
        for number, detection in zip(numbers, found, strict=False):
            item = items[number]
            made[number] = _finished(recipe, detection, detection.map, item.picture.key, _input_warning(detector, item))
    return [made[number] for number in range(len(items))]


def _groups(items: Sequence[Item], batch: int) -> list[list[int]]:
    """Numbers of images of one size, at most `batch` of them."""
    sizes: dict[tuple[int, ...], list[int]] = {}
    for number, item in enumerate(items):
        sizes.setdefault(item.training.shape, []).append(number)
    return [numbers[start : start + batch] for numbers in sizes.values() for start in range(0, len(numbers), batch)]


def _padded(detector: Detector, items: Sequence[Item]) -> list[Detection]:
    """Detections of images of one size.

    A network always gets full batches, filled up with the last image: on a GPU its last bits depend on the size of the
    batch, but not on what else is in it, so that maps do not depend on the images around them.
    """
    filled = [*items, *[items[-1]] * (detector.batch_size - len(items))]
    return detector.detect([item.training for item in filled], [item.picture.key for item in filled])[: len(items)]


def _input_warning(detector: Detector, item: Item) -> str | None:
    """Where a detector of photographs gets a condition map."""
    if detector.from_drawings:
        return None
    return _joined(check_photograph(item.picture.array, item.picture.text()))


def _finished(
    recipe: Recipe,
    detection: Detection,
    made: NDArray[np.uint8],
    key: str,
    warning: str | None,
    own_key: str = "",
) -> Made:
    """A map as a PNG that says how it was made."""
    assert recipe.detector is not None
    data = images.encode(made, "PNG", recipe.detector.info(key).to_text())
    status: Result = "empty" if detection.empty else "ok"
    result = KindResult(status, _short(detection.found), warning or detection.warning, map_key=own_key or None)
    return Made(result, data)


def _short(found: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers about a map without long lists: people become their number."""
    return {name: len(value) if isinstance(value, list) else value for name, value in found.items()}


def _from_file(recipe: Recipe, item: Item, only_kind: bool) -> Made:
    """A map that a detector makes of a file of labels or measurements, cut to the frame of its image."""
    reader = recipe.detector
    assert reader is not None
    path = _file_of(recipe, item.sample)
    if path is None:
        return _no_map(recipe)
    read = reader.read(path)
    (detection,) = reader.detect([read], [item.picture.key])
    _check_frame(detection.map, item.picture, path)
    made = _cut(recipe, item.picture, detection.map)
    own = hashlib.sha256(np.ascontiguousarray(made).tobytes()).hexdigest()[:8]
    warning = detection.warning or _joined(check_map(reader.usual_order(made), recipe.kind))
    if not detection.empty and not made.any():
        detection = replace(detection, empty=True)
    return _finished(recipe, detection, made, item.picture.key, warning, own)


def _cut(recipe: Recipe, picture: Picture, made: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A map at the frame of its image, resized as its kind allows."""
    boxed = np.ascontiguousarray(picture.frame.cut(made))
    if recipe.detector is not None:
        return np.asarray(recipe.detector.resized_map(boxed, picture.frame.size))
    return np.asarray(images.resize(boxed, picture.frame.size, conditions.get(recipe.kind).geometry))


def _given(recipe: Recipe, item: Item, only_kind: bool) -> Made:
    """A finished map of the source, or of a folder of people's own."""
    blob = _map_blob(recipe, item.sample, only_kind)
    if blob is None:
        return _no_map(recipe)
    data, picture = blob.read(), item.picture
    own = hashlib.sha256(data).hexdigest()[:8]
    array = decode_map(data, str(blob), recipe.kind)
    _check_frame(array, picture, str(blob))
    text = png_text(data)
    warning = _joined(check_map(array, recipe.kind, _stated(text), facts_of(data[:4096])))
    suffix = is_plain_map(data, picture.frame.size) if picture.frame.is_whole else None
    if suffix is None:
        data, suffix = images.encode(_cut(recipe, picture, array), "PNG", text), ".png"
    empty = array.min() == array.max()
    return Made(KindResult("empty" if empty else "ok", reason=warning, map_key=own), data, suffix)


def _stated(text: Mapping[str, str]) -> ConditionInfo | None:
    """What a PNG says about its map; None where that is damaged."""
    try:
        return ConditionInfo.from_text(text)
    except InputError:
        return None


def _no_map(recipe: Recipe) -> Made:
    where = f" in {recipe.folder}" if recipe.folder is not None else ""
    return Made(KindResult("no map", reason=f"there is no {recipe.kind} map of it{where}"))


def _check_frame(made: NDArray[np.uint8], picture: Picture, name: str) -> None:
    (height, width), (high, wide) = picture.array.shape[:2], made.shape[:2]
    if abs(wide * height / (high * width) - 1) > _ASPECT_TOLERANCE:
        raise InputError(f"is {wide}×{high} and its image {width}×{height}: not the same frame", path=name)


def _map_blob(recipe: Recipe, sample: Sample, only_kind: bool) -> Blob | None:
    if recipe.folder is not None:
        path = _file_of(recipe, sample)
        return None if path is None else File(path)
    blob = sample.maps.get(recipe.kind)
    return sample.maps.get(UNSTATED) if blob is None and only_kind else blob


def _file_of(recipe: Recipe, sample: Sample) -> str | None:
    """The file that belongs to an image: as the source names it, or by the image's name in a folder.

    Raises InputError where two files have that name.
    """
    if recipe.folder is None:
        path = sample.extra.get(f"{recipe.kind}_file") or sample.extra.get("depth_file")
        return path if isinstance(path, str) else None
    stem = os.path.splitext(sample.name)[0]
    index = _index(recipe.folder, recipe.suffixes)
    for name in (stem, os.path.basename(stem)):
        found = index.get(name, ())
        if len(found) > 1:
            raise InputError(f"{found[0]} and {found[1]} both have its name", path=sample.name)
        if found:
            return os.path.join(recipe.folder, found[0])
    return None


@lru_cache(maxsize=8)
def _index(folder: str, suffixes: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Names without suffix, with their folders and without, → the files below a folder that have them."""
    found: dict[str, tuple[str, ...]] = {}
    for key in storage.files_below(folder):
        if not key.lower().endswith(tuple(suffixes)):
            continue
        below, name, _ = split(key, suffixes)
        for word in {name, f"{below}/{name}" if below else name}:
            found[word] = (*found.get(word, ()), key)
    return found


def _joined(warnings: Sequence[object]) -> str | None:
    return "; ".join(map(str, warnings)) or None
