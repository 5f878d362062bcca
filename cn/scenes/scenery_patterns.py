"""Patterns of the surroundings: house fronts, the sea, a view through a window, a picture, curtains, autumn leaves."""

import numpy as np

from cn.scenes.geometry import Array
from cn.scenes.texture import fractal

FACADE, TOWERS, WAVES, WINDOW_VIEW, PICTURE, FOLDS, FOLIAGE, THICKET = range(200, 208)
"""Their numbers; those of things and cloth are smaller, in `builder`."""
FIRST_OF_SCENERY = FACADE


def _color(*rgb: float) -> Array:
    return np.array(rgb, np.float32)[:, None]


def scenery_pattern(pattern: int, color: Array, p: Array, normals: Array, dark: bool) -> Array:
    """Linear colors (3, n) from the plain `color` (3, n), object-space points `p` (3, n) and unit `normals` (3, n).

    `dark`: whether windows are lit.
    """
    if pattern == FACADE:
        return _windows(color, p, normals, 3, 3, dark)
    if pattern == TOWERS:
        return _windows(color, p, normals, 5, 9, dark)
    if pattern == WAVES:
        return _waves(color, p)
    if pattern == WINDOW_VIEW:
        return _view(p, dark)
    if pattern == PICTURE:
        return _picture(color, p)
    if pattern == FOLDS:
        return color * (np.float32(0.82) + np.float32(0.18) * np.sin(p[0] * np.float32(21)))
    if pattern == THICKET:
        return _thicket(color, p)
    return _foliage(color, p)


def _windows(color: Array, p: Array, normals: Array, columns: int, rows: int, dark: bool) -> Array:
    """Windows in the faces of a box towards the viewer and the sides."""
    across = np.where(np.abs(normals[2]) > 0.5, p[0], p[2])
    x, y = (across + 1) * np.float32(columns / 2), (p[1] + 1) * np.float32(rows / 2)
    i, j = np.floor(x), np.floor(y)
    pane = (np.abs(x - i - np.float32(0.5)) < 0.24) & (np.abs(y - j - np.float32(0.52)) < 0.27)
    pane &= normals[1] < 0.5
    some = np.abs(np.sin(i * np.float32(12.9) + j * np.float32(78.2) + color[0] * 50) * np.float32(437.6)) % 1
    lit = _color(2.6, 1.7, 0.65) if dark else _color(0.20, 0.30, 0.40)
    dull = _color(0.05, 0.06, 0.09) if dark else _color(0.10, 0.15, 0.22)
    glass = np.where(some < 0.45, lit, dull)
    return np.where(pane, glass, color)


def _waves(color: Array, p: Array) -> Array:
    """Stripes of foam that get denser towards the shore, at p[2] = 1."""
    shore = 1 - p[2]
    bend = (
        shore + np.float32(0.004) * np.sin(p[0] * np.float32(47)) + np.float32(0.002) * np.sin(p[0] * np.float32(131))
    )
    foam = np.clip(1 - np.abs(bend - np.float32(0.006)) * 160, 0, 1)
    foam = np.maximum(foam, np.clip(np.sin(bend * np.float32(190)) * 4 - 3, 0, 1) * np.clip(1 - shore * 7, 0, 1) * 0.6)
    deep = np.clip(shore * np.float32(2.2), 0, 1)
    water = color * (np.float32(1.3) - np.float32(0.55) * deep)
    return water + (_color(0.9, 0.95, 0.97) - water) * foam.astype(np.float32)


def _view(p: Array, dark: bool) -> Array:
    """Sky over green hills, or a blue night."""
    height = p[1] * np.float32(0.5) + np.float32(0.5)
    low = _color(0.05, 0.08, 0.20) if dark else _color(1.5, 1.7, 1.8)
    high = _color(0.02, 0.03, 0.10) if dark else _color(0.6, 1.0, 1.6)
    sky = low + (high - low) * height
    hill = np.float32(0.30) + np.float32(0.08) * np.sin(p[0] * np.float32(2.6) + np.float32(0.7))
    green = _color(0.02, 0.05, 0.07) if dark else _color(0.30, 0.55, 0.20)
    return sky + (green - sky) * np.clip((hill - height) * 40, 0, 1)


def _picture(color: Array, p: Array) -> Array:
    """A small landscape: a sun over two hills, in tones of `color`."""
    x, y = p[0], p[1]
    sky = color + (_color(0.95, 0.9, 0.8) - color) * np.float32(0.65)
    sun = np.clip((np.float32(0.28) - np.hypot(x - np.float32(0.35), y - np.float32(0.3))) * 30, 0, 1)
    out = sky + (_color(0.95, 0.55, 0.2) - sky) * sun
    far = np.clip((np.float32(-0.05) + np.float32(0.25) * np.sin(x * np.float32(2.2)) - y) * 30, 0, 1)
    out += (color * np.float32(0.8) - out) * far
    near = np.clip((np.float32(-0.45) - np.float32(0.2) * np.sin(x * np.float32(1.7) + 1) - y) * 30, 0, 1)
    return out + (color * np.float32(0.35) - out) * near


def _foliage(color: Array, p: Array) -> Array:
    """Light and dark tufts of leaves."""
    tufts = np.sin(p[0] * 9 + 2 * p[1]) + np.sin(p[1] * 11 - 3 * p[2]) + np.sin(p[2] * 10 + 4 * p[0])
    return color * (np.float32(0.95) + np.float32(0.22) * p[1] + np.float32(0.09) * tufts)


def _thicket(color: Array, p: Array) -> Array:
    """Far trees side by side: trunks in the dark below, leaves above; for a box of 160 meters by 7."""
    x, y = p[0] * np.float32(80), p[1] * np.float32(0.5) + np.float32(0.5)
    leaves = fractal(x * np.float32(1 / 40), y * np.float32(7 / 40), 0.006)
    out = color * (np.float32(0.62) + np.float32(0.55) * leaves + np.float32(0.35) * y)
    column = np.floor(x * np.float32(1 / 1.7))
    some = np.abs(np.sin(column * np.float32(12.9898)) * np.float32(437.585)) % 1
    off = np.abs(x - (column + np.float32(0.25) + np.float32(0.5) * some) * np.float32(1.7))
    trunk = np.clip((np.float32(0.16) + np.float32(0.22) * some - off) * 5, 0, 1)
    trunk *= np.clip((np.float32(0.62) + np.float32(0.45) * leaves - y) * 9, 0, 1)
    bark = _color(0.15, 0.10, 0.07) * (np.float32(0.6) + np.float32(0.9) * some)
    return out + (bark - out) * trunk
