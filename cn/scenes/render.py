"""From a described scene to its picture and its exact labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import caster
from .classes import CLASSES
from .clay import BANDS, FADE, PLANKS, SNOWCAP, Solid
from .geometry import Array, Camera, look_at, unit
from .ground import GROUNDS, albedo, ripples
from .light import LIGHTS, Light, ShadowMap, _rgb, paint_sky, shadow_map
from .stage import Stage, set_stage
from .world import Scene

SUBSAMPLES = np.array([(-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375)])
SHADOW_SIZE, SHADOW_BLUR = 256, 3


@dataclass(frozen=True)
class View:
    """A picture with its labels; every map but ``rgb`` (antialiased) is exact at the pixel's centre."""

    rgb: Array
    """uint8 (h, w, 3)."""
    depth: Array
    """float32 (h, w), metres along the camera's axis, inf on the sky."""
    normals: Array
    """float32 (h, w, 3), unit length, x right, y up, z towards the viewer; zeros on the sky."""
    classes: Array
    """uint8 (h, w), ADE20K ids 1 to 150."""
    keypoints: Array
    """float32 (people, 18, 3): x, y in pixels and 1 visible, 0.5 hidden by something, 0 outside the picture."""


def render(scene: Scene, size: int | tuple[int, int] = 256) -> View:
    """Draw ``scene`` at ``size`` (one side of a square, or (height, width))."""
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"a picture of {height}x{width} pixels cannot be drawn")
    with np.errstate(all="ignore"):
        return _render(scene, height, width)


def _render(scene: Scene, height: int, width: int) -> View:
    stage = set_stage(scene)
    solids = stage.solids
    camera = look_at(np.array(scene.eye), np.array(scene.target), scene.fov, height, width)
    lens = caster.focus(camera, solids, height, width)
    depth, ids = caster.trace(camera, lens, solids, height, width)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5)
    flat = caster.surface(camera, solids, x.ravel(), y.ravel(), depth.ravel(), ids.ravel())
    normals = flat[1].reshape(height, width, 3)

    light = LIGHTS[scene.light]
    shadows = shadow_map(_towards(light, scene), solids, np.array(stage.centre), stage.radius, SHADOW_SIZE, SHADOW_BLUR)
    painter = Painter(scene, stage, camera, light, shadows)
    if scene.ground == "water":
        painter = replace(painter, mirror=_mirror(painter, ids))
    rgb = painter.paint(flat, depth.ravel(), ids.ravel()).reshape(height, width, 3)
    mask = caster.edges(ids, normals)
    if mask.any():
        fine = caster.resample(camera, lens, solids, ids, mask, SUBSAMPLES)
        fx, fy, fdepth, fids = (a.ravel() for a in fine)
        colour = painter.paint(caster.surface(camera, solids, fx, fy, fdepth, fids), fdepth, fids)
        rgb[mask] = colour.reshape(len(SUBSAMPLES), -1, 3).mean(0)

    table = np.array([CLASSES["sky"], CLASSES[GROUNDS[scene.ground].label], *(s.class_id for s in solids)], np.uint8)
    return View(
        np.round(rgb * 255).astype(np.uint8), depth, normals @ camera.axes.T.astype(np.float32), table[ids],
        _key_points(stage, camera, depth, ids),
    )  # fmt: skip


def _towards(light: Light, scene: Scene) -> Array:
    """Unit vector (3,) from the scene to its sun or moon."""
    low = np.radians(light.elevation)
    turn = scene.sun_turn
    return unit((np.cos(low) * np.sin(turn), np.sin(low), np.cos(low) * np.cos(turn)))


@dataclass(frozen=True)
class Painter:
    """Colours for lists of samples."""

    scene: Scene
    stage: Stage
    camera: Camera
    light: Light
    shadows: ShadowMap
    mirror: Array | None = None
    """What a lake reflects at every pixel, (h, w, 4): colour times cover, cover."""

    def paint(self, flat: tuple[Array, Array, Array, Array], depth: Array, ids: Array) -> Array:
        """Colours as shown (n, 3), 0 to 1, of samples: ``flat`` as ``caster.surface`` gives it, ``depth``, ``ids`` (n,)."""
        points, normals, local, direction = flat
        colour = np.empty_like(points)
        sky, rows = np.flatnonzero(ids == caster.SKY), np.flatnonzero(ids != caster.SKY)
        if len(sky):
            colour[sky] = paint_sky(self.light, self.stage.sky, direction.take(sky, 0), 1 / self.camera.scale[0])
        if len(rows):
            colour[rows] = self._lit(*(a.take(rows, 0) for a in (points, normals, local, direction, depth, ids)))
        return colour

    def _lit(self, points: Array, normals: Array, local: Array, direction: Array, depth: Array, ids: Array) -> Array:
        light, scale = self.light, self.stage.scale
        on_ground = ids == caster.GROUND
        paint, glow = self._materials(points, local, normals, depth, direction, ids, on_ground)
        shading = normals
        water = self.scene.ground == "water"
        if water:
            shading = normals.copy()
            cover = depth[on_ground] / self.camera.scale[0]
            shading[on_ground] = ripples(points[on_ground], scale, self.scene.seed + self.scene.index, cover)
        sun = _towards(light, self.scene).astype(np.float32)
        slope = shading @ sun
        lit = np.clip((slope + np.float32(0.12)) / np.float32(1.12), 0, 1) * self.shadows.lit(points + normals * np.float32(0.012 * scale))
        upward = np.float32(0.5) + np.float32(0.5) * shading[:, 1]
        near = self._contact(points, on_ground)
        ambient = np.array(light.bounce, np.float32) + (np.array(light.ambient, np.float32) - np.array(light.bounce, np.float32)) * upward[:, None]
        view = -direction / np.sqrt(np.einsum("nc,nc->n", direction, direction))[:, None]
        facing = np.clip(np.einsum("nc,nc->n", view, shading), 0, 1)
        fill = np.where(on_ground, np.float32(1), np.float32(0.82) + np.float32(0.42) * facing)  # faces stay readable
        total = ambient * (near * fill)[:, None]
        total += np.array(light.sun, np.float32) * lit[:, None]
        rim = (1 - facing) ** 3 * upward * ~on_ground
        total += np.array(light.ambient, np.float32) * (np.float32(0.55) * rim)[:, None]
        self._lamps(points, normals, total)
        total *= paint
        total += paint * (glow * np.float32(1.9))[:, None]
        shown = _tone(total * np.float32(light.exposure))
        if water:
            self._reflect(shown, points, shading, view, on_ground, lit)
        haze = 1 - np.exp(-np.maximum(depth - 6 * scale, 0) / np.float32(75 * scale))
        far = _rgb(light.haze)
        if self.scene.ground == "snow":
            far = far + (_rgb(light.zenith) - far) * np.float32(0.25)  # snow stays cool to the horizon
        shown += (far - shown) * (haze * np.float32(0.85))[:, None]
        return shown

    def _materials(self, points: Array, local: Array, normals: Array, depth: Array, direction: Array, ids: Array,
                   on_ground: Array) -> tuple[Array, Array]:  # fmt: skip
        """Linear colours (n, 3) and glow (n,)."""
        solids = self.stage.solids
        colours = np.array([(0, 0, 0), (0, 0, 0), *(s.colour for s in solids)], np.float32)
        here = np.flatnonzero(on_ground)
        night = self.scene.light in ("night", "dusk")
        shine = np.array([0, 0, *(s.glow if night else s.glow * 0.25 for s in solids)], np.float32)
        paint = colours.take(ids, 0)
        cover = depth.take(here) / np.float32(self.camera.scale[0])
        cover = cover / np.clip(np.abs(direction[:, 1].take(here)), 0.05, 1)
        paint[here] = albedo(self.scene.ground, self.scene.seed + self.scene.index, self.stage.scale, points.take(here, 0), cover)
        patterns = np.array([0, 0, *(s.pattern for s in solids)], np.uint8)[ids]
        for pattern in np.unique(patterns[patterns > 0]).tolist():
            rows = np.flatnonzero(patterns == pattern)
            paint[rows] = _decorate(pattern, paint[rows], local[rows], normals[rows])
        return paint, shine[ids]

    def _contact(self, points: Array, on_ground: Array) -> Array:
        """How open the surroundings are (n,): darker under things and near the ground they stand on."""
        scale = self.stage.scale
        near = np.clip(np.float32(0.72) + points[:, 1] / np.float32(0.9 * scale), 0, 1)
        rows = np.flatnonzero(on_ground)
        p = points[rows]
        open_sky = np.ones(len(rows), np.float32)
        for x, z, radius, strength in self.stage.blobs:
            far = ((p[:, 0] - x) ** 2 + (p[:, 2] - z) ** 2) / np.float32(radius * radius)
            open_sky *= 1 - np.float32(strength) * np.exp(-far)
        near[rows] = open_sky
        return near

    def _lamps(self, points: Array, normals: Array, total: Array) -> None:
        """Add warm light from lamps and windows to ``total`` (n, 3) in place, when it is dark enough to matter."""
        power = {"night": 1.0, "dusk": 0.45}.get(self.scene.light, 0.0)
        if not power:
            return
        warm = np.array((1.5, 0.95, 0.42), np.float32)
        for x, y, z, reach in self.stage.lamps:
            to = np.array((x, y, z), np.float32) - points
            square = np.einsum("nc,nc->n", to, to)
            slope = np.clip(np.einsum("nc,nc->n", to, normals) / np.sqrt(square + 1e-6), -0.2, 1) + np.float32(0.25)
            total += warm * (power * slope / (1 + square / (reach * reach) * 4))[:, None]

    def _reflect(self, shown: Array, points: Array, shading: Array, view: Array, on_ground: Array, lit: Array) -> None:
        """Mix the mirrored sky and things into the water of ``shown`` (n, 3) in place."""
        if not on_ground.any():
            return
        n, v = shading[on_ground], view[on_ground]
        cosine = np.clip(np.einsum("nc,nc->n", n, v), 0.02, 1)
        mirrored = 2 * cosine[:, None] * n - v
        height = np.clip(mirrored[:, 1] / 0.75, 0, 1)[:, None]
        low, high = _rgb(self.light.middle), _rgb(self.light.zenith)
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


def _mirror(painter: Painter, ids: Array) -> Array:
    """What the lake reflects at the pixels where ``ids`` (h, w) sees it, softened: (h, w, 4)."""
    height, width = ids.shape
    solids, camera = painter.stage.solids, painter.camera.mirrored()
    lens = caster.focus(camera, solids, height, width)
    depth, seen = caster.trace(camera, lens, solids, height, width, beyond_ground=True)
    i, j = np.nonzero((seen >= caster.FIRST) & (ids == caster.GROUND))
    image = np.zeros((height, width, 4), np.float32)
    if len(i):
        x, y = (j + 0.5).astype(np.float32), (i + 0.5).astype(np.float32)
        flat = caster.surface(camera, solids, x, y, depth[i, j], seen[i, j])
        image[i, j, :3] = painter.paint(flat, depth[i, j], seen[i, j])
        image[i, j, 3] = 1
    soft = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    soft = soft[:-2] + soft[1:-1] + soft[2:]
    return (soft[:, :-2] + soft[:, 1:-1] + soft[:, 2:]) / np.float32(9)


def _decorate(pattern: int, paint: Array, p: Array, normals: Array) -> Array:
    """A solid's quiet pattern: (n, 3) linear colours from its plain ``paint`` and own-space points ``p`` (n, 3)."""
    if pattern == BANDS:
        band = np.abs(p[:, 1]) < 0.22
        return np.where(band[:, None], np.float32((0.92, 0.90, 0.84)), paint)
    if pattern == SNOWCAP:
        ragged = np.float32(0.10) * np.sin(np.arctan2(p[:, 0], p[:, 2]) * 7)
        cap = np.clip((p[:, 1] - 0.25 + ragged) * 14, 0, 1)[:, None]
        return paint + (np.float32((0.88, 0.92, 0.97)) - paint) * cap
    if pattern == PLANKS:
        board = np.abs(((p[:, 0] + 1) * 4) % 1 - 0.5) * 2
        return paint * (1 - np.float32(0.30) * np.clip((board - 0.86) * 9, 0, 1))[:, None]
    if pattern == FADE:
        return paint * (np.float32(0.86) + np.float32(0.22) * np.clip(p[:, 1], -1, 1))[:, None]
    return paint


def _tone(linear: Array) -> Array:
    """Linear light (n, 3) → colours as shown: a soft shoulder, then sRGB's curve."""
    soft = 1 - np.exp(-linear * np.float32(0.95))
    soft *= 1 + np.float32(0.12) * soft
    return np.sqrt(np.clip(soft, 0, 1)) ** np.float32(0.909)


def _key_points(stage: Stage, camera: Camera, depth: Array, ids: Array) -> Array:
    """Project every joint and say whether the picture shows it: (people, 18, 3)."""
    out = np.zeros((len(stage.people), 18, 3), np.float32)
    owners = np.array([-1, -1, *(s.owner for s in stage.solids)])
    height, width = ids.shape
    for row, person in enumerate(stage.people):
        x, y, far = camera.project(person.joints)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (far > 0)
        i, j = y.clip(0, height - 1).astype(int), x.clip(0, width - 1).astype(int)
        seen = (owners[ids[i, j]] == person.owner) & (stage.is_person[ids[i, j]]) & (far - depth[i, j] < person.reach)
        out[row, :, 0], out[row, :, 1] = x, y
        out[row, :, 2] = np.where(inside, np.where(seen, 1.0, 0.5), 0.0)
    return out


__all__ = ["Scene", "Solid", "View", "render"]
