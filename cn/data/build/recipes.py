"""How the map of each kind is made (§3.5 of the paper): by a detector, from files of measurements or labels, or given.

The defaults are the paper's: random Canny thresholds, scribbles with random augmentations of soft edges, people with at
least 30 % of their keypoints. Everything random depends on the seed and on the image's content key.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cn import options, storage
from cn.data.build.settings import BuildSettings
from cn.detect import registry
from cn.detect.create import create_detector
from cn.detect.detector import Detector
from cn.detect.network import ComputeSettings
from cn.detect.settings import JSON_SUFFIXES, label_suffixes
from cn.detect.surfaces.settings import DEPTH_SUFFIXES, DIODE_SUFFIXES, NORMAL_MAP_SUFFIXES
from cn.errors import InputError, UsageError, WeightsError
from cn.images.formats import SUFFIXES
from cn.options import Field

Origin = Literal["detector", "files", "given"]
"""Where maps come from: detected, read by a detector from files of labels or measurements, or finished maps."""

RANDOM_KINDS = ("canny", "scribble")
"""Kinds whose detectors have random settings, which the paper used."""

_SWITCHES = ("nearest", "hands", "face")
"""Settings of readers of files that are no fields of a class of settings."""

MEASURED = {"depth": "depth", "normal": "diode"}
"""What the files that a source of measurements (DIODE) has are, by kind."""


@dataclass(frozen=True)
class Recipe:
    """How the maps of one kind are made. Picklable: worker processes get a copy."""

    kind: str
    origin: Origin
    detector: Detector | None = None
    """None for finished maps."""
    folder: str | None = None
    """Where the files lie, unless the source names them (`MEASURED`)."""
    suffixes: frozenset[str] = SUFFIXES
    """What the names of the files in `folder` have after those of the images (lower case)."""

    def about(self) -> str:
        """In words, for the plan."""
        if self.origin == "given":
            return f"maps in {self.folder}" if self.folder is not None else "the source's own maps"
        assert self.detector is not None
        info = self.detector.info("")
        random = " (random settings for each image)" if getattr(self.detector, "random", False) else ""
        where = f", files in {self.folder}" if self.folder is not None else ""
        return f"{info.detector}{random}{where}"


def create(settings: BuildSettings, given: frozenset[str] = frozenset(), measured: bool = False) -> tuple[Recipe, ...]:
    """The recipe of each kind.

    `given` are the kinds of which the source has finished maps; `measured`: whether it has files of depth and normals.
    Raises UsageError for settings that do not exist, WeightsError where a network's weights are missing.
    """
    compute = None
    if any(registry.kind_spec(kind).family for kind in settings.kinds):
        compute = ComputeSettings.from_options(settings.device, settings.precision, settings.batch_size or None)
    return tuple(_recipe(settings, kind, kind in given, measured, compute) for kind in settings.kinds)


def networks(recipes: Iterable[Recipe]) -> dict[str, str]:
    """Kind → SHA-256 of the weights of its network, for the kinds that have one."""
    found = ((recipe.kind, recipe.detector.network) for recipe in recipes if recipe.detector is not None)
    return {kind: network.sha256 for kind, network in found if network is not None}


def _recipe(settings: BuildSettings, kind: str, given: bool, measured: bool, compute: ComputeSettings | None) -> Recipe:
    folder = settings.assigned(settings.files).get(kind)
    what = settings.assigned(settings.from_).get(kind)
    words = settings.of_kind(kind)
    if folder is not None:
        what = what or _default_reader(kind)
        if what == "maps":
            recipe = Recipe(kind, "given", folder=folder)
        else:
            recipe = Recipe(kind, "files", _reader(kind, what, words), folder, _suffixes(kind, what))
        _check_folder(recipe, folder)
        return recipe
    if measured and kind in MEASURED and not settings.detect:
        return Recipe(kind, "files", _reader(kind, what or MEASURED[kind], words))
    if given and not settings.detect:
        if words:
            raise UsageError(f"--set {kind}.… is for detecting, and the source has maps of {kind}; add --detect")
        return Recipe(kind, "given")
    return Recipe(kind, "detector", _detector(settings, kind, words, compute))


def _check_folder(recipe: Recipe, folder: str) -> None:
    """InputError where there is nothing that could be read."""
    if not storage.is_folder(folder):
        raise InputError(f"no such folder of {recipe.kind} files", path=folder)
    endings = tuple(recipe.suffixes)
    if not any(name.lower().endswith(endings) for name in storage.files_below(folder)):
        raise InputError(f"no {recipe.kind} files in it ({', '.join(sorted(endings))})", path=folder)


def _detector(
    settings: BuildSettings, kind: str, words: Mapping[str, str], compute: ComputeSettings | None
) -> Detector:
    family = registry.kind_spec(kind).family
    weights = settings.assigned(settings.weights).get(kind)
    method = settings.assigned(settings.methods).get(kind)
    if family is not None and method is None and weights is None:
        # Not whatever happens to be on this machine: a dataset says which method made it.
        method = registry.default_method(family).name
    found: dict[str, Any] = {"random": True, "seed": settings.seed} if kind in RANDOM_KINDS else {}
    if kind == "canny" and {"low", "high"} & words.keys():
        found = {}
    try:
        # Made once with the defaults, for the types of its settings.
        detector = create_detector(kind, method=method, weights=weights, compute=compute)
    except WeightsError as error:
        error.what = _as_here(error.what, kind)
        raise
    found |= _typed(kind, words, type(detector))
    return create_detector(kind, method=method, weights=weights, compute=compute, **found) if found else detector


def _as_here(advice: str, kind: str) -> str:
    """What `cn detect` advises about missing weights, with the options of a build."""
    advice = re.sub(r" \(without any weights, .*\)$", "", advice)
    advice = advice.replace("with --weights", f"with --weights {kind}=FILE")
    methods = registry.methods(registry.kind_spec(kind).family or "")
    ways = [f"--method {kind}={method.name}" for method in methods if not method.networks]
    ways += [f"--files {kind}=FOLDER"] if _readers(kind) else []
    return f"{advice} (without weights: {' or '.join(ways)})" if ways else advice


def _typed(kind: str, words: Mapping[str, str], cls: type) -> dict[str, Any]:
    """The values of settings that are given as words. UsageError for unknown names and wrong values."""
    fields = _fields(cls)
    found = {}
    for name, word in words.items():
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise UsageError(f"--set {kind}.{name}: there is no such setting; there are: {known}")
        found[name] = _value(f"--set {kind}.{name}", fields[name], word)
    return found


def _fields(cls: type) -> dict[str, Field]:
    """The settings of a detector: those that it inherits, and the switches that its command has besides."""
    settings = [part for part in cls.__mro__ if part.__module__.rpartition(".")[2] == "settings"]
    found = {name: field for part in settings for name, field in options.declared(part).items()}
    own = {field.name for field in dataclasses.fields(cls)}
    return found | {name: Field(name, bool, True, None) for name in _SWITCHES if name in own}


def _value(label: str, field: Field, word: str) -> Any:
    """A word as a value of the field's type."""
    readers: dict[Any, Callable[[str], Any]] = {bool: _boolean, int: int, float: float}
    try:
        value = readers.get(field.type, str)(word)
    except ValueError:
        expected = {bool: "yes or no", int: "a whole number", float: "a number"}[field.type]
        raise UsageError(f"{label} must be {expected}, not {word!r}") from None
    options.check_value(field, value)
    return value


def _boolean(word: str) -> bool:
    values = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    try:
        return values[word.lower()]
    except KeyError:
        raise ValueError(word) from None


def _default_reader(kind: str) -> str:
    defaults = {"ade20k": "challenge", "coco": "cocostuff", "depth": "depth", "normal": "diode", "openpose": "json"}
    return defaults.get(kind, "maps")


def _suffixes(kind: str, what: str) -> frozenset[str]:
    """The suffixes of files of a kind; of their names, what tools add to those of the images belongs to them."""
    if kind == "openpose":
        return JSON_SUFFIXES | {"_keypoints.json"}
    if kind == "depth" or what == "depth":
        return DEPTH_SUFFIXES
    if kind == "normal":
        return DIODE_SUFFIXES if what == "diode" else NORMAL_MAP_SUFFIXES
    return label_suffixes(what) | ({"_seg.png"} if what == "full" else set())


def _reader(kind: str, what: str, words: Mapping[str, str]) -> Detector:
    """What reads the files of a kind. Raises UsageError for what it cannot be."""
    found = _readers(kind).get(what)
    if found is None:
        known = ", ".join([*_readers(kind), "maps"])
        raise UsageError(f"--from {kind}={what}: files of {kind} are {known}")
    cls, fixed = found
    settings = {**fixed, **_typed(kind, words, cls)}
    reader: Detector = cls(**settings)
    if kind == "normal" and what == "depth" and not {"focal", "fov"} & settings.keys():
        raise UsageError("normals from depth need the camera: --set normal.fov=DEGREES or --set normal.focal=PIXELS")
    return reader


def _readers(kind: str) -> dict[str, tuple[Any, dict[str, Any]]]:
    """What files of a kind may be → the detector that reads them, with its fixed settings."""
    if kind == "ade20k":
        from cn.detect.segmentation.detectors import Ade20kLabels

        return {layout: (Ade20kLabels, {"layout": layout}) for layout in ("challenge", "full", "ids", "colors")}
    if kind == "coco":
        from cn.detect.segmentation.detectors import CocoLabels

        return {layout: (CocoLabels, {"layout": layout}) for layout in ("cocostuff", "ids", "colors")}
    if kind == "openpose":
        from cn.detect.pose.json_detector import PoseFileDetector

        return {"json": (PoseFileDetector, {})}
    if kind == "depth":
        from cn.detect.surfaces.ground_truth import MeasuredDepth

        return {"depth": (MeasuredDepth, {})}
    if kind == "normal":
        from cn.detect.surfaces.ground_truth import DiodeNormals, MeasuredNormals
        from cn.detect.surfaces.normal_maps import NormalMaps

        maps = {word: (NormalMaps, {"convention": word}) for word in ("opengl", "directx", "camera")}
        return {"diode": (DiodeNormals, {}), "depth": (MeasuredNormals, {}), **maps}
    return {}
