"""From depth to normals, for a known camera.

Camera space is right (x), up (y) and towards the viewer (z), so visible points have negative z. All lengths have the
same unit, usually meters. The center of the top left pixel is (0, 0).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RADIUS = 2
"""Pixels around each pixel that a plane is fitted to."""

EDGE = 0.05
"""Relative difference of inverse depth above which a neighbor belongs to another surface."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: focal lengths and principal point, in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float

    def rays(self, height: int, width: int) -> NDArray[np.float64]:
        """The viewing ray of each pixel, (h, w, 3), scaled to a depth of 1."""
        x = (np.arange(width) - self.cx) / self.fx
        y = (self.cy - np.arange(height)) / self.fy
        return np.stack([*np.meshgrid(x, y), np.full((height, width), -1.0)], axis=-1)


def surface_normals(
    depth: NDArray[np.floating], camera: Camera, *, radius: int = RADIUS, edge: float = EDGE
) -> NDArray[np.float64]:
    """Unit normals (h, w, 3) in camera space from depth (h, w); they face the camera, and are 0 where unknown.

    The inverse depth of a plane is a linear function of the pixel coordinates. Such a function is fitted by least
    squares to the (2 · `radius` + 1)² pixels around each pixel, without those that are unknown or whose inverse depth
    differs by more than the fraction `edge` (another surface). Planes are exact. A normal is unknown where the depth is
    not finite or not positive, or where there are fewer than three neighbors to fit to.
    """
    known = _known(depth)
    inverse = np.divide(1.0, depth, out=np.zeros(depth.shape), where=known)
    center, across, down = _fitted_plane(inverse, known, radius, edge)
    height, width = depth.shape
    # With w = a + b·(u - cx) + c·(v - cy), the plane is { P : (b·fx, -c·fy, -a) · P = 1 }, P in camera space.
    at_axis = center - across * (np.arange(width) - camera.cx) - down * (np.arange(height)[:, None] - camera.cy)
    away = np.stack([across * camera.fx, -down * camera.fy, -at_axis], axis=-1)
    length = np.linalg.norm(away, axis=-1, keepdims=True)
    return np.divide(-away, length, out=np.zeros_like(away), where=np.isfinite(length) & (length > 0))


def _known(depth: NDArray[np.floating]) -> NDArray[np.bool_]:
    return np.isfinite(depth) & (depth > 0)


def _fitted_plane(
    inverse: NDArray[np.float64], known: NDArray[np.bool_], radius: int, edge: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Value and slopes (across, down) at each pixel of the linear function fitted around it; NaN without one."""
    height, width = inverse.shape
    padded, padded_known = np.pad(inverse, radius), np.pad(known, radius)
    # Sums of 1, u, v, u², uv, v² and of w, uw, vw over the neighbors that count; u and v are relative to the pixel.
    sums = np.zeros((9, height, width))
    offsets = range(-radius, radius + 1)
    for v in offsets:
        for u in offsets:
            rows, columns = slice(radius + v, radius + v + height), slice(radius + u, radius + u + width)
            other = padded[rows, columns]
            counts = padded_known[rows, columns] & (np.abs(other - inverse) <= edge * inverse)
            for total, factor in zip(sums, (1, u, v, u * u, u * v, v * v), strict=False):
                total += factor * counts
            for total, factor in zip(sums[6:], (1, u, v), strict=True):
                total += np.where(counts, factor * other, 0.0)
    n, su, sv, suu, suv, svv, w, uw, vw = sums
    # The normal equations by cofactors: their matrix is symmetric and only 3×3.
    c00, c01, c02 = suu * svv - suv * suv, suv * sv - su * svv, su * suv - suu * sv
    c11, c12, c22 = n * svv - sv * sv, su * sv - n * suv, n * suu - su * su
    # All sums are integers, so collinear neighbors give exactly 0.
    determinant = n * c00 + su * c01 + sv * c02
    scale = np.divide(1.0, determinant, out=np.full(n.shape, np.nan), where=known & (determinant > 0))
    center = (c00 * w + c01 * uw + c02 * vw) * scale
    across = (c01 * w + c11 * uw + c12 * vw) * scale
    down = (c02 * w + c12 * uw + c22 * vw) * scale
    return center, across, down
