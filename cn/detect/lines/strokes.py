"""Image operations that scribbles are made with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

STROKE_LEVEL = 4
"""Blurred strokes become white above this gray level."""


def blur(soft: NDArray[np.uint8], sigma: float) -> NDArray[np.float32]:
    """A map (h, w) after a Gaussian blur, float32 of 0..255."""
    import cv2

    return np.asarray(cv2.GaussianBlur(soft.astype(np.float32), (0, 0), sigma), np.float32)


def thicken(strokes: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Thin strokes (h, w) widened to about twice `sigma` on either side: a blur and a threshold."""
    import cv2

    return np.where(cv2.GaussianBlur(strokes, (0, 0), sigma) > STROKE_LEVEL, 255, 0).astype(np.uint8)


def connected_components(mask: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Labels (h, w) of the 8-connected components, numbered from 1, and the number of pixels of each (n,)."""
    import cv2

    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(labels), np.bincount(labels.ravel(), minlength=count)[1:]
