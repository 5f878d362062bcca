"""Shading of lists of samples: materials, light and shadow, reflections, haze and the tone curve."""

from dataclasses import dataclass

import numpy as np

from cn.scenes import raycaster
from cn.scenes.builder import BANDS, CLOTH_CHECKS, CLOTH_DOTS, CLOTH_STRIPES, FADE, PLANKS, SNOWCAP, UNIT_CLOTH
from cn.scenes.geometry import Array, Camera, unit
from cn.scenes.ground import albedo, ripples
from cn.scenes.lighting import Light, ShadowMap, rgb, shade_sky
from cn.scenes.scene import Scene
from cn.scenes.scene_model import SceneModel


def light_direction(light: Light, scene: Scene) -> Array:
    """Unit vector (3,) from the scene to its sun or moon."""
    low = np.radians(light.elevation)
    turn = scene.sun_turn
    return unit((np.cos(low) * np.sin(turn), np.sin(low), np.cos(low) * np.cos(turn)))


@dataclass(frozen=True)
class Shader:
    """Computes the colors of lists of samples of one scene."""

    scene: Scene
    model: SceneModel
    camera: Camera
    light: Light
    shadows: ShadowMap
    mirror: Array | None = None
    """What a lake reflects at every pixel, (h, w, 4): color times cover, cover."""

    def shade(self, flat: tuple[Array, Array, Array, Array], depth: Array, ids: Array) -> Array:
        """Colors as shown (n, 3), 0 to 1, of samples: `flat` from `raycaster.surface`, `depth` and `ids` (n,)."""
        points, normals, local, direction = flat
        color = np.empty_like(points)
        sky, rows = np.flatnonzero(ids == raycaster.SKY), np.flatnonzero(ids != raycaster.SKY)
        if len(sky):
            color[sky] = shade_sky(self.light, self.model.sky, direction.take(sky, 0), 1 / self.camera.scale[0])
        if len(rows):
            color[rows] = self._lit(*(a.take(rows, 0) for a in (points, normals, local, direction, depth, ids)))
        return color

    def _lit(self, points: Array, normals: Array, local: Array, direction: Array, depth: Array, ids: Array) -> Array:
        """Shade samples that hit something: (n, 3), 0 to 1. All arguments have n rows."""
        light, scale = self.light, self.model.scale
        on_ground = ids == raycaster.GROUND
        base_color, glow = self._materials(points, local, normals, depth, direction, ids, on_ground)
        shading = normals
        water = self.scene.ground == "water"
        if water:
            shading = normals.copy()
            cover = depth[on_ground] / self.camera.scale[0]
            shading[on_ground] = ripples(points[on_ground], scale, self.scene.seed + self.scene.index, cover)
        sun = light_direction(light, self.scene).astype(np.float32)
        slope = shading @ sun
        lit = np.clip((slope + np.float32(0.12)) / np.float32(1.12), 0, 1) * self.shadows.lit(
            points + normals * np.float32(0.012 * scale)
        )
        upward = np.float32(0.5) + np.float32(0.5) * shading[:, 1]
        near = self._contact(points, on_ground)
        ambient = (
            np.array(light.bounce, np.float32)
            + (np.array(light.ambient, np.float32) - np.array(light.bounce, np.float32)) * upward[:, None]
        )
        view = -direction / np.sqrt(np.einsum("nc,nc->n", direction, direction))[:, None]
        facing = np.clip(np.einsum("nc,nc->n", view, shading), 0, 1)
        fill = np.where(on_ground, np.float32(1), np.float32(0.82) + np.float32(0.42) * facing)  # faces stay readable
        total = ambient * (near * fill)[:, None]
        total += np.array(light.sun, np.float32) * lit[:, None]
        rim = (1 - facing) ** 3 * upward * ~on_ground
        total += np.array(light.ambient, np.float32) * (np.float32(0.55) * rim)[:, None]
        self._lamps(points, normals, total)
        total *= base_color
        total += base_color * (glow * np.float32(1.9))[:, None]
        shown = _tone(total * np.float32(light.exposure))
        if water:
            self._reflect(shown, points, shading, view, on_ground, lit)
        haze = 1 - np.exp(-np.maximum(depth - 6 * scale, 0) / np.float32(75 * scale))
        far = rgb(light.haze)
        if self.scene.ground == "snow":
            far = far + (rgb(light.zenith) - far) * np.float32(0.25)  # snow stays cool to the horizon
        shown += (far - shown) * (haze * np.float32(0.85))[:, None]
        return shown

    def _materials(
        self, points: Array, local: Array, normals: Array, depth: Array, direction: Array, ids: Array, on_ground: Array
    ) -> tuple[Array, Array]:
        """Linear colors (n, 3) and glow (n,)."""
        solids = self.model.solids
        colors = np.array([(0, 0, 0), (0, 0, 0), *(s.color for s in solids)], np.float32)
        here = np.flatnonzero(on_ground)
        night = self.scene.light in ("night", "dusk")
        shine = np.array([0, 0, *(s.glow if night else s.glow * 0.25 for s in solids)], np.float32)
        base_color = colors.take(ids, 0)
        cover = depth.take(here) / np.float32(self.camera.scale[0])
        cover = cover / np.clip(np.abs(direction[:, 1].take(here)), 0.05, 1)
        base_color[here] = albedo(
            self.scene.ground, self.scene.seed + self.scene.index, self.model.scale, points.take(here, 0), cover
        )
        patterns = np.array([0, 0, *(s.pattern for s in solids)], np.uint8)[ids]
        for pattern in np.unique(patterns[patterns > 0]).tolist():
            rows = np.flatnonzero(patterns == pattern)
            base_color[rows] = _apply_pattern(pattern, base_color[rows], local[rows], normals[rows])
        return base_color, shine[ids]

    def _contact(self, points: Array, on_ground: Array) -> Array:
        """Ambient occlusion (n,), 1 in the open: darker under things and near the ground they stand on."""
        scale = self.model.scale
        near = np.clip(np.float32(0.72) + points[:, 1] / np.float32(0.9 * scale), 0, 1)
        rows = np.flatnonzero(on_ground)
        p = points[rows]
        open_sky = np.ones(len(rows), np.float32)
        for x, z, radius, strength in self.model.contact_shadows:
            far = ((p[:, 0] - x) ** 2 + (p[:, 2] - z) ** 2) / np.float32(radius * radius)
            open_sky *= 1 - np.float32(strength) * np.exp(-far)
        near[rows] = open_sky
        return near

    def _lamps(self, points: Array, normals: Array, total: Array) -> None:
        """Add warm light from lamps and windows to `total` (n, 3) in place, when it is dark enough to matter."""
        power = {"night": 1.0, "dusk": 0.45}.get(self.scene.light, 0.0)
        if not power:
            return
        warm = np.array((1.5, 0.95, 0.42), np.float32)
        for x, y, z, reach in self.model.lamps:
            to = np.array((x, y, z), np.float32) - points
            square = np.einsum("nc,nc->n", to, to)
            slope = np.clip(np.einsum("nc,nc->n", to, normals) / np.sqrt(square + 1e-6), -0.2, 1) + np.float32(0.25)
            total += warm * (power * slope / (1 + square / (reach * reach) * 4))[:, None]

    def _reflect(self, shown: Array, points: Array, shading: Array, view: Array, on_ground: Array, lit: Array) -> None:
        """Mix the mirrored sky and things into the water of `shown` (n, 3) in place."""
        if not on_ground.any():
            return
        n, v = shading[on_ground], view[on_ground]
        cosine = np.clip(np.einsum("nc,nc->n", n, v), 0.02, 1)
        mirrored = 2 * cosine[:, None] * n - v
        height = np.clip(mirrored[:, 1] / 0.75, 0, 1)[:, None]
        low, high = rgb(self.light.middle), rgb(self.light.zenith)
        tint = low + (high - low) * height
        share = np.clip(0.12 + 0.85 * (1 - cosine) ** 3, 0, 0.8)[:, None]
        shade = np.float32(0.72) + np.float32(0.28) * np.clip(lit[on_ground] * 1.6, 0, 1)[:, None]
        water = shown[on_ground] + (tint * shade - shown[on_ground]) * share
        if self.mirror is not None:
            height, width = self.mirror.shape[:2]
            x, y, _ = self.camera.project(points[on_ground].astype(np.float32))
            i = (y + n[:, 2] * np.float32(0.05 * height)).clip(0, height - 1).astype(np.int32)
            j = (x + n[:, 0] * np.float32(0.05 * width)).clip(0, width - 1).astype(np.int32)
            image = self.mirror[i, j]
            strength = np.clip(share + 0.22, 0, 0.75)
            water += (image[:, :3] - water * image[:, 3:]) * strength
        shown[on_ground] = water


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
    if pattern >= CLOTH_STRIPES:
        return _cloth(pattern, color, p)
    return color


def _cloth(pattern: int, color: Array, p: Array) -> Array:
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


def _tone(linear: Array) -> Array:
    """Linear light (n, 3) → colors as shown: a soft shoulder, then sRGB's curve."""
    soft = 1 - np.exp(-linear * np.float32(0.95))
    soft *= 1 + np.float32(0.12) * soft
    return np.sqrt(np.clip(soft, 0, 1)) ** np.float32(0.909)
