"""Crops of scikit-image's photographs, and maps of them that need no weights."""

from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cn.detect.lines.canny import canny
from cn.detect.lines.soft_edge_gradient import gradient_soft_edge

Pixels = NDArray[np.uint8]

NAMES = (
    *("astronaut", "coffee", "chelsea", "rocket", "camera", "brick", "grass", "gravel", "hubble_deep_field"),
    *("retina", "coins", "page", "text", "immunohistochemistry"),
)


@cache
def photograph(name: str) -> Pixels:
    """(h, w, 3), also of those in gray."""
    import skimage.data

    image = np.asarray(getattr(skimage.data, name)())
    image = image[..., None].repeat(3, axis=2) if image.ndim == 2 else image[..., :3]
    return np.ascontiguousarray(image.astype(np.uint8))


def crops(size: int, seed: int) -> Iterator[tuple[str, Pixels]]:
    """Endless squares of all photographs in turn, of any place and scale, in either direction, size × size."""
    rng = np.random.default_rng(seed)
    while True:
        for name in NAMES:
            image = photograph(name)
            height, width = image.shape[:2]
            largest = min(height, width) * 3 // 4
            side = int(rng.integers(min(size, largest), largest + 1))
            top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
            square = image[top : top + side, left : left + side]
            square = square[:, :: int(rng.choice([-1, 1]))]
            yield name, np.asarray(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def line_map(kind: str, image: Pixels, rng: np.random.Generator) -> Pixels:
    """Canny with thresholds of any height, or soft edges by gradients: (h, w, 3)."""
    if kind == "canny":
        low, high = sorted(rng.integers(50, 200, 2).tolist())
        gray = canny(image, low, high)
    else:
        gray = gradient_soft_edge(image)
    return np.repeat(gray[..., None], 3, axis=2)
