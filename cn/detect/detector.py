"""What every detector is, so that folders can be worked through without knowing which one it is; what many need."""

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
    """What was made of one image."""

    map: NDArray[np.uint8]
    """uint8 (h, w) or (h, w, 3) RGB, of the image's size."""
    found: Mapping[str, Any] = field(default_factory=dict)
    """What it shows, in numbers, for `--json`: shares are 0..1."""
    empty: bool = False
    """Whether nothing was found, so that the map says nothing."""
    beside: bytes | NDArray[np.uint8] | None = None
    """What goes into a file of its own where that is asked for: text, or a gray image (h, w)."""
    doubt: str | None = None
    """What may be wrong with it, since the image does not say."""


class Detector(ABC):
    """Images in, condition maps out.

    A detector is a small picklable description (a frozen dataclass): worker processes get a copy, and a network is
    loaded when it is first used.
    """

    kind: ClassVar[str]
    """A kind of `cn.conditions`."""
    endings: ClassVar[frozenset[str]] = images.SUFFIXES
    """What the names of the files that it reads end with, in lower case."""
    from_photographs: ClassVar[bool] = True
    """Whether `--resolution` is for the image that is looked at; else (labels, measurements) for the finished map."""
    beside: ClassVar[str | None] = None
    """The ending of the files that `Detection.beside` goes into; None for kinds that have no such."""
    network: "Network | None"
    """What computes the maps, where a network does."""

    @classmethod
    def default(cls, network: "Network | None") -> "Detector":
        """The detector with its default settings and this network; None for its method without weights."""
        return cls(network)  # type: ignore[call-arg]

    @property
    def batch_size(self) -> int:
        """How many images a call should get."""
        return self.network.batch if self.network else 1

    @property
    def in_threads(self) -> bool:
        """Whether all workers are threads of one process, since they share something large; else processes."""
        return self.network is not None

    def parts(self, path: str) -> Sequence[str]:
        """The images that a file tells of, each of which gets a map: their names, where there are several."""
        return ("",)

    def read(self, path: str, part: int = 0) -> NDArray[Any]:
        """What `detect` takes, from a file ("-": standard input). Raises InputError, naming the file."""
        return images.read(path)

    def resized(self, image: Any, short_side: int) -> Any:
        """What was read, at another size, where it is resized before detecting (`from_photographs`)."""
        return images.resize_short_side(image, short_side)

    @abstractmethod
    def info(self, key: str) -> ConditionInfo:
        """What is written into the PNG made from the image that is called `key`."""

    @abstractmethod
    def detect(self, images: Sequence[NDArray[Any]], keys: Sequence[str]) -> list[Detection]:
        """A detection for each image (h, w, 3) RGB.

        `keys` name the images (relative paths with "/"): whatever is random depends on the key and the detector's seed
        only, never on the order or the company. Raises InputError for an image in which nothing can be detected.
        """

    def stated(self, detector: str, params: Mapping[str, Any], convention: str | None = None) -> ConditionInfo:
        """The `info` of a detector of this name: with its convention, and how its network ran where that matters."""
        said = {**params, "convention": convention or conditions.get(self.kind).convention}
        if self.network is not None and self.network.precision != "fp32":
            said["precision"] = self.network.precision
        return ConditionInfo(self.kind, detector, said, self.network.sha256 if self.network else None)


class WithoutNetwork(Detector):
    """A detector that needs no network."""

    network: None = None

    @classmethod
    def default(cls, network: "Network | None") -> "Detector":
        return cls()


def detector_class(kind: str) -> type[Detector]:
    """The class that makes the maps of a kind from photographs (`cn.detect.registry`)."""
    module, _, name = registry.kind_spec(kind).detector.rpartition(".")
    found: type[Detector] = getattr(importlib.import_module(f"cn.detect.{module}"), name)
    return found


def share(where: NDArray[np.bool_]) -> float:
    """How much of a map `where` holds, 0..1, with four digits."""
    return round(float(np.count_nonzero(where)) / max(where.size, 1), 4)


def drawn(lines: NDArray[np.uint8], name: str, shown: NDArray[np.uint8] | None = None) -> Detection:
    """The detection of a map (h, w) of white lines on black, or of `shown` in its place.

    `name` is what is counted: pixels that are at least half white. Where there is none, nothing was found.
    """
    found = share(lines >= 128)
    return Detection(lines if shown is None else shown, {name: found}, empty=not (lines >= 128).any())


def by_size(
    images: Sequence[NDArray[Any]],
    batch: int,
    function: Callable[[NDArray[Any]], Iterable[Any]],
) -> list[Any]:
    """What `function` makes of stacks (n ≤ batch, h, w, 3) of the images that have one size, in their first order."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault(image.shape, []).append(number)
    made: dict[int, Any] = {}
    for numbers in groups.values():
        for start in range(0, len(numbers), batch):
            together = numbers[start : start + batch]
            made |= zip(together, function(np.stack([images[n] for n in together])), strict=True)
    return [made[number] for number in range(len(images))]
