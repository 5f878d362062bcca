"""Exact depth and normals to the maps that depth and normal ControlNets expect."""

import numpy as np
from numpy.typing import NDArray

FLAT: tuple[int, int, int] = (127, 127, 255)
"""The color (RGB) of a surface that faces the camera squarely, and by custom of what has no surface."""


def depth_to_map(depth: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Metric depth (h, w) to a MiDaS-like map, uint8 (h, w): near is white (255).

    The map is inverse depth (disparity), stretched between its smallest and largest value to 0..255 and truncated, as
    the released detector does with the network's output. Depth that is infinite, undefined or not positive (the sky)
    counts as infinitely far and becomes 0. An image of one single depth is all 0.
    """
    meters = np.asarray(depth, np.float64)
    there = np.isfinite(meters) & (meters > 0)
    return stretch(np.divide(1.0, meters, out=np.zeros_like(meters), where=there))


def stretch(inverse: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Finite values of any range to 0..255, uint8 of the same shape: the smallest is 0, the largest 255.

    Values are truncated, not rounded, in the precision that they come in, as the released detector does. Where all are
    the same everything is 0.
    """
    share = unit_range(inverse)
    # A level that was met exactly must not fall to the one below through rounding of the product.
    return np.floor(share * 255 + 1e-9).astype(np.uint8)


def unit_range(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Finite values of any range to 0..1, same shape and precision; all 0 where all are the same."""
    share = values - values.min(initial=np.inf)
    peak = share.max(initial=0)
    return share / peak if peak > 0 else np.zeros_like(share)


def normals_to_map(normals: NDArray[np.floating], nothing: tuple[int, int, int] = FLAT) -> NDArray[np.uint8]:
    """Camera-space unit normals (h, w, 3) to colors, uint8 (h, w, 3) RGB.

    `normals` point right (x), up (y) and towards the viewer (z). The map holds (n + 1) · 127.5, truncated, with red for
    surfaces that face left, green for up, blue for the viewer: the signs that come from the gradients of inverse depth,
    by which the paper's extended normal maps were made. A zero vector (the sky) becomes the color `nothing`,
    (127, 127, 255) as there, and so does one that is not finite.
    """
    n = np.asarray(normals, np.float64)
    there = np.isfinite(n).all(axis=-1) & (np.abs(n).max(axis=-1, initial=0) > 0)
    towards = np.where(there[..., None], n, 0) * (-1.0, 1.0, 1.0)
    colors = np.clip(towards * 127.5 + 127.5, 0, 255).astype(np.uint8)
    colors[~there] = nothing
    return colors
