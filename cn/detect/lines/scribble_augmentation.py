"""The paper's augmentation of scribbles (§3.5): random thresholds, masking, morphology and non-maximum suppression.

All maps are uint8 (h, w) of 0 and 255: white strokes on black.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cn.detect.lines.strokes import blur, connected_components, thicken

Morphology = Literal["none", "dilate", "erode", "open", "close"]

# The paper names the augmentations without distributions. These keep strokes on every image with edges.
THRESHOLD_RANGE = (0.25, 0.75)
SIGMA_RANGE = (1.0, 4.0)
MAX_DROPPED = 0.6
THICK_PROBABILITY = 0.3
MORPHOLOGIES: tuple[Morphology, ...] = ("none", "dilate", "erode", "open", "close")

STRONG_PERCENTILE, MIN_CREST = 80, 12.0
"""The level of strong edges is this percentile of all crests above this level, so one bright lamp does not set it."""

MIN_STRONG = 48.0
"""Lower limit of that level: in a map without strong edges, noise is not an edge."""

MIN_STROKE = 16
"""Number of pixels that make a line a stroke; shorter lines are dots."""

MIN_STROKE_SIGMA = 0.8
"""Strokes of smaller images have at least this width: about three pixels."""

_JUNCTION = 4
"""More line pixels than this in 3×3 are a junction."""


@dataclass(frozen=True)
class Augmentation:
    """How one scribble is made from a soft edge map; `random_augmentation` samples one for each image."""

    threshold: float
    """Level above which an edge counts, as a fraction of the level of strong edges after blurring."""
    sigma: float
    """Standard deviation of that blur, in pixels: larger values remove more detail."""
    thin: bool
    """Whether edges are thinned (non-maximum suppression) and redrawn, or keep their width."""
    dropped: float
    """The fraction of all strokes, by length, that is dropped."""
    morphology: Morphology
    steps: int
    """Pixels by which strokes are dilated or eroded."""
    stroke_sigma: float
    """For redrawn strokes: their width is about four times this."""
    seed: int
    """Seed for the choice of strokes that are dropped."""

    def scaled(self, factor: float) -> "Augmentation":
        """The same for edges `factor` times as wide, up to 1. Below 1 strokes stay wide enough to be eroded."""
        if factor >= 1:
            return self
        stroke_sigma = max(self.stroke_sigma * factor, MIN_STROKE_SIGMA)
        return replace(self, sigma=self.sigma * factor, stroke_sigma=stroke_sigma, steps=1)

    def record(self) -> dict[str, Any]:
        """The parameters, for the text of the PNG."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in vars(self).items()}


def random_augmentation(seed: int, key: str) -> Augmentation:
    """The augmentation for the image called `key`; depends on seed and key only.

    Uniform distributions: threshold in 0.25..0.75, sigma and stroke_sigma in 1..4, dropped in 0..0.6, steps 1 or 2, the
    five morphologies with equal probability. 7 of 10 images are thinned.
    """
    digest = hashlib.sha256(f"scribble:{seed}:{key}".encode("utf-8", "surrogateescape")).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    return Augmentation(
        threshold=float(rng.uniform(*THRESHOLD_RANGE)),
        sigma=float(rng.uniform(*SIGMA_RANGE)),
        thin=bool(rng.random() >= THICK_PROBABILITY),
        dropped=float(rng.uniform(0, MAX_DROPPED)),
        morphology=MORPHOLOGIES[int(rng.integers(len(MORPHOLOGIES)))],
        steps=int(rng.integers(1, 2, endpoint=True)),
        stroke_sigma=float(rng.uniform(*SIGMA_RANGE)),
        seed=int(rng.integers(2**31)),
    )


def augmented_scribble(soft: NDArray[np.uint8], augmentation: Augmentation) -> NDArray[np.uint8]:
    """A scribble from a soft edge map (h, w) of any detector, with these parameters."""
    import cv2

    blurred = blur(soft, augmentation.sigma)
    crests = _crests(blurred)
    heights = blurred[crests & (blurred > MIN_CREST)]
    level = max(float(np.percentile(heights, STRONG_PERCENTILE)) if heights.size else 0.0, MIN_STRONG)
    strong = blurred > augmentation.threshold * level
    lines = _without_dots(strong & crests)
    strokes = (lines if augmentation.thin else strong) & _keep_mask(lines, augmentation.dropped, augmentation.seed)
    scribble = np.where(strokes, 255, 0).astype(np.uint8)
    if augmentation.thin:
        scribble = thicken(scribble, augmentation.stroke_sigma)
    if augmentation.morphology == "none":
        return scribble
    operation = getattr(cv2, f"MORPH_{augmentation.morphology.upper()}")
    kernel = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.morphologyEx(scribble, operation, kernel, iterations=augmentation.steps), np.uint8)


def _crests(x: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels that are higher than both neighbors in the direction, of four, with the strongest curvature: (h, w)."""
    height, width = x.shape
    padded = np.pad(x, 1, mode="reflect")
    crests, strongest = np.zeros(x.shape, bool), np.full(x.shape, -np.inf, np.float32)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        b = padded[1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width]
        curvature = (2 * x - a - b) / (dy * dy + dx * dx)
        crests = np.where(curvature > strongest, (x >= a) & (x > b), crests)
        strongest = np.maximum(strongest, curvature)
    return crests


def _keep_mask(lines: NDArray[np.bool_], dropped: float, seed: int) -> NDArray[np.bool_]:
    """Mask (h, w) that removes random strokes, and all that is near them, up to a fraction `dropped` of the length.

    Edges form few large connected networks, so they are cut at junctions. Pieces shorter than a stroke go with the
    nearest stroke.
    """
    import cv2

    neighbors = cv2.filter2D(lines.astype(np.uint8), cv2.CV_16S, np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT)
    labels, lengths = connected_components(lines & (neighbors <= _JUNCTION))
    strokes = np.flatnonzero(lengths >= min(MIN_STROKE, lengths.max(initial=0)))
    if not strokes.size:
        return np.ones(lines.shape, bool)
    order = np.random.default_rng(seed).permutation(strokes)
    removed = order[np.cumsum(lengths[order]) <= dropped * lengths[strokes].sum()]
    # Each pixel belongs to its nearest stroke.
    sources = np.isin(labels, strokes + 1)
    away = np.where(sources, 0, 1).astype(np.uint8)
    nearest = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1]
    owner = np.zeros(int(nearest.max()) + 1, np.int64)
    owner[nearest[sources]] = labels[sources]
    return ~np.isin(owner[nearest], removed + 1)


def _without_dots(lines: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Lines that are at least as long as a stroke; all lines if there is no stroke."""
    labels, lengths = connected_components(lines)
    return np.isin(labels, np.flatnonzero(lengths >= min(MIN_STROKE, lengths.max(initial=0))) + 1)
