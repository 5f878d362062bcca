"""Scribbles (`scribble`): made from a soft edge map, as released or with the paper's augmentations, or a user's own.

All maps are uint8 (h, w) of 0 and 255: white strokes on black.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.detect.detector import Detection, Detector, Images, WithoutNetwork, line_detection
from cn.detect.lines.hed import HedDetector
from cn.detect.network import Network
from cn.detect.settings import ScribbleSettings

Morphology = Literal["none", "dilate", "erode", "open", "close"]

THRESHOLD, SIGMA = 127.0, 3.0
"""Of the released annotator: level of an edge after blurring, and the deviation of that blur in pixels."""

STROKE_SIGMA, STROKE_LEVEL = 3.0, 4
"""Strokes get their width by a blur, and become white where more than this many gray levels are left."""

INK = 127
"""The released annotator takes for ink what is darker than this in one of the channels."""

# The paper names the augmentations (§3.5) and gives no distributions. These keep strokes on every image with edges.
THRESHOLD_RANGE = (0.25, 0.75)
SIGMA_RANGE = (1.0, 4.0)
MOST_DROPPED = 0.6
THICK = 0.3
MORPHOLOGIES: tuple[Morphology, ...] = ("none", "dilate", "erode", "open", "close")
FAINTEST_PEAK = 48.0
"""A map whose strong edges are below this level after blurring is measured by this instead: noise is no edge."""

STRONG, FAINT = 80, 12.0
"""Strong edges are those of this percentile of all crests above this level: one lamp must not outshine an image."""


SHORTEST_STROKE = 16
"""Points that make a line a stroke; what is shorter is a dot."""

_AT_A_MEETING = 4
"""More points of lines than this in 3×3 are where lines meet."""


@dataclass(frozen=True)
class Augmentation:
    """How one scribble is made from a soft edge map; `random_augmentation` draws one for each picture."""

    threshold: float
    """Level above which an edge counts, as a share of the strong ones' after blurring."""
    sigma: float
    """Deviation of that blur, in pixels: how much detail goes."""
    thin: bool
    """Whether edges are thinned (non-maximum suppression) and drawn anew, or taken as wide as they are."""
    dropped: float
    """The share of all strokes, by length, that is left out."""
    morphology: Morphology
    steps: int
    """Pixels by which strokes are dilated or eroded."""
    stroke_sigma: float
    """Of the strokes that are drawn anew: their width is about four times this."""
    seed: int
    """Which strokes are left out follows from this."""

    def record(self) -> dict[str, Any]:
        """For the image's text."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in vars(self).items()}


def random_augmentation(seed: int, key: str) -> Augmentation:
    """The augmentation for the image called `key`: from seed and key alone, whatever the order and the company.

    Uniform: threshold in 0.25..0.75, sigma and stroke_sigma in 1..4, dropped in 0..0.6, steps 1 or 2, each of the five
    morphologies as likely; thinned in 7 of 10 pictures.
    """
    digest = hashlib.sha256(f"scribble:{seed}:{key}".encode("utf-8", "surrogateescape")).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    return Augmentation(
        threshold=float(rng.uniform(*THRESHOLD_RANGE)),
        sigma=float(rng.uniform(*SIGMA_RANGE)),
        thin=bool(rng.random() >= THICK),
        dropped=float(rng.uniform(0, MOST_DROPPED)),
        morphology=MORPHOLOGIES[int(rng.integers(len(MORPHOLOGIES)))],
        steps=int(rng.integers(1, 2, endpoint=True)),
        stroke_sigma=float(rng.uniform(*SIGMA_RANGE)),
        seed=int(rng.integers(2**31)),
    )


def ridges(soft: NDArray[np.uint8], threshold: float = THRESHOLD, sigma: float = SIGMA) -> NDArray[np.uint8]:
    """The center lines of soft edges (h, w): `nms` of annotator/hed/__init__.py.

    After a blur of `sigma`, a point counts above `threshold` where neither neighbor is higher in one of four
    directions.
    """
    blurred = _blurred(soft, sigma)
    return np.where(_is_ridge(blurred) & (blurred > threshold), 255, 0).astype(np.uint8)


def released(soft: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The scribble that the release makes of a HED map (h, w), with fixed settings (gradio_fake_scribble2image.py)."""
    return _drawn(ridges(soft), STROKE_SIGMA)


def augmented(soft: NDArray[np.uint8], augmentation: Augmentation) -> NDArray[np.uint8]:
    """A scribble from a soft edge map (h, w) of any detector: random threshold, masking, morphology, suppression."""
    import cv2

    blurred = _blurred(soft, augmentation.sigma)
    crests = _is_crest(blurred)
    seen = blurred[crests & (blurred > FAINT)]
    level = max(float(np.percentile(seen, STRONG)) if seen.size else 0.0, FAINTEST_PEAK)
    strong = blurred > augmentation.threshold * level
    lines = _without_dots(strong & crests)
    strokes = (lines if augmentation.thin else strong) & _kept(lines, augmentation.dropped, augmentation.seed)
    drawn = np.where(strokes, 255, 0).astype(np.uint8)
    if augmentation.thin:
        drawn = _drawn(drawn, augmentation.stroke_sigma)
    if augmentation.morphology == "none":
        return drawn
    operation = getattr(cv2, f"MORPH_{augmentation.morphology.upper()}")
    kernel = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.morphologyEx(drawn, operation, kernel, iterations=augmentation.steps), np.uint8)


def from_drawing(image: NDArray[np.uint8], ink: int = INK) -> NDArray[np.uint8]:
    """A user's drawing (h, w, 3) RGB as a scribble (h, w): 255 where there is ink.

    On light paper, ink is what is darker than `ink` in any channel (as released, gradio_scribble2image.py), on dark
    paper what is as far on the other side. What most of the image is, is the paper.
    """
    dark_paper = np.median(image.mean(axis=2)) < 127.5
    on_light = 255 - image if dark_paper else image
    return np.where(on_light.min(axis=2) < ink, 255, 0).astype(np.uint8)


def _blurred(soft: NDArray[np.uint8], sigma: float) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.GaussianBlur(soft.astype(np.float32), (0, 0), sigma), np.float32)


def _is_ridge(x: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where both neighbors across, above and below, or on a diagonal are no higher: as published.

    Of an edge that runs exactly along one of those directions, that is all of its width.
    """
    import cv2

    row = np.zeros((3, 3), np.uint8)
    row[1] = 1
    diagonal = np.eye(3, dtype=np.uint8)
    found = np.zeros(x.shape, bool)
    for kernel in (row, row.T, diagonal, diagonal[::-1]):
        found |= cv2.dilate(x, np.ascontiguousarray(kernel)) == x
    return found


def _is_crest(x: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a point is higher than both neighbors in the one of the four directions that is bent most."""
    height, width = x.shape
    padded = np.pad(x, 1, mode="reflect")
    found, bend = np.zeros(x.shape, bool), np.full(x.shape, -np.inf, np.float32)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        b = padded[1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width]
        here = (2 * x - a - b) / (dy * dy + dx * dx)
        found = np.where(here > bend, (x >= a) & (x > b), found)
        bend = np.maximum(bend, here)
    return found


def _drawn(strokes: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Thin strokes widened to about twice `sigma` on either side."""
    import cv2

    return np.where(cv2.GaussianBlur(strokes, (0, 0), sigma) > STROKE_LEVEL, 255, 0).astype(np.uint8)


def _kept(lines: NDArray[np.bool_], dropped: float, seed: int) -> NDArray[np.bool_]:
    """Where strokes stay when random ones, a share `dropped` of the length of all, are left out with what is near.

    Edges hang together in few large nets, so they are cut where lines meet. Pieces that are shorter than a stroke go
    with the stroke that is nearest to them.
    """
    import cv2

    neighbors = cv2.filter2D(lines.astype(np.uint8), cv2.CV_16S, np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT)
    labels, lengths = _pieces(lines & (neighbors <= _AT_A_MEETING))
    strokes = np.flatnonzero(lengths >= min(SHORTEST_STROKE, lengths.max(initial=0)))
    if not strokes.size:
        return np.ones(lines.shape, bool)
    order = np.random.default_rng(seed).permutation(strokes)
    gone = order[np.cumsum(lengths[order]) <= dropped * lengths[strokes].sum()]
    # Every point belongs to the stroke that is nearest to it.
    sources = np.isin(labels, strokes + 1)
    away = np.where(sources, 0, 1).astype(np.uint8)
    nearest = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1]
    owner = np.zeros(int(nearest.max()) + 1, np.int64)
    owner[nearest[sources]] = labels[sources]
    return ~np.isin(owner[nearest], gone + 1)


def _without_dots(lines: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Lines that are as long as a stroke, or all where none is."""
    labels, lengths = _pieces(lines)
    return np.isin(labels, np.flatnonzero(lengths >= min(SHORTEST_STROKE, lengths.max(initial=0))) + 1)


def _pieces(points: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What hangs together, numbered from 1 in a map of the same size, and of how many points each is."""
    import cv2

    count, labels = cv2.connectedComponents(points.astype(np.uint8), connectivity=8)
    return np.asarray(labels), np.bincount(labels.ravel(), minlength=count)[1:]


@dataclass(frozen=True)
class ScribbleDetector(ScribbleSettings, Detector):
    """Scribbles from soft edges: as released, or with the paper's augmentations, other ones for each picture."""

    kind: ClassVar[str] = "scribble"
    soft: HedDetector = field(default_factory=HedDetector)

    @classmethod
    def default(cls, network: Network | None) -> "ScribbleDetector":
        return cls(soft=HedDetector(network))

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
            return [line_detection(released(soft), "strokes") for soft in edges]
        chosen = [random_augmentation(self.seed, key) for key in keys]
        return [line_detection(augmented(soft, one), "strokes") for soft, one in zip(edges, chosen, strict=True)]


@dataclass(frozen=True)
class DrawingDetector(WithoutNetwork):
    """A user's own drawings as scribbles."""

    kind: ClassVar[str] = "scribble"

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info("drawing", {"method": "from-drawing", "ink": INK})

    def detect(self, images: Images, keys: Sequence[str]) -> list[Detection]:
        return [line_detection(from_drawing(image), "strokes") for image in images]
