"""From measured depth to points and normals, for photographs whose camera is known.

Camera space is right (x), up (y) and towards the viewer (z), so that what is seen has negative z. Lengths are in one
unit throughout, meters as a rule; pixels count from the center of the top left one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RADIUS = 2
EDGE = 0.05


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: focal lengths and principal point, in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float

    def rays(self, height: int, width: int) -> NDArray[np.float64]:
        """What each pixel looks along, (h, w, 3), as long as one unit of depth."""
        x = (np.arange(width) - self.cx) / self.fx
        y = (self.cy - np.arange(height)) / self.fy
        return np.stack([*np.meshgrid(x, y), np.full((height, width), -1.0)], axis=-1)


def depth_from_disparity(
    disparity: NDArray[np.floating], focal: float, baseline: float, offset: float = 0.0
) -> NDArray[np.float64]:
    """Depth (h, w), in the unit of `baseline`, of the left image of a rectified stereo pair: focal · baseline / d.

    `disparity` (h, w) and `focal` are in pixels; `offset` (Middlebury's doffs) is how much farther right the principal
    point of the right image lies. Depth is NaN where disparity is not finite, and infinite where it is not positive.
    """
    total = np.asarray(disparity, np.float64) + offset
    depth = np.full(total.shape, np.nan)
    depth[np.isfinite(total)] = np.inf
    return np.divide(focal * baseline, total, out=depth, where=np.isfinite(total) & (total > 0))


def points_from_depth(depth: NDArray[np.floating], camera: Camera) -> NDArray[np.float64]:
    """The point that each pixel shows, (h, w, 3) in camera space; NaN where depth is not finite or not positive."""
    height, width = depth.shape
    distance = np.where(_known(depth), depth, np.nan)
    return camera.rays(height, width) * distance[..., None]


def surface_normals(
    depth: NDArray[np.floating], camera: Camera, *, radius: int = RADIUS, edge: float = EDGE
) -> NDArray[np.float64]:
    """Unit normals (h, w, 3) in camera space of what depth (h, w) shows; they face the camera, and are 0 where unknown.

    Over a plane inverse depth is a linear function of the pixel, whatever the plane's slant. So one is fitted, by least
    squares, to the (2 · `radius` + 1)² pixels around each, leaving out those that are unknown or whose inverse depth
    differs by more than the share `edge`: they belong to another surface. Planes come out exactly. Unknown are pixels
    whose depth is not finite or not positive, or that have no three neighbors to fit to.
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
    padded, there = np.pad(inverse, radius), np.pad(known, radius)
    # Sums of 1, u, v, u², uv, v² and of w, uw, vw over the neighbors that count, u and v from the pixel itself.
    sums = np.zeros((9, height, width))
    reach = range(-radius, radius + 1)
    for v in reach:
        for u in reach:
            rows, columns = slice(radius + v, radius + v + height), slice(radius + u, radius + u + width)
            other = padded[rows, columns]
            counts = there[rows, columns] & (np.abs(other - inverse) <= edge * inverse)
            for total, factor in zip(sums, (1, u, v, u * u, u * v, v * v), strict=False):
                total += factor * counts
            for total, factor in zip(sums[6:], (1, u, v), strict=True):
                total += np.where(counts, factor * other, 0.0)
    n, su, sv, suu, suv, svv, w, uw, vw = sums
    # The normal equations, by cofactors: their matrix is symmetric and only 3×3.
    c00, c01, c02 = suu * svv - suv * suv, suv * sv - su * svv, su * suv - suu * sv
    c11, c12, c22 = n * svv - sv * sv, su * sv - n * suv, n * suu - su * su
    # All sums are whole numbers, so that neighbors on one line give exactly 0.
    determinant = n * c00 + su * c01 + sv * c02
    scale = np.divide(1.0, determinant, out=np.full(n.shape, np.nan), where=known & (determinant > 0))
    center = (c00 * w + c01 * uw + c02 * vw) * scale
    across = (c01 * w + c11 * uw + c12 * vw) * scale
    down = (c02 * w + c12 * uw + c22 * vw) * scale
    return center, across, down
