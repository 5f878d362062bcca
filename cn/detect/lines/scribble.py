"""Scribbles (`scribble`): synthesized from soft edges, as released or with the paper's augmentations, or drawn by hand.

All maps are uint8 (h, w) of 0 and 255: white strokes on black.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, Detector, Images, WithoutNetwork, line_detection
from cn.detect.lines.hed import HedDetector
from cn.detect.lines.scribble_augmentation import augmented_scribble, random_augmentation
from cn.detect.lines.strokes import blur, thicken
from cn.detect.network import Network
from cn.detect.settings import ScribbleSettings
from cn.images import read_map

THRESHOLD, SIGMA = 127.0, 3.0
"""Of the released annotator: level of an edge after blurring, and the sigma of that blur in pixels."""

STROKE_SIGMA = 3.0
"""Of the released annotator: the sigma, in pixels, of the blur that gives strokes their width."""

RELEASED_SIDE = 512
"""The short side, in pixels, of the images that these are for."""

INK = 127
"""The released annotator treats pixels below this level in any channel as ink."""


def suppress_non_maxima(
    soft: NDArray[np.uint8], threshold: float = THRESHOLD, sigma: float = SIGMA
) -> NDArray[np.uint8]:
    """The center lines of soft edges (h, w): `nms` of annotator/hed/__init__.py.

    After a blur of `sigma`, a pixel is kept if it is above `threshold` and both its neighbors in one of four directions
    are not higher.
    """
    blurred = blur(soft, sigma)
    return np.where(_ridges(blurred) & (blurred > threshold), 255, 0).astype(np.uint8)


def scale_of(size: tuple[int, ...]) -> float:
    """The scale of soft edges that no network made, in an image of (height, width, …): in small ones they are thinner.

    The blur of the release would leave dots of them.
    """
    return min(1.0, min(size[:2]) / RELEASED_SIDE)


def released_scribble(soft: NDArray[np.uint8], scale: float = 1.0) -> NDArray[np.uint8]:
    """The scribble of a HED map (h, w) with the fixed settings of the release (gradio_fake_scribble2image.py).

    `scale` times its sigmas: below 1 for edges that are thinner than those of the release.
    """
    return thicken(suppress_non_maxima(soft, sigma=SIGMA * scale), STROKE_SIGMA * scale)


def scribble_from_drawing(image: NDArray[np.uint8], ink: int = INK) -> NDArray[np.uint8]:
    """A user's drawing (h, w, 3) RGB as a scribble (h, w): 255 where there is ink.

    On light paper, pixels below `ink` in any channel are ink (as released, gradio_scribble2image.py). On dark paper the
    image is inverted first. The median brightness decides which paper it is.
    """
    dark_paper = np.median(image.mean(axis=2)) < 127.5
    on_light = 255 - image if dark_paper else image
    return np.where(on_light.min(axis=2) < ink, 255, 0).astype(np.uint8)


def _ridges(x: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels (h, w) whose two neighbors in one of four directions are not higher, as published.

    An edge that runs exactly along one of those directions is kept in its full width.
    """
    import cv2

    row = np.zeros((3, 3), np.uint8)
    row[1] = 1
    diagonal = np.eye(3, dtype=np.uint8)
    ridges = np.zeros(x.shape, bool)
    for kernel in (row, row.T, diagonal, diagonal[::-1]):
        ridges |= cv2.dilate(x, np.ascontiguousarray(kernel)) == x
    return ridges


@dataclass(frozen=True)
class ScribbleDetector(ScribbleSettings, Detector):
    """Scribbles from soft edges: as released, or with a random augmentation for each image."""

    kind: ClassVar[str] = "scribble"
    soft: HedDetector = field(default_factory=HedDetector)

    @classmethod
    def create(cls, network: Network | None, **settings: Any) -> "ScribbleDetector":
        return cls(soft=HedDetector(network), **settings)

    @property
    def network(self) -> Network | None:  # type: ignore[override]
        return self.soft.network

    def info(self, key: str) -> ConditionInfo:
        settings: dict[str, Any] = {"method": self.soft.method}
        if self.random:
            settings |= {"seed": self.seed, "augmentation": random_augmentation(self.seed, key).record()}
        return self.condition_info(f"scribble from {self.soft.name}", settings)

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        edges = self.soft.maps(images)
        if not self.random:
            return [line_detection(released_scribble(soft, self._scale(soft)), "strokes") for soft in edges]
        augmentations = [random_augmentation(self.seed, key) for key in keys]
        return [
            line_detection(augmented_scribble(soft, augmentation), "strokes")
            for soft, augmentation in zip(edges, augmentations, strict=True)
        ]

    def _scale(self, soft: NDArray[np.uint8]) -> float:
        return 1.0 if self.network is not None else scale_of(soft.shape)


@dataclass(frozen=True)
class DrawingDetector(WithoutNetwork):
    """A user's own drawings as scribbles."""

    kind: ClassVar[str] = "scribble"
    from_drawings: ClassVar[bool] = True

    def read(self, path: str, part: int = 0) -> NDArray[Any]:
        # A drawing on a transparent background may be light or dark.
        return read_map(path, self.kind)

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info("drawing", {"method": "from-drawing", "ink": INK})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        return [line_detection(scribble_from_drawing(image), "strokes") for image in images]
