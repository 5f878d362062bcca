"""Straight lines of a view (`hough`): edges of its surfaces, and clear straight edges of its image, by OpenCV's LSD."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.data.scene_maps.boundaries import Boundaries
from cn.detect.lines.hough import draw_lines, lsd_lines
from cn.detect.settings import LSD_LENGTH

if TYPE_CHECKING:
    from cn.scenes.render import View

Lines = NDArray[np.float64]
"""(n, 4): x and y of one end, x and y of the other, in pixels."""

SAMPLES = 16
"""How many points of a line are looked at."""

NEAR = 2.0
"""Pixels within which a point of a line is on a boundary, or on another line."""

ON_BOUNDARY, SAME = 0.8, 0.6
"""Share of a line's points that are on a boundary if it is an edge of a surface, and on another one if it is that."""

MAX_BOW = 0.45
"""How far, in pixels, the middle of an edge may be from the line between its ends: more is an arc."""

REACH, STRENGTH_SIGMA = 2, 0.8
"""How far to the sides of a line its edge is looked for, in pixels, and the blur of the edges' strength before."""

_ALONG = np.linspace(0.06, 0.94, SAMPLES)
_PARABOLA = np.linalg.pinv(np.stack([np.ones(SAMPLES), _ALONG, 4 * _ALONG * (1 - _ALONG)], axis=1))[2]
"""Least squares weights for the height in the middle of a parabola through offsets along a line."""

LIGHT = np.array([0.55, 0.35, 0.6], np.float32)
"""A direction to which the sides of a box have different angles."""


@dataclass(frozen=True)
class StraightLines:
    """Which straight lines of a view are drawn. The defaults are those of maps without random choices."""

    length: float = LSD_LENGTH
    """Shorter lines, as a share of the shorter side, are left out."""
    patterns: float = 1.0
    """Share of the straight edges in the image that are no edges of surfaces: of planks, tiles, shadows."""
    dropped: float = 0.0
    """Share of all lines that are missed."""
    seed: int = 0
    """Seed for the choice of these."""

    @classmethod
    def random(cls, rng: np.random.Generator) -> "StraightLines":
        """Uniform within what detectors find in photographs."""
        return cls(
            length=float(rng.uniform(0.04, 0.12)),
            patterns=float(rng.uniform(0, 1)),
            dropped=float(rng.uniform(0, 0.3)),
            seed=int(rng.integers(2**31)),
        )

    def record(self) -> dict[str, Any]:
        """The parameters, for the text of the PNG."""
        return {name: round(value, 4) for name, value in vars(self).items()}


def straight_lines(view: "View", boundaries: Boundaries, drawn: StraightLines = StraightLines()) -> Lines:
    """The lines of a view, for `cn.detect.lines.hough.draw_lines`.

    Those that LSD finds in the image, and those that it finds in the labels where the image shows no contrast. Curved
    outlines are no straight lines, though LSD finds pieces of them.
    """
    rng = np.random.default_rng(drawn.seed)
    exact = np.maximum(boundaries.occlusions, boundaries.creases)
    strength = np.maximum(exact, boundaries.contrast)
    image, labels = (
        found[_bows(found, strength) <= MAX_BOW]
        for found in (lsd_lines(view.rgb, drawn.length), lsd_lines(shaded_labels(view), drawn.length))
    )
    of_surfaces = _share_near(image, exact > 0.5) >= ON_BOUNDARY
    image = image[of_surfaces | (rng.random(len(image)) < drawn.patterns)]
    hidden = labels[_share_near(labels, draw_lines(image, view.depth.shape) > 0) < SAME]
    hidden = hidden[_share_near(hidden, exact > 0.5) >= ON_BOUNDARY]
    lines = np.concatenate([image, hidden])
    return lines[rng.random(len(lines)) >= drawn.dropped]


def shaded_labels(view: "View") -> NDArray[np.uint8]:
    """An image (h, w) of gray levels in which surfaces differ by their direction, class and distance."""
    shade = 80 * (view.normals @ LIGHT)
    # Neighboring numbers of classes get different levels.
    levels = (np.arange(256) * 97 % 80).astype(np.float32)
    distance = np.log2(np.where(np.isfinite(view.depth), view.depth, np.float32(1000)).clip(0.1, 1000))
    # Folded into the range, so that what is far still differs.
    folded = 255 - np.abs(255 - (shade + levels[view.classes] + 25 * distance) % 510)
    sharp = folded.astype(np.uint8)
    # Labels have steps at slanted edges, which LSD takes for short lines.
    return np.asarray(cv2.GaussianBlur(sharp, (0, 0), STRENGTH_SIGMA), np.uint8)


def _share_near(lines: Lines, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of the points of each line that are near the mask (h, w)."""
    side = 2 * int(NEAR) + 1
    near = cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    height, width = mask.shape
    x, y = _points(lines)
    return np.asarray(near[np.rint(y).astype(int).clip(0, height - 1), np.rint(x).astype(int).clip(0, width - 1)]).mean(
        axis=1
    )


def _bows(lines: Lines, strength: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far the middle of the edge along each line is from the line between its ends, in pixels."""
    if not len(lines):
        return np.zeros(0)
    soft = cv2.GaussianBlur(strength, (0, 0), STRENGTH_SIGMA)
    x, y = _points(lines)
    direction = (lines[:, 2:] - lines[:, :2]) / np.hypot(*(lines[:, 2:] - lines[:, :2]).T).clip(1e-9)[:, None]
    offsets = np.arange(-REACH, REACH + 1)
    across_x = x[..., None] - direction[:, 1, None, None] * offsets
    across_y = y[..., None] + direction[:, 0, None, None] * offsets
    shape = (len(lines) * SAMPLES, len(offsets))
    weights = cv2.remap(
        soft, across_x.reshape(shape).astype(np.float32), across_y.reshape(shape).astype(np.float32), cv2.INTER_LINEAR
    ).reshape(across_x.shape)
    weights = weights**2 + 1e-6
    centers = (weights * offsets).sum(axis=2) / weights.sum(axis=2)
    return np.abs(centers @ _PARABOLA)


def _points(lines: Lines) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y of points along each line, (n, SAMPLES)."""
    return lines[:, :1] + _ALONG * (lines[:, 2:3] - lines[:, :1]), lines[:, 1:2] + _ALONG * (
        lines[:, 3:] - lines[:, 1:2]
    )
