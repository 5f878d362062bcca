"""The kinds beside Canny as detectors (`cn.detect.protocol`): straight lines, soft edges, scribbles, depth, line art.

Each describes what to do; a network is loaded in the process that uses it, and computes there in one thread, so that
the bytes of a map do not depend on how many processes share the work. Each map's text states its convention.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cn import conditions
from cn.conditions import ConditionInfo
from cn.detect import depth, lineart, lines, normal, scribble, soft_edge
from cn.detect.loading import Weights, by_size, one_thread
from cn.detect.methods import NETWORKS

if TYPE_CHECKING:
    from cn.detect.nets.midas_blocks import DepthNetwork

Images = Sequence[NDArray[np.uint8]]
Maps = list[NDArray[np.uint8]]

BGR = "camera-space normals, (n + 1) / 2 as BGR: blue left, green up, red towards the viewer"
WHITE, DARK = "white lines on black", "dark lines on white"


def _info(
    kind: str, detector: str, weights: Weights | None, params: Mapping[str, Any], convention: str | None = None
) -> ConditionInfo:
    stated = {**params, "convention": convention or conditions.get(kind).convention}
    return ConditionInfo(kind, detector, stated, weights.sha256 if weights else None)


@dataclass(frozen=True)
class HoughDetector:
    """Straight lines by M-LSD, or by OpenCV's detector where there are no weights."""

    weights: Weights | None = None
    score: float = lines.SCORE
    """M-LSD: least confidence of a line."""
    length: float | None = None
    """Shortest line; see `lines.decode` and `lines.lsd_lines` for the unit. None: the method's own."""
    batch: int = 1

    @property
    def kind(self) -> str:
        return "hough"

    @property
    def batch_size(self) -> int:
        return self.batch if self.weights else 1

    @property
    def shortest(self) -> float:
        return self.length if self.length is not None else lines.LENGTH if self.weights else lines.LSD_LENGTH

    def info(self, key: str) -> ConditionInfo:
        if self.weights is None:
            return _info("hough", "LSD (OpenCV)", None, {"method": "lsd", "length": self.shortest})
        settings = {"method": "mlsd", "score": self.score, "length": self.shortest}
        return _info("hough", NETWORKS[self.weights.network], self.weights, settings)

    def detect(self, images: Images, keys: Sequence[str]) -> Maps:
        if self.weights is None:
            found = [lines.lsd_lines(image, self.shortest) for image in images]
        else:
            network = self.weights.load()
            found = by_size(images, self.batch, lambda n: lines.mlsd_lines(network, n, self.score, self.shortest))
        return [lines.draw_lines(some, image.shape[:2]) for some, image in zip(found, images, strict=True)]


@dataclass(frozen=True)
class HedDetector:
    """Soft edges by HED or TIN, as the weights are, or by gradients where there are no weights."""

    weights: Weights | None = None
    batch: int = 1

    @property
    def kind(self) -> str:
        return "hed"

    @property
    def batch_size(self) -> int:
        return self.batch if self.weights else 1

    @property
    def name(self) -> str:
        return NETWORKS[self.weights.network] if self.weights else "gradients at three scales"

    @property
    def method(self) -> str:
        if self.weights is None:
            return "gradient"
        return "tin" if self.weights.network == "TIN" else "hed"

    def info(self, key: str) -> ConditionInfo:
        return _info("hed", self.name, self.weights, {"method": self.method})

    def detect(self, images: Images, keys: Sequence[str]) -> Maps:
        if self.weights is None:
            return [soft_edge.gradient_soft_edge(image) for image in images]
        network = self.weights.load()
        return by_size(images, self.batch, lambda n: soft_edge.soft_edges(network, n))


@dataclass(frozen=True)
class ScribbleDetector:
    """Scribbles from soft edges: as released, or with the paper's augmentations, other ones for each picture."""

    soft: HedDetector = field(default_factory=HedDetector)
    random: bool = False
    seed: int = 0

    @property
    def kind(self) -> str:
        return "scribble"

    @property
    def batch_size(self) -> int:
        return self.soft.batch_size

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"method": self.soft.method}
        if self.random:
            settings |= {"seed": self.seed, "augmentation": scribble.random_augmentation(self.seed, key).record()}
        return _info("scribble", f"scribble from {self.soft.name}", self.soft.weights, settings)

    def detect(self, images: Images, keys: Sequence[str]) -> Maps:
        edges = self.soft.detect(images, keys)
        if not self.random:
            return [scribble.released(soft) for soft in edges]
        chosen = [scribble.random_augmentation(self.seed, key) for key in keys]
        return [scribble.augmented(soft, one) for soft, one in zip(edges, chosen, strict=True)]


@dataclass(frozen=True)
class DrawingDetector:
    """A user's own drawings as scribbles."""

    @property
    def kind(self) -> str:
        return "scribble"

    @property
    def batch_size(self) -> int:
        return 1

    def info(self, key: str) -> ConditionInfo:
        return _info("scribble", "drawing", None, {"method": "from-drawing", "ink": scribble.INK})

    def detect(self, images: Images, keys: Sequence[str]) -> Maps:
        return [scribble.from_drawing(image) for image in images]


@dataclass(frozen=True)
class DepthDetector:
    """Inverse depth by MiDaS, near = white."""

    weights: Weights
    batch: int = 1

    @property
    def kind(self) -> str:
        return "depth"

    @property
    def batch_size(self) -> int:
        return self.batch

    def info(self, key: str) -> ConditionInfo:
        return _info("depth", NETWORKS[self.weights.network], self.weights, {})

    def detect(self, images: Images, keys: Sequence[str]) -> Maps:
        network = cast("DepthNetwork", self.weights.load())
        with one_thread():
            return depth.depth_maps(network, images, batch=self.batch)


@dataclass(frozen=True)
class NormalDetector:
    """Normals from MiDaS's inverse depth, RGB, or BGR as the released v1.0 control expects them."""

    weights: Weights
    strength: float = normal.STRENGTH
    background: float = normal.BACKGROUND
    bgr: bool = False
    batch: int = 1

    @property
    def kind(self) -> str:
        return "normal"

    @property
    def batch_size(self) -> int:
        return self.batch

    def info(self, key: str) -> ConditionInfo:
        settings = {"strength": round(self.strength, 6), "background": self.background, "bgr": self.bgr}
        name = f"normals from {NETWORKS[self.weights.network]}"
        return _info("normal", name, self.weights, settings, BGR if self.bgr else None)

    def detect(self, images: Images, keys: Sequence[str]) -> Maps:
        network = cast("DepthNetwork", self.weights.load())
        strength, background = self.strength, self.background
        with one_thread():
            made = normal.normal_maps(network, images, batch=self.batch, strength=strength, background=background)
        return [normal.reversed_channels(one) for one in made] if self.bgr else made


@dataclass(frozen=True)
class LineartDetector:
    """Line drawings by Anime2Sketch, or by what is darker than its surroundings where there are no weights."""

    weights: Weights | None = None
    invert: bool = False
    batch: int = 1

    @property
    def kind(self) -> str:
        return "lineart"

    @property
    def batch_size(self) -> int:
        return self.batch if self.weights else 1

    def info(self, key: str) -> ConditionInfo:
        name = NETWORKS[self.weights.network] if self.weights else "darker than its surroundings"
        settings = {"method": "anime2sketch" if self.weights else "standard", "invert": self.invert}
        return _info("lineart", name, self.weights, settings, DARK if self.invert else WHITE)

    def detect(self, images: Images, keys: Sequence[str]) -> Maps:
        if self.weights is None:
            return [lineart.standard_lineart(image, invert=self.invert) for image in images]
        network = self.weights.load()
        return by_size(images, self.batch, lambda n: lineart.sketches(network, n, invert=self.invert))
