"""From a described scene to its image and its exact labels."""

from dataclasses import dataclass, replace

import numpy as np

from cn.scenes import raycaster
from cn.scenes.classes import LABELS
from cn.scenes.geometry import Array, Camera, look_at
from cn.scenes.ground import GROUNDS
from cn.scenes.lighting import shadow_map
from cn.scenes.scene import Scene
from cn.scenes.scene_model import SceneModel, build_scene_model
from cn.scenes.shading import Shader, light_direction
from cn.scenes.weather import WEATHERS, light_of, particles

SUBSAMPLES = np.array([(-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375)])
"""Offsets of the four samples of an edge pixel from its center: no two in one row or column."""
SHADOW_SIZE = 192


@dataclass(frozen=True)
class View:
    """An image with its labels; every map but `rgb` (antialiased) is exact at the pixel's center."""

    rgb: Array
    """uint8 (h, w, 3)."""
    depth: Array
    """float32 (h, w), meters along the camera's axis, inf on the sky."""
    normals: Array
    """float32 (h, w, 3), unit length, x right, y up, z towards the viewer; zeros on the sky."""
    classes: Array
    """uint8 (h, w), ADE20K ids 1 to 150."""
    coco: Array
    """uint8 (h, w), COCO-Stuff indices 0 to 170, 255 for none."""
    keypoints: Array
    """float32 (people, 18, 3): x, y in pixels and 1 visible, 0.5 hidden by something, 0 outside the image."""


def render(scene: Scene, size: int | tuple[int, int] = 256) -> View:
    """Render `scene` at `size` (one side of a square, or (height, width))."""
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"cannot render an image of {height}×{width} pixels: both sides must be at least 1")
    with np.errstate(all="ignore"):
        return _render(scene, height, width)


def _render(scene: Scene, height: int, width: int) -> View:
    """Trace and shade every pixel, then supersample where the image has edges."""
    model = build_scene_model(scene)
    solids = model.solids
    camera = look_at(np.array(scene.eye), np.array(scene.target), scene.fov, height, width)
    projected = raycaster.project_solids(camera, solids, height, width)
    depth, ids = raycaster.trace(camera, projected, solids, height, width)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5)
    samples = raycaster.surface(camera, projected, solids, x.ravel(), y.ravel(), depth.ravel(), ids.ravel())
    normals = samples.unsorted(camera.axes.astype(np.float32) @ samples.normals).reshape(3, height, width)

    light = light_of(scene)
    blur = WEATHERS[scene.weather].blur
    sun = light_direction(light, scene)
    shadows = shadow_map(sun, solids, np.array(model.center), model.radius, SHADOW_SIZE, blur)
    shader = Shader(scene, model, camera, light, shadows)
    if scene.ground == "water" or (scene.weather == "rain" and GROUNDS[scene.ground].wet):
        shader = replace(shader, mirror=_mirror(shader, ids))
    rgb = shader.shade(samples).reshape(3, height, width)
    mask = raycaster.edges(ids, normals)
    if mask.any():
        fine = raycaster.resample(camera, projected, solids, ids, mask, SUBSAMPLES)
        color = shader.shade(raycaster.surface(camera, projected, solids, *(a.ravel() for a in fine)))
        rgb.reshape(3, -1)[:, np.flatnonzero(mask)] = color.reshape(3, len(SUBSAMPLES), -1).mean(1)
    rgb *= 255
    shown = np.rint(rgb, out=rgb).astype(np.uint8).transpose(1, 2, 0).copy()
    particles(scene, shown)

    backdrop = [LABELS["sky"], LABELS[GROUNDS[scene.ground].label]]
    classes = np.array(backdrop + [(s.class_id, s.coco_id) for s in solids], np.uint8)
    return View(
        shown,
        depth,
        normals.transpose(1, 2, 0).copy(),
        classes[ids, 0],
        classes[ids, 1],
        _keypoints(model, camera, depth, ids),
    )


def _mirror(shader: Shader, ids: Array) -> Array:
    """The blurred reflection in the lake where `ids` (h, w) sees it: (h, w, 4), color times coverage and coverage."""
    height, width = ids.shape
    solids, camera = shader.model.solids, shader.camera.mirrored()
    projected = raycaster.project_solids(camera, solids, height, width)
    depth, seen = raycaster.trace(camera, projected, solids, height, width, beyond_ground=True)
    i, j = np.nonzero((seen >= raycaster.FIRST) & (ids == raycaster.GROUND))
    image = np.zeros((height, width, 4), np.float32)
    if len(i):
        x, y = (j + 0.5).astype(np.float32), (i + 0.5).astype(np.float32)
        samples = raycaster.surface(camera, projected, solids, x, y, depth[i, j], seen[i, j])
        image[i, j, :3] = shader.shade(samples).T
        image[i, j, 3] = 1
    soft = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    soft = soft[:-2] + soft[1:-1] + soft[2:]
    return (soft[:, :-2] + soft[:, 1:-1] + soft[:, 2:]) / np.float32(9)


def _keypoints(model: SceneModel, camera: Camera, depth: Array, ids: Array) -> Array:
    """Projected joints with their visibility: (people, 18, 3)."""
    out = np.zeros((len(model.people), 18, 3), np.float32)
    owners = np.array([-1, -1, *(s.owner for s in model.solids)])
    height, width = ids.shape
    for row, person in enumerate(model.people):
        x, y, far = camera.project(person.joints)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (far > 0)
        i, j = y.clip(0, height - 1).astype(int), x.clip(0, width - 1).astype(int)
        seen = (owners[ids[i, j]] == person.owner) & (model.is_person[ids[i, j]]) & (far - depth[i, j] < person.reach)
        out[row, :, 0], out[row, :, 1] = x, y
        out[row, :, 2] = np.where(inside, np.where(seen, 1.0, 0.5), 0.0)
    return out
