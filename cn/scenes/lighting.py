"""The four lights: sun or moon, ambient, sky with clouds and stars, and the soft shadow map."""

from dataclasses import dataclass

import numpy as np

from cn.scenes.builder import Solid
from cn.scenes.geometry import Array, Camera, Vec, parallel
from cn.scenes.raycaster import project_solids, trace


def rgb(code: str) -> Array:
    """A color as shown, "#rrggbb", as (3,) float32 from 0 to 1."""
    return np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)


@dataclass(frozen=True)
class Light:
    """One time of day. Light colors are linear; sky colors are as shown (sRGB)."""

    sun: Vec
    elevation: float
    """Of the sun or moon, degrees."""
    ambient: Vec
    bounce: Vec
    """Light reflected from the ground."""
    horizon: str
    middle: str
    zenith: str
    haze: str
    disc: str
    disc_size: float
    glow: float
    cloud: str
    cloud_shade: str
    exposure: float


LIGHTS: dict[str, Light] = {
    "morning": Light(
        (1.75, 1.36, 0.98),
        38,
        (0.54, 0.58, 0.72),
        (0.26, 0.22, 0.18),
        "#ffdcb9",
        "#cfe3ee",
        "#86bfe6",
        "#f6dfcb",
        "#fff3cf",
        0.050,
        0.55,
        "#fff4ea",
        "#f3cdb8",
        1.02,
    ),
    "noon": Light(
        (1.72, 1.64, 1.48),
        56,
        (0.52, 0.62, 0.78),
        (0.24, 0.24, 0.22),
        "#d9f0fa",
        "#9ed4f4",
        "#4a9fe6",
        "#cfe8f4",
        "#fffbe6",
        0.045,
        0.25,
        "#ffffff",
        "#d5e6f2",
        1.05,
    ),
    "dusk": Light(
        (1.68, 0.96, 0.56),
        30,
        (0.45, 0.40, 0.58),
        (0.26, 0.16, 0.16),
        "#ffb15f",
        "#ee7f86",
        "#6b4c9e",
        "#e79a86",
        "#fff0c0",
        0.060,
        0.75,
        "#f6a58f",
        "#a8619a",
        1.05,
    ),
    "night": Light(
        (0.72, 0.74, 0.90),
        48,
        (0.27, 0.31, 0.46),
        (0.06, 0.08, 0.15),
        "#41609f",
        "#26407f",
        "#111c4d",
        "#33508f",
        "#fbf6dc",
        0.052,
        0.30,
        "#3d5796",
        "#2a417c",
        1.25,
    ),
}


@dataclass(frozen=True)
class Sky:
    """Sun or moon, clouds and stars, in slope coordinates (x/-z, y/-z) of the world."""

    disc: tuple[float, float] | None
    clouds: Array
    """(n, 4): x, y, half width, half height of the ellipsoids that form the clouds."""
    stars: Array
    """(n, 3): x, y, radius."""


def shade_sky(light: Light, sky: Sky, direction: Array, pixel: float) -> Array:
    """Sky colors (n, 3) as shown, for world `direction` (n, 3); `pixel` is a pixel's size as a slope."""
    ahead = np.maximum(-direction[:, 2], np.float32(0.05))
    u, v = direction[:, 0] / ahead, direction[:, 1] / ahead
    low, mid, high = rgb(light.horizon), rgb(light.middle), rgb(light.zenith)
    a = np.clip(v / 0.15, 0, 1)
    b = np.clip((v - 0.07) / 0.30, 0, 1)
    a, b = (a * a * (3 - 2 * a))[:, None], (b * b * (3 - 2 * b))[:, None]
    color = low + (mid - low) * a
    color += (high - color) * b
    for x, y, radius in sky.stars.tolist():
        far = (u - x) ** 2 + (v - y) ** 2
        near = far < 9 * radius * radius
        color[near] += np.exp(-far[near] / (radius * radius))[:, None] * np.float32(0.8)
    if sky.disc is not None:
        far = np.sqrt((u - sky.disc[0]) ** 2 + (v - sky.disc[1]) ** 2)
        shine = np.exp(-far / np.float32(0.16)) * np.float32(light.glow)
        color += (rgb(light.disc) - color) * shine[:, None]
        inside = np.clip((light.disc_size - far) / pixel + 0.5, 0, 1)[:, None]
        color += (rgb(light.disc) - color) * inside
    if len(sky.clouds):
        _blend_clouds(light, sky.clouds, u, v, color)
    return np.clip(color, 0, 1)


def _blend_clouds(light: Light, clouds: Array, u: Array, v: Array, color: Array) -> None:
    """Blend soft, flat-bottomed clouds into `color` (n, 3) in place."""
    top, shade = rgb(light.cloud), rgb(light.cloud_shade)
    low, high = (clouds[:, 1] - clouds[:, 3]).min() - 0.05, (clouds[:, 1] + clouds[:, 3]).max() + 0.05
    rows = np.flatnonzero((v > low) & (v < high))
    if not len(rows):
        return
    x, y = u[rows], v[rows]
    body = np.zeros_like(x)
    bright, weight = np.zeros_like(x), np.full_like(x, 1e-6)
    for px, py, wide, tall in clouds.tolist():
        dx, dy = (x - px) / wide, (y - py) / tall
        dy = np.where(dy < 0, dy * np.float32(1.7), dy)
        inside = np.clip(1.12 - dx * dx - dy * dy, 0, 1)
        body = np.maximum(body, inside)
        weight += inside
        bright += inside * np.clip(0.62 + 0.55 * dy, 0, 1)
    alpha = np.clip(body * 3.2, 0, 1)
    alpha = (alpha * alpha * (3 - 2 * alpha) * np.float32(0.92))[:, None]
    tone = shade + (top - shade) * (bright / weight)[:, None]
    color[rows] += (tone - color[rows]) * alpha


@dataclass(frozen=True)
class ShadowMap:
    """Exponential shadow map: the height above the ground at which light is blocked, blurred for soft edges.

    `occluder` (size, size) holds log-mean-exp depths less the depth of the ground (0 or below). Occluder and
    receiver depths are affine on any plane, so by Jensen's inequality a flat receiver never shadows itself.
    """

    camera: Camera
    occluder: Array
    sharpness: float
    ground: tuple[float, float, float]
    """Depth of the ground plane: constant, change per texel in x and in y."""

    def lit(self, points: Array) -> Array:
        """Fraction of the light (n,) that reaches world `points` (n, 3), 0 to 1."""
        x, y, depth = self._project(points)
        size = self.occluder.shape[0]
        inside = (x > 1) & (x < size - 1) & (y > 1) & (y < size - 1)
        x = np.clip(x - 0.5, 0, size - 1.001).astype(np.float32)
        y = np.clip(y - 0.5, 0, size - 1.001).astype(np.float32)
        i, j = x.astype(np.int32), y.astype(np.int32)
        fx, fy = x - i, y - j
        base, share = j * size + i, np.zeros_like(x)
        flat, sharp = self.occluder.ravel(), np.float32(self.sharpness)
        for step, weight in ((0, (1 - fx) * (1 - fy)), (1, fx * (1 - fy)), (size, (1 - fx) * fy), (size + 1, fx * fy)):
            gap = sharp * (flat.take(base + step) - depth) + np.float32(0.25)
            share += weight * np.exp(np.clip(gap, -20, 0))
        return np.where(inside, share, np.float32(1))

    def _project(self, points: Array) -> tuple[Array, Array, Array]:
        """Texel x, y and depth less the ground's (n,), float32."""
        camera = self.camera
        right = (camera.axes[0] * camera.scale[0]).astype(np.float32)
        down = (-camera.axes[1] * camera.scale[1]).astype(np.float32)
        ahead = (-camera.axes[2]).astype(np.float32)
        x = points @ right + np.float32(camera.middle[0] - float(camera.center @ camera.axes[0]) * camera.scale[0])
        y = points @ down + np.float32(camera.middle[1] + float(camera.center @ camera.axes[1]) * camera.scale[1])
        depth = points @ ahead + np.float32(camera.center @ camera.axes[2])
        first, per_x, per_y = (np.float32(g) for g in self.ground)
        return x, y, depth - (first + per_x * x + per_y * y)


def shadow_map(towards: Array, solids: list[Solid], center: Array, radius: float, size: int, blur: int) -> ShadowMap:
    """The shadow map of everything within `radius` meters of `center` (3,)."""
    camera = parallel(towards, center, (radius, radius), size)
    depth, _ = trace(camera, project_solids(camera, solids, size, size), solids, size, size, shadow_casters_only=True)
    fall = camera.direction[0, 1]
    ground = tuple(-camera.origin[:, 1] / fall)
    grid = np.arange(size) + 0.5
    above = np.minimum(depth - (ground[0] + ground[1] * grid[None, :] + ground[2] * grid[:, None]), 0)
    sharpness = min(320.0 / radius, 600.0 / max(float(-above.min()), 1e-3))
    power = np.exp(sharpness * above)
    for _ in range(2):
        power = _box(_box(power, blur, 0), blur, 1)
    return ShadowMap(camera, (np.log(power) / sharpness).astype(np.float32), sharpness, ground)


def _box(values: Array, radius: int, axis: int) -> Array:
    """Mean over `2·radius + 1` neighbors along `axis`, edges repeated."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (radius, radius)
    padded = np.pad(values, pad, mode="edge")
    out = np.zeros_like(values)
    for k in range(2 * radius + 1):
        out += padded[k : k + values.shape[0]] if axis == 0 else padded[:, k : k + values.shape[1]]
    return out / (2 * radius + 1)
