"""Shading of sorted samples: materials, light and shadow, reflections, haze and the tone curve."""

from dataclasses import dataclass

import numpy as np

from cn.scenes import raycaster
from cn.scenes.builder import BANDS, BRICKS, CLOTH_STRIPES, FADE, GORES, PATCHES, PLANKS, RINGS, SNOWCAP
from cn.scenes.cloth import cloth
from cn.scenes.geometry import Array, Camera, unit
from cn.scenes.ground import GROUNDS, albedo, puddles, ripples
from cn.scenes.lighting import Light, ShadowMap, rgb
from cn.scenes.scene import Scene
from cn.scenes.scene_model import SceneModel
from cn.scenes.scenery_patterns import FIRST_OF_SCENERY, scenery_pattern
from cn.scenes.sky import shade_sky
from cn.scenes.weather import haze

BLOCK = 16384
"""Samples shaded at a time: their arrays fit the processor's cache."""


def light_direction(light: Light, scene: Scene) -> Array:
    """Unit vector (3,) from the scene to its sun or moon."""
    low = np.radians(light.elevation)
    turn = scene.sun_turn
    return unit((np.cos(low) * np.sin(turn), np.sin(low), np.cos(low) * np.cos(turn)))


@dataclass(frozen=True)
class _Part:
    """A block of samples that hit something, all on the ground or all on solids. Vectors are (3, n)."""

    points: Array
    normals: Array
    direction: Array
    depth: Array


@dataclass(frozen=True)
class Shader:
    """Computes the colors of the samples of one scene."""

    scene: Scene
    model: SceneModel
    camera: Camera
    light: Light
    shadows: ShadowMap
    mirror: Array | None = None
    """What water reflects at every pixel, (h, w, 4): color times cover, cover."""

    def shade(self, samples: raycaster.Samples) -> Array:
        """Colors as shown (3, n), 0 to 1, in the caller's order."""
        color = np.empty_like(samples.points)
        limits = {ident: end for ident, _, end in samples.runs if ident < raycaster.FIRST}
        sky = limits.get(raycaster.SKY, 0)
        ground = limits.get(raycaster.GROUND, sky)
        solid_color, glow = self._materials(samples, ground)
        pixel = 1 / self.camera.scale[0]
        for first, last in _blocks(0, sky):
            direction = samples.direction[:, first:last]
            color[:, first:last] = shade_sky(self.light, self.model.sky, direction, pixel)
        for first, last in [*_blocks(sky, ground), *_blocks(ground, len(samples.depth))]:
            at = slice(first, last)
            part = _Part(samples.points[:, at], samples.normals[:, at], samples.direction[:, at], samples.depth[at])
            if first < ground:
                color[:, at] = self._ground(part)
            else:
                color[:, at] = self._solids(
                    part, solid_color[:, first - ground : last - ground], glow[first - ground : last - ground]
                )
        return samples.unsorted(color)

    def _ground(self, part: _Part) -> Array:
        """Shade samples of the ground: (3, n), as shown."""
        scene, scale, points = self.scene, self.model.scale, part.points
        seed = scene.seed + scene.index
        away = part.depth * np.float32(1 / self.camera.scale[0])
        slope = np.abs(part.direction[1])
        base = albedo(scene.ground, seed, scale, points, away / np.clip(slope, 0.05, 1))
        water = scene.ground == "water"
        shading = ripples(points, scale, seed, away) if water else part.normals
        view = -part.direction / _length(part.direction)
        open_sky = np.ones(len(part.depth), np.float32)
        for x, z, radius, strength in self.model.contact_shadows:
            far = (points[0] - np.float32(x)) ** 2 + (points[2] - np.float32(z)) ** 2
            open_sky *= 1 - np.float32(strength) * np.exp(far * np.float32(-1 / (radius * radius)))
        wet = 0.0
        if scene.weather == "rain" and not water:
            base *= np.float32(0.62)
            wet = GROUNDS[scene.ground].wet
        total = self._ambient(shading) * open_sky
        lit = self._sun(part, shading)
        total += np.array(self.light.sun, np.float32)[:, None] * lit
        self._lamps(points, part.normals, total)
        total *= base
        shown = _tone(total * np.float32(self.light.exposure))
        if water:
            self._reflect(shown, points, shading, view, lit, np.float32(1))
        elif wet:
            cover = np.float32(0.25) + np.float32(0.75) * puddles(points, scale, seed, away / np.clip(slope, 0.05, 1))
            self._reflect(shown, points, shading, view, lit, cover * np.float32(wet))
        self._haze(part, shown)
        return shown

    def _solids(self, part: _Part, base: Array, glow: Array) -> Array:
        """Shade samples of solids with linear colors `base` (3, n) and `glow` (n,): (3, n), as shown."""
        normals = part.normals
        facing = -_dot(part.direction, normals) / _length(part.direction)
        np.clip(facing, 0, 1, out=facing)
        near = np.clip(np.float32(0.72) + part.points[1] * np.float32(1 / (0.9 * self.model.scale)), 0, 1)
        near *= np.float32(0.82) + np.float32(0.42) * facing  # faces stay readable
        total = self._ambient(normals) * near
        total += np.array(self.light.sun, np.float32)[:, None] * self._sun(part, normals)
        rim = (1 - facing) ** 3 * (np.float32(0.5) + np.float32(0.5) * normals[1])
        total += np.array(self.light.ambient, np.float32)[:, None] * (np.float32(0.55) * rim)
        self._lamps(part.points, normals, total)
        total += glow * np.float32(1.9)
        total *= base
        shown = _tone(total * np.float32(self.light.exposure))
        self._haze(part, shown)
        return shown

    def _ambient(self, normals: Array) -> Array:
        """Light from all around (3, n): from the sky above and the ground below."""
        ambient, bounce = (np.array(v, np.float32)[:, None] for v in (self.light.ambient, self.light.bounce))
        return bounce + (ambient - bounce) * (np.float32(0.5) + np.float32(0.5) * normals[1])

    def _sun(self, part: _Part, normals: Array) -> Array:
        """Share (n,) of the sun's light that arrives."""
        slope = light_direction(self.light, self.scene).astype(np.float32) @ normals
        slope += np.float32(0.12)
        np.clip(slope * np.float32(1 / 1.12), 0, 1, out=slope)
        return slope * self.shadows.lit(part.points + part.normals * np.float32(0.012 * self.model.scale), slope > 0)

    def _haze(self, part: _Part, shown: Array) -> None:
        """Fade `shown` (3, n) with the distance, in place."""
        if self.scene.ground == "room":
            return
        far = rgb(self.light.haze)
        if self.scene.ground == "snow" and self.scene.weather == "clear":
            far = far + (rgb(self.light.zenith) - far) * np.float32(0.25)  # snow stays cool to the horizon
        shown += (far[:, None] - shown) * haze(self.scene, self.model.scale, part.depth)

    def _materials(self, samples: raycaster.Samples, begin: int) -> tuple[Array, Array]:
        """Linear colors (3, n) and glow (n,) of the samples on solids, from number `begin` on."""
        dark = self.scene.light in ("night", "dusk")
        count = len(samples.depth) - begin
        color, glow = np.empty((3, count), np.float32), np.zeros(count, np.float32)
        for ident, first, last in samples.runs:
            if ident < raycaster.FIRST:
                continue
            solid, at = self.model.solids[ident - raycaster.FIRST], slice(first - begin, last - begin)
            color[:, at] = solid.color[:, None]
            glow[at] = solid.glow if dark else 0.25 * solid.glow
            local, normals = samples.local[:, first:last], samples.normals[:, first:last]
            if solid.pattern >= FIRST_OF_SCENERY:
                color[:, at] = scenery_pattern(solid.pattern, color[:, at], local, normals, dark)
            elif solid.pattern:
                color[:, at] = _apply_pattern(solid.pattern, color[:, at].T, local.T, normals.T).T
        return color, glow

    def _lamps(self, points: Array, normals: Array, total: Array) -> None:
        """Add warm light from lamps and windows to `total` (3, n) in place, when it is dark enough to matter."""
        power = {"night": 1.0, "dusk": 0.45}.get(self.scene.light, 0.0)
        if not power:
            return
        warm = np.array((1.5, 0.95, 0.42), np.float32)[:, None]
        for x, y, z, reach in self.model.lamps:
            to = np.array(((x,), (y,), (z,)), np.float32) - points
            square = _dot(to, to)
            slope = np.clip(_dot(to, normals) / np.sqrt(square + np.float32(1e-6)), -0.2, 1) + np.float32(0.25)
            total += warm * (np.float32(power) * slope / (1 + square * np.float32(4 / (reach * reach))))

    def _reflect(
        self, shown: Array, points: Array, shading: Array, view: Array, lit: Array, cover: Array | np.float32
    ) -> None:
        """Mix the mirrored sky and things into `shown` (3, n) in place, where water has a share of `cover` (n,)."""
        cosine = np.clip(_dot(shading, view), 0.02, 1)
        height = np.clip((2 * cosine * shading[1] - view[1]) * np.float32(1 / 0.75), 0, 1)
        low, high = rgb(self.light.middle)[:, None], rgb(self.light.zenith)[:, None]
        tint = low + (high - low) * height
        share = np.clip(np.float32(0.12) + np.float32(0.85) * (1 - cosine) ** 3, 0, 0.8)
        tint *= np.float32(0.72) + np.float32(0.28) * np.clip(lit * np.float32(1.6), 0, 1)
        shown += (tint - shown) * (share * cover)
        if self.mirror is not None:
            rows, columns = self.mirror.shape[:2]
            x, y, _ = self.camera.project(points.T)
            i = (y + shading[2] * np.float32(0.05 * rows)).clip(0, rows - 1).astype(np.int32)
            j = (x + shading[0] * np.float32(0.05 * columns)).clip(0, columns - 1).astype(np.int32)
            image = self.mirror.reshape(-1, 4).take(i * columns + j, 0).T
            shown += (image[:3] - shown * image[3]) * (np.clip(share + np.float32(0.22), 0, 0.75) * cover)


def _blocks(begin: int, end: int) -> list[tuple[int, int]]:
    """The range from `begin` to `end` in blocks."""
    return [(k, min(k + BLOCK, end)) for k in range(begin, end, BLOCK)]


def _dot(p: Array, q: Array) -> Array:
    """Inner products (n,) of two (3, n)."""
    return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]


def _length(p: Array) -> Array:
    """Lengths (n,) of vectors (3, n)."""
    return np.sqrt(_dot(p, p))


def _apply_pattern(pattern: int, color: Array, p: Array, normals: Array) -> Array:
    """Apply a solid's pattern: (n, 3) linear colors from its plain `color` and object-space points `p` (n, 3)."""
    if pattern == BANDS:
        band = np.abs(p[:, 1]) < 0.22
        return np.where(band[:, None], np.array((0.92, 0.90, 0.84), np.float32), color)
    if pattern == SNOWCAP:
        ragged = np.float32(0.10) * np.sin(np.arctan2(p[:, 0], p[:, 2]) * 7)
        cap = np.clip((p[:, 1] - 0.25 + ragged) * 14, 0, 1)[:, None]
        return color + (np.array((0.88, 0.92, 0.97), np.float32) - color) * cap
    if pattern == PLANKS:
        board = np.abs(((p[:, 0] + 1) * 4) % 1 - 0.5) * 2
        return color * (1 - np.float32(0.30) * np.clip((board - 0.86) * 9, 0, 1))[:, None]
    if pattern == FADE:
        return color * (np.float32(0.86) + np.float32(0.22) * np.clip(p[:, 1], -1, 1))[:, None]
    if pattern == BRICKS:  # 8 rows of 24 bricks around the vertical
        row = (p[:, 1] + 1) * np.float32(4)
        brick = np.arctan2(p[:, 0], p[:, 2]) * np.float32(12 / np.pi) + np.float32(0.5) * (np.floor(row) % 2)
        joint = (np.abs(row % 1 - 0.5) > 0.43) | (np.abs(brick % 1 - 0.5) > 0.45)
        return np.where(joint[:, None], color * np.float32(0.6) + np.float32(0.22), color)
    if pattern == GORES:  # 16 sectors around the vertical, every second one white
        white = np.sin(np.arctan2(p[:, 0], p[:, 2]) * 8) > 0
        return np.where(white[:, None], np.array((0.92, 0.90, 0.84), np.float32), color)
    if pattern == RINGS:  # 7 across the vertical, every second one white
        white = np.sin(p[:, 1] * np.float32(3.5 * np.pi)) > 0
        return np.where(white[:, None], np.array((0.92, 0.90, 0.84), np.float32), color)
    if pattern == PATCHES:  # brownish patches with pale seams between them
        around = np.arctan2(p[:, 0], p[:, 2])
        patch = np.sin(3 * around + 1.5 * np.sin(5 * p[:, 1])) + np.sin(7 * p[:, 1] + 1.2 * np.sin(2 * around))
        brown = np.abs(patch) > np.float32(0.55)
        return np.where(brown[:, None], color * np.array((0.40, 0.26, 0.18), np.float32), color)
    if pattern >= CLOTH_STRIPES:
        return cloth(pattern, color, p)
    return color


def _tone(linear: Array) -> Array:
    """Linear light (3, n) → colors as shown: a soft shoulder, then sRGB's curve."""
    soft = linear * np.float32(-0.95)
    np.exp(soft, out=soft)
    np.subtract(1, soft, out=soft)
    soft *= 1 + np.float32(0.12) * soft
    np.clip(soft, 0, 1, out=soft)
    np.sqrt(soft, out=soft)
    return np.power(soft, np.float32(0.909), out=soft)
