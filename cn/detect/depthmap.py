"""Exact depth and normals to the maps that depth and normal ControlNets expect."""

import numpy as np
from numpy.typing import NDArray


def depth_to_map(depth: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Metric depth (h, w) to a MiDaS-like map, uint8 (h, w): near is white (255).

    The map is inverse depth (disparity), stretched between its smallest and largest value to 0..255 and truncated, as
    the released detector does with the network's output. Depth that is infinite, undefined or not positive (the sky)
    counts as infinitely far and becomes 0. A picture of one single depth is all 0.
    """
    metres = np.asarray(depth, np.float64)
    there = np.isfinite(metres) & (metres > 0)
    inverse = np.divide(1.0, metres, out=np.zeros_like(metres), where=there)
    inverse -= inverse.min()
    peak = inverse.max()
    if peak > 0:
        inverse *= 255.0 / peak
    # The largest value must not fall to 254 through rounding of the product.
    return np.floor(inverse + 1e-9).astype(np.uint8)


def normals_to_map(normals: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Camera-space unit normals (h, w, 3) to colours, uint8 (h, w, 3) RGB.

    `normals` point right (x), up (y) and towards the viewer (z). The map holds (n + 1) · 127.5, truncated, with red for
    surfaces that face left, green for up, blue for the viewer: the signs that come from the gradients of inverse depth,
    by which the paper's extended normal maps were made. A zero vector (the sky) becomes (127, 127, 255), as there.
    """
    n = np.asarray(normals, np.float64)
    towards = np.stack([-n[..., 0], n[..., 1], n[..., 2]], axis=-1)
    nothing = ~np.isfinite(n).all(axis=-1) | (np.abs(n).max(axis=-1) == 0)
    towards[nothing] = (0.0, 0.0, 1.0)
    return np.clip(towards * 127.5 + 127.5, 0, 255).astype(np.uint8)
