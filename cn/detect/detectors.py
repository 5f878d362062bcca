"""The kinds beside Canny as detectors (`cn.detect.protocol`): straight lines, soft edges, scribbles, depth, line art.

Each map's text states its convention, and each detection says in numbers what was found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect import depth, depthmap, lineart, lines, normal, scribble, soft_edge
from cn.detect.loading import Network
from cn.detect.methods import NETWORKS
from cn.detect.protocol import Detection, Detector, WithoutNetwork, by_size, drawn, share

if TYPE_CHECKING:
    from cn.detect.nets.midas_blocks import DepthNetwork

Images = Sequence[NDArray[np.uint8]]
Maps = list[NDArray[np.uint8]]

BGR = "camera-space normals, (n + 1) / 2 as BGR: blue left, green up, red towards the viewer"
WHITE, DARK = "white lines on black", "dark lines on white"


@dataclass(frozen=True)
class HoughDetector(Detector):
    """Straight lines by M-LSD, or by OpenCV's detector where there is no network."""

    kind: ClassVar[str] = "hough"
    network: Network | None = None
    score: float = lines.SCORE
    """M-LSD: least confidence of a line."""
    length: float | None = None
    """Shortest line; see `lines.decode` and `lines.lsd_lines` for the unit. None: the method's own."""

    @property
    def shortest(self) -> float:
        return self.length if self.length is not None else lines.LENGTH if self.network else lines.LSD_LENGTH

    def info(self, key: str) -> ConditionInfo:
        if self.network is None:
            return self.stated("LSD (OpenCV)", {"method": "lsd", "length": self.shortest})
        settings = {"method": "mlsd", "score": self.score, "length": self.shortest}
        return self.stated(NETWORKS[self.network.name], settings)

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        if self.network is None:
            found = [lines.lsd_lines(image, self.shortest) for image in images]
        else:
            net = self.network.ready()
            found = by_size(images, self.batch_size, lambda n: lines.mlsd_lines(net, n, self.score, self.shortest))
        return [
            Detection(lines.draw_lines(some, image.shape[:2]), {"lines": len(some)}, empty=not len(some))
            for some, image in zip(found, images, strict=True)
        ]


@dataclass(frozen=True)
class HedDetector(Detector):
    """Soft edges by HED or TIN, as the weights are, or by gradients where there is no network."""

    kind: ClassVar[str] = "hed"
    network: Network | None = None
    safe: bool = False
    """Whether maps get the few levels that ControlNet 1.1's "safe" ones have (`soft_edge.safe`)."""

    @property
    def name(self) -> str:
        return NETWORKS[self.network.name] if self.network else "gradients at three scales"

    @property
    def method(self) -> str:
        if self.network is None:
            return "gradient"
        return "tin" if self.network.name == "TIN" else "hed"

    def info(self, key: str) -> ConditionInfo:
        return self.stated(self.name, {"method": self.method} | ({"safe": True} if self.safe else {}))

    def maps(self, images: Images) -> Maps:
        """Soft edges, uint8 (h, w), of each picture."""
        if self.network is None:
            made = [soft_edge.gradient_soft_edge(image) for image in images]
        else:
            net = self.network.ready()
            made = by_size(images, self.batch_size, lambda n: soft_edge.soft_edges(net, n))
        return [soft_edge.safe(one) for one in made] if self.safe else made

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        return [drawn(one, "edges") for one in self.maps(images)]


@dataclass(frozen=True)
class ScribbleDetector(Detector):
    """Scribbles from soft edges: as released, or with the paper's augmentations, other ones for each picture."""

    kind: ClassVar[str] = "scribble"
    soft: HedDetector = field(default_factory=HedDetector)
    random: bool = False
    seed: int = 0

    @property
    def network(self) -> Network | None:  # type: ignore[override]
        return self.soft.network

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"method": self.soft.method}
        if self.random:
            settings |= {"seed": self.seed, "augmentation": scribble.random_augmentation(self.seed, key).record()}
        return self.stated(f"scribble from {self.soft.name}", settings)

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        edges = self.soft.maps(images)
        if not self.random:
            return [drawn(scribble.released(soft), "strokes") for soft in edges]
        chosen = [scribble.random_augmentation(self.seed, key) for key in keys]
        return [drawn(scribble.augmented(soft, one), "strokes") for soft, one in zip(edges, chosen, strict=True)]


@dataclass(frozen=True)
class DrawingDetector(WithoutNetwork):
    """A user's own drawings as scribbles."""

    kind: ClassVar[str] = "scribble"

    def info(self, key: str) -> ConditionInfo:
        return self.stated("drawing", {"method": "from-drawing", "ink": scribble.INK})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        return [drawn(scribble.from_drawing(image), "strokes") for image in images]


@dataclass(frozen=True)
class DepthDetector(Detector):
    """Inverse depth by MiDaS, near = white."""

    kind: ClassVar[str] = "depth"
    network: Network
    way: depth.Way | None = None
    """How pictures are fed to the network (`depth.preparation`)."""

    def info(self, key: str) -> ConditionInfo:
        return self.stated(NETWORKS[self.network.name], {"prepared": self.way} if self.way else {})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        found = _inverse_depth(self.network, images, self.way)
        return [
            Detection(depth.depth_map(inverse, image.shape[:2]), _range(inverse))
            for inverse, image in zip(found, images, strict=True)
        ]


@dataclass(frozen=True)
class NormalDetector(Detector):
    """Normals from MiDaS's inverse depth, RGB, or BGR as the released v1.0 control expects them."""

    kind: ClassVar[str] = "normal"
    network: Network
    strength: float = normal.STRENGTH
    background: float = normal.BACKGROUND
    bgr: bool = False
    way: depth.Way | None = None

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"strength": round(self.strength, 6), "background": self.background}
        settings |= {"bgr": self.bgr} | ({"prepared": self.way} if self.way else {})
        return self.stated(f"normals from {NETWORKS[self.network.name]}", settings, BGR if self.bgr else None)

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        detections = []
        for inverse, image in zip(_inverse_depth(self.network, images, self.way), images, strict=True):
            size = image.shape[:2]
            made = normal.normal_from_depth(inverse, size, strength=self.strength, background=self.background)
            flat = share((made == depthmap.FLAT).all(axis=2))
            shown = normal.reversed_channels(made) if self.bgr else made
            detections.append(Detection(shown, {"flat": flat} | _range(inverse)))
        return detections


@dataclass(frozen=True)
class LineartDetector(Detector):
    """Line drawings by Anime2Sketch, or by what is darker than its surroundings where there is no network."""

    kind: ClassVar[str] = "lineart"
    network: Network | None = None
    invert: bool = False

    def info(self, key: str) -> ConditionInfo:
        name = NETWORKS[self.network.name] if self.network else "darker than its surroundings"
        settings = {"method": "anime2sketch" if self.network else "standard", "invert": self.invert}
        return self.stated(name, settings, DARK if self.invert else WHITE)

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        if self.network is None:
            made = [lineart.standard_lineart(image) for image in images]
        else:
            net = self.network.ready()
            made = by_size(images, self.batch_size, lambda n: lineart.sketches(net, n))
        return [drawn(one, "lines", 255 - one if self.invert else one) for one in made]


def _inverse_depth(network: Network, images: Images, way: depth.Way | None) -> list[NDArray[np.float32]]:
    net = cast("DepthNetwork", network.ready())
    return depth.inverse_depth(net, images, depth.preparation(net, way), batch=network.batch)


def _range(inverse: NDArray[np.floating]) -> dict[str, float]:
    """What a depth network saw, in the unit of its own: two pictures' maps are both stretched to 0..255."""
    known = depth.settle(inverse)
    return {"nearest": round(float(known.max()), 4), "farthest": round(float(known.min()), 4)}
