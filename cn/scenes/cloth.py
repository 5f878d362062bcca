"""Patterns of cloth."""

import numpy as np

from cn.scenes.builder import CLOTH_CHECKS, CLOTH_DOTS, CLOTH_STRIPES, UNIT_CLOTH
from cn.scenes.geometry import Array


def cloth(pattern: int, color: Array, p: Array) -> Array:
    """Stripes, dots or checks around the axis y of a limb, in cream on dark colors and in navy on light ones."""
    meters = np.float32(1)
    if pattern >= CLOTH_STRIPES + UNIT_CLOTH:
        pattern, meters = pattern - UNIT_CLOTH, np.float32(0.2)
    along = p[:, 1] * meters
    around = np.arctan2(p[:, 0], p[:, 2]) * np.float32(0.16)
    if pattern == CLOTH_STRIPES:
        marked = along / np.float32(0.085) % 1 < 0.42
    elif pattern == CLOTH_DOTS:
        row = np.floor(along / np.float32(0.075))
        u = (around / np.float32(0.084) + row * np.float32(0.5)) % 1 - np.float32(0.5)
        v = along / np.float32(0.075) - row - np.float32(0.5)
        marked = u * u + v * v < 0.075
    else:
        marked = (along / np.float32(0.13) % 1 < 0.5) != (around / np.float32(0.1257) % 1 < 0.5)
    bright = color @ np.array((0.21, 0.72, 0.07), np.float32) > 0.5
    other = np.where(bright[:, None], np.array((0.03, 0.04, 0.13), np.float32), np.array((0.9, 0.86, 0.78), np.float32))
    share = np.float32(0.5 if pattern == CLOTH_CHECKS else 0.92)
    return np.where(marked[:, None], color + (other - color) * share, color)
