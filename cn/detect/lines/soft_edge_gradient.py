"""Soft edges from gradients at several scales: the method of `hed` that needs no weights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_SHORT_SIDE = 768
"""Larger images are reduced to this short side, and their maps enlarged again."""

REFERENCE_SHORT_SIDE = 512
"""The short side that the lengths below refer to, in pixels. They scale with it, down to half of their values."""

SCALES = (0.9, 1.8, 3.6)
"""Standard deviations of the Gaussians whose gradients are combined."""

BILATERAL_CONTRAST, BILATERAL_SIGMA, BILATERAL_PASSES = 6.0, 4.0, 3
"""Bilateral filter: contrast (in units of CIELAB) that is smoothed away as texture, spatial sigma, and passes."""

SURROUND_SIGMA, INHIBITION = 32.0, 0.5
"""Surround inhibition: the sigma of the surroundings, and the fraction of their mean that is subtracted."""

MIN_SURROUND = 3.0
"""Units of CIELAB added to the mean of the surroundings before an edge is divided by it."""

MIDPOINT, STEEPNESS, OUTPUT_SIGMA = 0.6, 1.8, 1.0
"""Soft threshold: the relative strength that becomes half of white, its slope there; and the final blur."""

_OFFSET = 0.2
"""Added to gradients before their logarithm."""


def gradient_soft_edge(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Soft edges, uint8 (h, w), of an image (h, w, 3) RGB without weights, tuned to resemble the maps of HED.

    Texture is smoothed by a bilateral filter in CIELAB. Edge strength is the geometric mean of the gradients at three
    scales, so an edge that exists at one scale only is weak. It is divided by the mean strength of its surroundings,
    which keeps faint objects and suppresses texture, and passes through a soft threshold.
    """
    import cv2

    height, width = image.shape[:2]
    factor = MAX_SHORT_SIDE / min(height, width)
    if factor < 1:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        reduced = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        edges = cv2.resize(gradient_soft_edge(reduced), (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(edges, np.uint8)
    unit = max(0.5, min(height, width) / REFERENCE_SHORT_SIDE)
    lab: NDArray[Any] = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    for _ in range(BILATERAL_PASSES):
        lab = cv2.bilateralFilter(lab, -1, BILATERAL_CONTRAST, BILATERAL_SIGMA * unit)
    logs = [np.log(_color_gradient(lab, scale * unit) + _OFFSET) for scale in SCALES]
    strength = np.exp(np.mean(logs, axis=0)) - _OFFSET
    surround = cv2.GaussianBlur(strength, (0, 0), SURROUND_SIGMA * unit)
    relative = np.maximum(strength - INHIBITION * surround, 0) / (surround + MIN_SURROUND)
    powered = cv2.GaussianBlur(relative, (0, 0), OUTPUT_SIGMA * unit) ** STEEPNESS
    return (255 * powered / (powered + MIDPOINT**STEEPNESS)).clip(0, 255).astype(np.uint8)


def _color_gradient(lab: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Di Zenzo's color gradient, the largest slope over all directions, times sigma: the contrast of a blurred step."""
    import cv2

    smooth = cv2.GaussianBlur(lab, (0, 0), sigma)
    dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, x, 1 - x, ksize=3, scale=1 / 8) for x in (1, 0))
    xx, yy, xy = (dx * dx).sum(axis=2), (dy * dy).sum(axis=2), (dx * dy).sum(axis=2)
    return sigma * np.sqrt((xx + yy + np.hypot(xx - yy, 2 * xy)) / 2)
