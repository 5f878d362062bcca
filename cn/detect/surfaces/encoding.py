"""Exact depth and normals as the maps that depth and normal ControlNets expect."""

import numpy as np
from numpy.typing import NDArray

from cn.images.resizing import resize

FLAT: tuple[int, int, int] = (127, 127, 255)
"""The color (RGB) of a surface that faces the camera directly, and by convention of pixels without a surface."""


def depth_to_map(depth: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Metric depth (h, w) to a MiDaS-like map, uint8 (h, w): near is white (255).

    The map is inverse depth (disparity), scaled from its range to 0..255 and truncated, as the released detector does
    with the network's output. Depth that is infinite, undefined or not positive (the sky) counts as infinitely far and
    becomes 0. An image of constant depth is all 0.
    """
    meters = np.asarray(depth, np.float64)
    known = np.isfinite(meters) & (meters > 0)
    return to_levels(np.divide(1.0, meters, out=np.zeros_like(meters), where=known))


def to_levels(inverse: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Finite values of any range to 0..255, uint8 of the same shape: the minimum is 0, the maximum 255.

    Values are truncated, not rounded, in their own precision, as the released detector does. Constant input gives 0.
    """
    # The offset keeps exact levels from falling to the next lower one through rounding of the product.
    return np.floor(unit_range(inverse) * 255 + 1e-9).astype(np.uint8)


def unit_range(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Finite values of any range to 0..1, same shape and precision; all 0 for constant input."""
    shifted = values - values.min(initial=np.inf)
    maximum = shifted.max(initial=0)
    return shifted / maximum if maximum > 0 else np.zeros_like(shifted)


def normals_to_map(
    normals: NDArray[np.floating], nothing: tuple[int, int, int] = FLAT, *, rounded: bool = False
) -> NDArray[np.uint8]:
    """Camera-space unit normals (h, w, 3) to colors, uint8 (h, w, 3) RGB.

    `normals` point right (x), up (y) and towards the viewer (z). The map holds (n + 1) · 127.5, truncated, with red for
    surfaces that face left, green for up, blue for the viewer: the signs of the gradients of inverse depth, from which
    the paper's extended normal maps were computed. Zero vectors (the sky) and vectors that are not finite get the color
    `nothing`, by default (127, 127, 255) as in those maps. `rounded` is for normals that were colors before: rounded
    instead of truncated, they become the same colors again.
    """
    n = np.asarray(normals, np.float64)
    # Three planes are faster than axes of length 3.
    x, y, z = (np.abs(n[..., axis]) for axis in range(3))
    largest = np.maximum(np.maximum(x, y), z)
    valid = np.isfinite(largest) & (largest > 0)
    towards = np.where(valid[..., None], n, 0) * (-1.0, 1.0, 1.0)
    scaled = np.clip(towards * 127.5 + 127.5, 0, 255)
    colors = (np.rint(scaled) if rounded else scaled).astype(np.uint8)
    colors[~valid] = nothing
    return colors


def resize_normals(
    colors: NDArray[np.uint8], size: tuple[int, int], nothing: tuple[int, int, int] = FLAT
) -> NDArray[np.uint8]:
    """A map of normals (h, w, 3), in either order of channels, at `size` = (height, width): its vectors are averaged.

    The mean of unit vectors is shorter than 1, so it is scaled to length 1 again. Pixels of the color `nothing` do not
    count, unless that stands for a vector (`FLAT`); where most of a new pixel is `nothing`, it is too.
    """
    valid = np.ones(colors.shape[:2], np.float32)
    if nothing not in (FLAT, FLAT[::-1]):
        valid = (colors != nothing).any(axis=-1).astype(np.float32)
    vectors = resize((colors.astype(np.float32) / 127.5 - 1) * valid[..., None], size)
    length = np.linalg.norm(vectors, axis=-1)
    unknown = (resize(valid, size) < 0.5) | (length < 1e-6)
    unit = vectors / np.where(unknown, 1, length)[..., None]
    resized = np.rint(unit * 127.5 + 127.5).clip(0, 255).astype(np.uint8)
    resized[unknown] = nothing
    return resized
