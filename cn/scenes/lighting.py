"""The four lights (sun or moon, ambient light, colors of the sky) and the soft shadow map."""

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
class ShadowMap:
    """Exponential shadow map: the height above the ground at which light is blocked, blurred for soft edges.

    `occluder` (size, size) holds log-mean-exp depths less the depth of the ground (0 or below). Occluder and
    receiver depths are affine on any plane, so by Jensen's inequality a flat receiver never shadows itself.
    """

    camera: Camera
    occluder: Array
    shaded: Array
    """Whether anything blocks the light at one of the four texels from here to the right and down, bool."""
    sharpness: float
    ground: tuple[float, float, float]
    """Depth of the ground plane: constant, change per texel in x and in y."""

    def lit(self, points: Array, facing: Array) -> Array:
        """Fraction of the light (n,) that reaches world `points` (3, n), 0 to 1; 1 outside the map or not `facing`."""
        x, y, depth = self._project(points)
        size = self.occluder.shape[0]
        out = np.ones_like(x)
        rows = np.flatnonzero(facing & (x > 1) & (x < size - 1) & (y > 1) & (y < size - 1))
        x, y = x.take(rows) - np.float32(0.5), y.take(rows) - np.float32(0.5)
        i, j = x.astype(np.int32), y.astype(np.int32)
        base = j * np.int32(size) + i
        near = np.flatnonzero(self.shaded.ravel().take(base))
        rows, base, depth = rows.take(near), base.take(near), depth.take(rows.take(near))
        fx, fy = (x - i).take(near), (y - j).take(near)
        share = np.zeros_like(fx)
        flat, sharp = self.occluder.ravel(), np.float32(self.sharpness)
        left, above = 1 - fx, 1 - fy
        for step, weight in ((0, left * above), (1, fx * above), (size, left * fy), (size + 1, fx * fy)):
            gap = sharp * (flat.take(base + np.int32(step)) - depth) + np.float32(0.25)
            share += weight * np.exp(np.clip(gap, np.float32(-20), np.float32(0), out=gap), out=gap)
        out[rows] = share
        return out

    def _project(self, points: Array) -> tuple[Array, Array, Array]:
        """Texel x, y and depth less the ground's (n,), float32."""
        camera = self.camera
        right, up, back = camera.axes
        rows = np.stack([right * camera.scale[0], -up * camera.scale[1], -back])
        x, y, depth = rows.astype(np.float32) @ points
        x += np.float32(camera.middle[0] - float(camera.center @ right) * camera.scale[0])
        y += np.float32(camera.middle[1] + float(camera.center @ up) * camera.scale[1])
        depth += np.float32(camera.center @ back)
        first, per_x, per_y = (np.float32(g) for g in self.ground)
        return x, y, depth - (first + per_x * x + per_y * y)


def shadow_map(towards: Array, solids: list[Solid], center: Array, radius: float, size: int, blur: int) -> ShadowMap:
    """The shadow map of everything within `radius` meters of `center` (3,)."""
    camera = parallel(towards, center, (radius, radius), size)
    casters = [solid for solid in solids if solid.shadow]
    depth, _ = trace(camera, project_solids(camera, casters, size, size), casters, size, size)
    fall = camera.direction[0, 1]
    ground = tuple(-camera.origin[:, 1] / fall)
    grid = np.arange(size) + 0.5
    above = np.minimum(depth - (ground[0] + ground[1] * grid[None, :] + ground[2] * grid[:, None]), 0)
    sharpness = min(320.0 / radius, 600.0 / max(float(-above.min()), 1e-3))
    occluder = np.zeros((size, size), np.float32)
    reach = 2 * blur  # of two box filters
    rows, columns = (np.flatnonzero((above < 0).any(axis)) for axis in (1, 0))
    if len(rows):
        window = tuple(slice(max(k[0] - reach, 0), k[-1] + 1 + reach) for k in (rows, columns))
        power = np.exp(sharpness * above[window])
        for _ in range(2):
            power = _box(_box(power, blur, 0), blur, 1)
        occluder[window] = np.log(power) / sharpness
    shaded = occluder < -1e-4 / sharpness
    shaded[:, :-1] |= shaded[:, 1:]
    shaded[:-1] |= shaded[1:]
    return ShadowMap(camera, occluder, shaded, sharpness, ground)


def _box(values: Array, radius: int, axis: int) -> Array:
    """Mean over `2·radius + 1` neighbors along `axis`, edges repeated."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (radius, radius)
    padded = np.pad(values, pad, mode="edge")
    length = values.shape[axis]
    windows = [padded[k : k + length] if axis == 0 else padded[:, k : k + length] for k in range(2 * radius + 1)]
    out = windows[0] + windows[1]
    for window in windows[2:]:
        out += window
    out *= 1 / (2 * radius + 1)
    return out
