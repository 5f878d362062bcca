"""From a described scene to its image and its exact labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import caster
from .classes import CLASSES
from .geometry import Array, Camera, look_at
from .ground import GROUNDS
from .light import LIGHTS, shadow_map
from .painter import Painter, towards
from .scene import Scene
from .stage import Stage, set_stage

SUBSAMPLES = np.array([(-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375)])
"""Four samples of an edge pixel, from its center: no two in one row or column."""
SHADOW_SIZE, SHADOW_BLUR = 256, 3


@dataclass(frozen=True)
class View:
    """An image with its labels; every map but ``rgb`` (antialiased) is exact at the pixel's center."""

    rgb: Array
    """uint8 (h, w, 3)."""
    depth: Array
    """float32 (h, w), meters along the camera's axis, inf on the sky."""
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
    """Trace, shade, then trace and shade again more finely where the image has edges."""
    stage = set_stage(scene)
    solids = stage.solids
    camera = look_at(np.array(scene.eye), np.array(scene.target), scene.fov, height, width)
    lens = caster.focus(camera, solids, height, width)
    depth, ids = caster.trace(camera, lens, solids, height, width)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5)
    flat = caster.surface(camera, solids, x.ravel(), y.ravel(), depth.ravel(), ids.ravel())
    normals = flat[1].reshape(height, width, 3)

    light = LIGHTS[scene.light]
    shadows = shadow_map(towards(light, scene), solids, np.array(stage.center), stage.radius, SHADOW_SIZE, SHADOW_BLUR)
    painter = Painter(scene, stage, camera, light, shadows)
    if scene.ground == "water":
        painter = replace(painter, mirror=_mirror(painter, ids))
    rgb = painter.paint(flat, depth.ravel(), ids.ravel()).reshape(height, width, 3)
    mask = caster.edges(ids, normals)
    if mask.any():
        fine = caster.resample(camera, lens, solids, ids, mask, SUBSAMPLES)
        fx, fy, fdepth, fids = (a.ravel() for a in fine)
        color = painter.paint(caster.surface(camera, solids, fx, fy, fdepth, fids), fdepth, fids)
        rgb[mask] = color.reshape(len(SUBSAMPLES), -1, 3).mean(0)

    table = np.array([CLASSES["sky"], CLASSES[GROUNDS[scene.ground].label], *(s.class_id for s in solids)], np.uint8)
    return View(
        np.round(rgb * 255).astype(np.uint8), depth, normals @ camera.axes.T.astype(np.float32), table[ids],
        _key_points(stage, camera, depth, ids),
    )  # fmt: skip


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


def _key_points(stage: Stage, camera: Camera, depth: Array, ids: Array) -> Array:
    """Project every joint and say whether the image shows it: (people, 18, 3)."""
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
