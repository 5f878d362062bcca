"""A line drawing of a view (`lineart`): its contours and creases, and the clear lines in its image, thin and smooth."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.data.scene_maps.boundaries import Boundaries
from cn.detect.lines.canny import canny
from cn.detect.lines.strokes import connected_components

SMOOTHING = 1.1
"""Standard deviation of the blur that turns the steps of slanted lines into smooth lines, at twice the size."""

EDGE_SLOPE = 4.0
"""How fast lines fade at their sides, in shares of white per unit of the ridge."""

NEAR = 1
"""Pixels within which a line in the image is the same as a contour."""

MIN_DETAIL = 5
"""Number of pixels that make a line in the image; shorter ones are dots."""


@dataclass(frozen=True)
class LineDrawing:
    """How a view is drawn. The defaults are those of maps without random choices."""

    width: float = 1.4
    """Width of lines in pixels, about."""
    strength: float = 1.0
    """Gray level of the contours, as a share of white."""
    creases: float = 0.85
    """Strength of bends of the surface, as a share of that of contours."""
    details: float = 0.8
    """Strength of lines in the image that are no boundaries: patterns, faces, clouds. 0 draws none."""
    threshold: float = 220.0
    """Canny's high threshold for these; the low one is half of it."""

    @classmethod
    def random(cls, rng: np.random.Generator) -> "LineDrawing":
        """Uniform within what people and networks draw; one of four drawings has contours and creases only."""
        return cls(
            width=float(rng.uniform(1, 2.6)),
            strength=float(rng.uniform(0.6, 1)),
            creases=float(rng.uniform(0.4, 1)),
            details=float(rng.uniform(0.4, 1) if rng.random() < 0.75 else 0),
            threshold=float(rng.uniform(120, 320)),
        )

    def record(self) -> dict[str, Any]:
        """The parameters, for the text of the PNG."""
        return {name: round(value, 4) for name, value in vars(self).items()}


def line_drawing(boundaries: Boundaries, drawn: LineDrawing = LineDrawing()) -> NDArray[np.uint8]:
    """The drawing (h, w): white lines on black."""
    contours = boundaries.doubled(drawn.creases)
    if drawn.details > 0:
        details = drawn.details * _details(boundaries, drawn.threshold)
        contours = np.maximum(contours, cv2.resize(details, contours.shape[::-1], interpolation=cv2.INTER_NEAREST))
    # A line of two pixels becomes a smooth ridge, which is cut where the line has the wanted width.
    levels = cv2.dilate(contours, np.ones((5, 5), np.uint8))
    ridge = cv2.GaussianBlur(contours, (0, 0), SMOOTHING) / np.maximum(levels, 0.02)
    lines = ((ridge - _height(drawn.width)) * EDGE_SLOPE + 0.5).clip(0, 1) * levels
    height, width = boundaries.rgb.shape[:2]
    small = cv2.resize(lines, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray((255 * drawn.strength * small).clip(0, 255), np.uint8)


def _height(width: float) -> float:
    """Height of the ridge of a line, at twice the size, at half of the wanted `width` from its center."""
    profile = np.convolve([1, 1], cv2.getGaussianKernel(15, SMOOTHING).ravel())[8:]
    # The first of these is half a pixel from the center, and half of the width is `width` pixels at twice the size.
    return float(np.interp(width - 0.5, np.arange(len(profile)), profile))


def _details(boundaries: Boundaries, threshold: float) -> NDArray[np.float32]:
    """1 on the lines (h, w) in the image that are away from all boundaries."""
    edges = canny(boundaries.rgb, threshold / 2, threshold)
    known = (np.maximum(boundaries.occlusions, boundaries.creases) > 0.5).astype(np.uint8)
    near = np.asarray(cv2.dilate(known, np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)))
    labels, lengths = connected_components((edges > 0) & (near == 0))
    return np.isin(labels, np.flatnonzero(lengths >= MIN_DETAIL) + 1).astype(np.float32)
