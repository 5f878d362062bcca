"""The sky: its gradient, sun or moon, stars and clouds."""

from dataclasses import dataclass

import numpy as np

from cn.scenes.geometry import Array, Rng
from cn.scenes.lighting import Light, rgb
from cn.scenes.scene import Scene
from cn.scenes.texture import fractal

_STAR_CELL = 0.03
"""Width of the cells that hold at most one star each, as a slope."""
_STAR_ROWS, _STAR_COLUMNS = 20, 44


@dataclass(frozen=True)
class Sky:
    """Sun or moon, clouds and stars, in slope coordinates (x/-z, y/-z) of the world."""

    disc: tuple[float, float] | None
    clouds: Array
    """(n, 4): x, y, half width, half height of the ellipsoids that form the clouds."""
    stars: Array
    """(rows, columns, 4) per cell: x, y, radius and brightness (0: no star); empty by day."""
    veil: tuple[float, float]
    """Thin high clouds: where they lie in the noise, and how dense they are (0: none)."""
    overcast: float
    """0: clear; 1: one grey cover."""


def make_sky(scene: Scene, rng: Rng) -> Sky:
    """Sun or moon on the side the light comes from, clouds, and stars at night."""
    side = 1 if scene.sun_turn > 0 else -1
    low, high, chance = {
        "morning": (0.08, 0.15, 0.6),
        "noon": (0.2, 0.26, 0.25),
        "dusk": (0.035, 0.10, 0.8),
        "night": (0.11, 0.17, 0.85),
    }[scene.light]
    disc = (side * float(rng.uniform(0.10, 0.27)), float(rng.uniform(low, high))) if rng.random() < chance else None
    clouds = []
    for _ in range(int(rng.integers(1, 4)) if scene.light != "night" else int(rng.integers(0, 2))):
        x, y, size = rng.uniform(-0.36, 0.36), rng.uniform(0.10, 0.21), rng.uniform(0.045, 0.08)
        clouds.append((x, y, size, size * 0.42))
        for reach in (-0.8, 0.75, 1.3)[: int(rng.integers(2, 4))]:
            clouds.append(
                (x + reach * size, y - 0.1 * size, size * rng.uniform(0.55, 0.8), size * rng.uniform(0.24, 0.34))
            )
    dense = float(rng.choice((0.0, 0.35, 0.7), p=(0.4, 0.35, 0.25))) * (0.5 if scene.light == "night" else 1.0)
    veil = (float(rng.uniform(0, 1)), dense)
    overcast = {"clear": 0.0, "cloudy": 1.0, "fog": 0.2, "rain": 0.9, "snowfall": 0.6}[scene.weather]
    if overcast:
        disc, clouds, veil = None, [], (veil[0], 0.0)
    stars = _stars(rng) if scene.light == "night" and not overcast else np.zeros((0, 0, 4), np.float32)
    return Sky(disc, np.array(clouds, np.float32).reshape(-1, 4), stars, veil, overcast)


def _stars(rng: Rng) -> Array:
    """A star in some cells, bright ones seldom."""
    stars = np.zeros((_STAR_ROWS, _STAR_COLUMNS, 4), np.float32)
    radius = rng.uniform(0.0016, 0.0034, stars.shape[:2])
    for axis, first in ((0, -_STAR_COLUMNS / 2), (1, 0)):
        at = np.arange(stars.shape[1 - axis]) + first
        inside = rng.uniform(0.25, 0.75, stars.shape[:2])
        stars[..., axis] = ((at if axis == 0 else at[:, None]) + inside) * _STAR_CELL
    stars[..., 2] = radius
    stars[..., 3] = rng.uniform(0.35, 0.95, stars.shape[:2]) * (rng.random(stars.shape[:2]) < 0.30)
    return stars


def shade_sky(light: Light, sky: Sky, direction: Array, pixel: float) -> Array:
    """Sky colors (3, n) as shown, for world `direction` (3, n); `pixel` is a pixel's size as a slope."""
    ahead = np.maximum(-direction[2], np.float32(0.05))
    u, v = direction[0] / ahead, direction[1] / ahead
    low, mid, high = (rgb(c)[:, None] for c in (light.horizon, light.middle, light.zenith))
    a, b = _smooth(v / np.float32(0.15)), _smooth((v - np.float32(0.07)) / np.float32(0.30))
    color = low + (mid - low) * a
    color += (high - color) * b
    if sky.overcast:
        far = 1 / (np.maximum(v, 0) + np.float32(0.10))
        cover = fractal(u * far * np.float32(0.11) + np.float32(sky.veil[0]), far * np.float32(0.16), 0.006)
        color *= 1 + np.float32(0.13 * sky.overcast) * cover * _smooth(v / np.float32(0.08))
    if sky.stars.size:
        _add_stars(sky.stars, u, v, pixel, color)
    if sky.disc is not None:
        far = np.sqrt((u - np.float32(sky.disc[0])) ** 2 + (v - np.float32(sky.disc[1])) ** 2)
        shine = np.exp(far * np.float32(-1 / 0.16)) * np.float32(light.glow)
        shine += np.exp(-np.maximum(far - np.float32(light.disc_size), 0) * np.float32(1 / 0.03)) * np.float32(
            0.35 * light.glow
        )
        np.minimum(shine, 1, out=shine)
        shine += (1 - shine) * np.clip((np.float32(light.disc_size) - far) / np.float32(pixel) + 0.5, 0, 1)
        color += (rgb(light.disc)[:, None] - color) * shine
    if sky.veil[1]:
        far = 1 / (np.maximum(v, 0) + np.float32(0.16))
        thin = fractal(u * far * np.float32(0.10) + np.float32(sky.veil[0]), far * np.float32(0.42), pixel)
        thin = _smooth(thin * np.float32(1.3)) * _smooth((v - np.float32(0.03)) * 8) * np.float32(0.55 * sky.veil[1])
        color += (rgb(light.cloud)[:, None] - color) * thin
    if len(sky.clouds):
        _blend_clouds(light, sky.clouds, u, v, pixel, color)
    return np.clip(color, 0, 1, out=color)


def _smooth(values: Array) -> Array:
    """0 below 0, 1 above 1, and a smooth step between."""
    t = np.clip(values, 0, 1)
    return t * t * (3 - 2 * t)


def _add_stars(stars: Array, u: Array, v: Array, pixel: float, color: Array) -> None:
    """Add the stars to `color` (3, n) in place; on small images they are wider and fainter."""
    row = np.clip(v / np.float32(_STAR_CELL), 0, _STAR_ROWS - 1).astype(np.int32)
    column = np.clip(u / np.float32(_STAR_CELL) + _STAR_COLUMNS // 2, 0, _STAR_COLUMNS - 1).astype(np.int32)
    x, y, radius, bright = stars[row, column].T
    wide = np.maximum(radius, np.float32(0.55 * pixel))
    bright = bright * (radius / wide) ** 2
    far = ((u - x) ** 2 + (v - y) ** 2) / (wide * wide)
    color += np.exp(-far) * bright


def _blend_clouds(light: Light, clouds: Array, u: Array, v: Array, pixel: float, color: Array) -> None:
    """Blend ragged, flat-bottomed clouds into `color` (3, n) in place."""
    top, shade = rgb(light.cloud)[:, None], rgb(light.cloud_shade)[:, None]
    low, high = (clouds[:, 1] - clouds[:, 3]).min() - 0.05, (clouds[:, 1] + clouds[:, 3]).max() + 0.05
    rows = np.flatnonzero((v > low) & (v < high))
    if not len(rows):
        return
    x, y = u.take(rows), v.take(rows)
    body = np.zeros_like(x)
    bright, weight = np.zeros_like(x), np.full_like(x, 1e-6)
    for px, py, wide, tall in clouds.tolist():
        dx, dy = (x - np.float32(px)) * np.float32(1 / wide), (y - np.float32(py)) * np.float32(1 / tall)
        dy = np.where(dy < 0, dy * np.float32(1.7), dy)
        inside = np.clip(np.float32(1.12) - dx * dx - dy * dy, 0, 1)
        np.maximum(body, inside, out=body)
        weight += inside
        bright += inside * np.clip(np.float32(0.62) + np.float32(0.55) * dy, 0, 1)
    ragged = fractal(x * np.float32(1.6), y * np.float32(2.4), 2 * pixel)
    body = np.where(body > 0, body + np.float32(0.28) * ragged, 0)
    alpha = _smooth(body * np.float32(2.4)) * np.float32(0.92)
    tone = shade + (top - shade) * np.clip(bright / weight + np.float32(0.22) * ragged, 0, 1)
    color[:, rows] += (tone - color[:, rows]) * alpha
