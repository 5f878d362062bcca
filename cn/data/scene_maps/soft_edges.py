"""Soft edges of a view (`hed`): exact boundaries and clear edges of the image, as wide and as graded as HED's."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.data.scene_maps.boundaries import Boundaries
from cn.detect.lines.hed import three_levels

SIDE = 256
"""The short side, in pixels, that widths are for; edges of larger images are wider in proportion."""


@dataclass(frozen=True)
class SoftEdges:
    """How the soft edges of a view are drawn. The defaults are those of maps without random choices."""

    sigma: float = 1.0
    """Standard deviation, in pixels, of the blur that makes edges soft and wide."""
    gain: float = 1.25
    """Factor of the strengths before they saturate at white."""
    faint: float = 0.45
    """Strength of a boundary between two things of the same color; one with contrast has 1."""
    creases: float = 0.5
    """Strength of a bend of the surface, as a share of that of a boundary."""
    details: float = 1.0
    """Strength of the image's other edges: patterns, shadows, clouds."""
    safe: bool = False
    """Whether the map has three levels only (`cn.detect.lines.hed.three_levels`)."""

    @classmethod
    def random(cls, rng: np.random.Generator) -> "SoftEdges":
        """Uniform within what networks and methods of soft edges give for photographs; one of ten has three levels."""
        return cls(
            sigma=float(rng.uniform(0.7, 1.6)),
            gain=float(rng.uniform(0.9, 1.6)),
            faint=float(rng.uniform(0.3, 1)),
            creases=float(rng.uniform(0.2, 0.9)),
            details=float(rng.uniform(0.2, 1.4)),
            safe=bool(rng.random() < 0.1),
        )

    def record(self) -> dict[str, Any]:
        """The parameters, for the text of the PNG."""
        return {name: round(value, 4) for name, value in vars(self).items()}


def soft_edges(boundaries: Boundaries, drawn: SoftEdges = SoftEdges()) -> NDArray[np.uint8]:
    """The soft edges (h, w): white boundaries on black, the stronger the surer."""
    seen = np.minimum(drawn.faint + (1 - drawn.faint) * 2 * boundaries.contrast, 1)
    strength = np.maximum(boundaries.occlusions, drawn.creases * boundaries.creases) * seen
    np.maximum(strength, drawn.details * boundaries.details, out=strength)
    sigma = drawn.sigma * max(1.0, min(strength.shape) / SIDE)
    soft = cv2.GaussianBlur(strength, (0, 0), sigma)
    # The blur lowers a line of two pixels to this share of its strength.
    kept = (1 + math.exp(-0.5 / sigma**2)) / (sigma * math.sqrt(2 * math.pi))
    edges = np.asarray((soft * (255 * drawn.gain / kept)).clip(0, 255), np.uint8)
    return three_levels(edges) if drawn.safe else edges
