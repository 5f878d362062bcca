"""The interface of detectors, so that folders can be processed with any of them, and helpers that several share."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cn import conditions, images
from cn.conditions import ConditionInfo
from cn.detect import registry

if TYPE_CHECKING:
    from cn.detect.network import Network

Images = Sequence[NDArray[np.uint8]]
"""(h, w, 3) RGB each, of any sizes."""

Maps = list[NDArray[np.uint8]]
"""(h, w) each, of the sizes of the images."""


@dataclass(frozen=True)
class Detection:
    """The result for one image."""

    map: NDArray[np.uint8]
    """uint8 (h, w) or (h, w, 3) RGB, of the image's size."""
    found: Mapping[str, Any] = field(default_factory=dict)
    """What the map shows, in numbers, for `--json`; fractions are 0..1."""
    empty: bool = False
    """Whether nothing was found, so that the map is blank."""
    sidecar: bytes | NDArray[np.uint8] | None = None
    """The content of the sidecar file, written on request: text, or a gray image (h, w)."""
    warning: str | None = None
    """What may be wrong with the map."""
    general_warnings: tuple[str, ...] = ()
    """The same without what holds for this image only: warnings of many images are shown once each, counted."""


class Detector(ABC):
    """Images in, condition maps out.

    A detector is a small picklable description (a frozen dataclass): worker processes get a copy, and a network is
    loaded when it is first used.
    """

    kind: ClassVar[str]
    """A kind of `cn.conditions`."""
    suffixes: ClassVar[frozenset[str]] = images.SUFFIXES
    """The suffixes of the files that it reads, in lower case."""
    from_photographs: ClassVar[bool] = True
    """Whether `--resolution` resizes the input image; else (labels, measurements) it resizes the finished map."""
    from_drawings: ClassVar[bool] = False
    """Whether the images are drawings, so that lines and flat colors are what is expected of them."""
    sidecar_suffix: ClassVar[str | None] = None
    """The suffix of the files for `Detection.sidecar`; None for detectors that have none."""
    network: "Network | None"
    """What computes the maps, where a network does."""

    @classmethod
    def create(cls, network: "Network | None", **settings: Any) -> "Detector":
        """The detector with this network; None for its method without weights. TypeError for unknown settings."""
        return cls(network=network, **settings)  # type: ignore[call-arg]

    @property
    def batch_size(self) -> int:
        """How many images `detect` should get at once."""
        return self.network.batch_size if self.network else 1

    @property
    def uses_threads(self) -> bool:
        """Whether workers are threads of one process, because they share something large; else processes."""
        return self.network is not None

    def parts(self, path: str) -> Sequence[str]:
        """The names of the images that a file describes, each of which gets a map; ("",) for a single one."""
        return ("",)

    def read(self, path: str, part: int = 0) -> NDArray[Any]:
        """What `detect` takes, from a file ("-": standard input). Raises InputError, naming the file."""
        return images.read(path)

    def resized(self, image: Any, short_side: int) -> Any:
        """What was read, resized for detecting; called where `from_photographs`."""
        return images.resize_short_side(image, short_side)

    def resized_map(self, made: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        """A finished map at `size` = (height, width); called unless `from_photographs`."""
        return images.resize(made, size, conditions.get(self.kind).geometry)

    def usual_order(self, made: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A map with its channels in the usual order, as checks expect it."""
        return made

    @abstractmethod
    def info(self, key: str) -> ConditionInfo:
        """The description that is written into the PNG of the image called `key`."""

    @abstractmethod
    def detect(self, images: Sequence[NDArray[Any]], keys: Sequence[str]) -> list[Detection]:
        """A detection for each image (h, w, 3) RGB.

        `keys` name the images (relative paths with "/"): random choices depend on the key and the detector's seed
        only, never on the order or the batch composition. Raises InputError for an image that cannot be processed.
        """

    def condition_info(self, detector: str, params: Mapping[str, Any], convention: str | None = None) -> ConditionInfo:
        """The `info` of a detector of this name, with its convention and, where it is not fp32, the precision."""
        complete = {**params, "convention": convention or conditions.get(self.kind).convention}
        if self.network is not None and self.network.precision != "fp32":
            complete["precision"] = self.network.precision
        return ConditionInfo(self.kind, detector, complete, self.network.sha256 if self.network else None)


@dataclass(frozen=True)
class NetworkDetector(Detector):
    """A detector that needs a network."""

    network: "Network"


@dataclass(frozen=True)
class OptionalNetworkDetector(Detector):
    """A detector that has another method for when there is no network."""

    network: "Network | None" = None


class WithoutNetwork(Detector):
    """A detector that needs no network."""

    network: None = None

    @classmethod
    def create(cls, network: "Network | None", **settings: Any) -> "Detector":
        return cls(**settings)


def detector_class(kind: str) -> type[Detector]:
    """The class that makes the maps of a kind from photographs (`cn.detect.registry`)."""
    module, _, name = registry.kind_spec(kind).detector.rpartition(".")
    found: type[Detector] = getattr(importlib.import_module(f"cn.detect.{module}"), name)
    return found


def fraction(mask: NDArray[np.bool_]) -> float:
    """The fraction of a mask that is true, 0..1, rounded to four digits."""
    return round(float(np.count_nonzero(mask)) / max(mask.size, 1), 4)


def line_detection(lines: NDArray[np.uint8], name: str, shown: NDArray[np.uint8] | None = None) -> Detection:
    """The detection of a map (h, w) of white lines on black, or of `shown` in its place.

    `name` is what `found` calls the fraction of pixels that are at least half white. Where there are none, nothing
    was found.
    """
    white = lines >= 128
    return Detection(lines if shown is None else shown, {name: fraction(white)}, empty=not white.any())


def batch_by_size(
    images: Sequence[NDArray[Any]],
    batch: int,
    function: Callable[[NDArray[Any]], Iterable[Any]],
) -> list[Any]:
    """The results of `function` for each image, in order.

    `function` gets stacks (n ≤ batch, h, w, 3) of images of the same size and gives n results.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault(image.shape, []).append(number)
    results: dict[int, Any] = {}
    for numbers in groups.values():
        for start in range(0, len(numbers), batch):
            stack = numbers[start : start + batch]
            results |= zip(stack, function(np.stack([images[n] for n in stack])), strict=True)
    return [results[number] for number in range(len(images))]
