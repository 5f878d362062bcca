"""Ray casting: which solid a ray meets first. Each solid is tried only within its own rectangle of pixels."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cn.scenes.builder import Solid
from cn.scenes.geometry import Array, Camera
from cn.scenes.primitives import HITS, corners, normal

SKY, GROUND, FIRST = 0, 1, 2
"""Ids of what a pixel sees: the sky, the ground plane, or solid number id - FIRST."""

Component = float | Array


@dataclass(frozen=True)
class ProjectedSolids:
    """All solids seen by one camera: affine rays in every solid's object space, and screen rectangles."""

    origins: list[list[list[float]]]
    """Per solid, per axis: constant, change per x, change per y."""
    directions: list[list[list[float]]]
    inverses: Array
    """World vectors → object space, float32 (solids, 3, 3)."""
    centers: Array
    """Where the object spaces begin, float32 (solids, 3, 1)."""
    rectangles: Array
    """(solids, 4): x0, y0, x1, y1 in whole pixels, clipped to the image."""


def project_solids(camera: Camera, solids: list[Solid], height: int, width: int) -> ProjectedSolids:
    """Prepare `solids` for rays of `camera`."""
    matrices = np.stack([s.matrix for s in solids])
    inverse = np.linalg.inv(matrices[:, :, :3])
    shifted = camera.origin[0] - matrices[:, :, 3]
    origins = np.einsum("sij,kj->sik", inverse, camera.origin)
    origins[:, :, 0] = np.einsum("sij,sj->si", inverse, shifted)
    directions = np.einsum("sij,kj->sik", inverse, camera.direction)
    directions[np.abs(directions) < 1e-12] = 1e-12
    local = np.stack([corners(s.kind, s.size) for s in solids])
    points = np.einsum("sij,skj->ski", matrices[:, :, :3], local) + matrices[:, None, :, 3]
    x, y, depth = camera.project(points)
    low_x, high_x = np.floor(x.min(1) - 0.5), np.ceil(x.max(1) + 0.5)
    low_y, high_y = np.floor(y.min(1) - 0.5), np.ceil(y.max(1) + 0.5)
    if camera.perspective:
        whole = depth.min(1) < 0.02  # a corner behind the eye: no rectangle is safe
        low_x[whole], low_y[whole], high_x[whole], high_y[whole] = 0, 0, width, height
        high_x[depth.max(1) < 0.02] = -1
    box = np.stack([low_x.clip(0, width), low_y.clip(0, height), high_x.clip(0, width), high_y.clip(0, height)], axis=1)
    return ProjectedSolids(
        origins.tolist(),
        directions.tolist(),
        inverse.astype(np.float32),
        matrices[:, :, 3:].astype(np.float32),
        box.astype(np.int32),
    )


def along(affine: list[list[float]], x: Array, y: Array, moving: bool) -> tuple[Component, ...]:
    """The three components of an affine ray part at pixel coordinates `x`, `y` (broadcast), or plain numbers."""
    if not moving:
        return tuple(row[0] for row in affine)
    return tuple((row[0] + row[1] * x) + row[2] * y for row in affine)


def cast(projected: ProjectedSolids, camera: Camera, solids: list[Solid], which: int, x: Array, y: Array) -> Array:
    """Depth at which solid `which` is entered, NaN for a miss; `x`, `y` float32 and broadcastable."""
    solid = solids[which]
    o = along(projected.origins[which], x, y, not camera.perspective)
    d = along(projected.directions[which], x, y, camera.perspective)
    return HITS[solid.kind](o, d, solid.size)  # type: ignore[arg-type]


def ground_depth(camera: Camera, x: Array, y: Array) -> Array:
    """Depth of the plane y = 0, infinite where the ray does not come down to it."""
    moving = camera.perspective
    o = along(camera.origin.T.tolist(), x, y, not moving)[1]
    d = along(camera.direction.T.tolist(), x, y, moving)[1]
    t = np.asarray(-o / d, np.float32) + np.float32(0) * (x + y)
    return np.where(t > 0, t, np.float32(np.inf)).astype(np.float32)


def trace(
    camera: Camera,
    projected: ProjectedSolids,
    solids: list[Solid],
    height: int,
    width: int,
    *,
    beyond_ground: bool = False,
) -> tuple[Array, Array]:
    """Depth (h, w) float32 and ids (h, w) uint16 at pixel centers.

    `beyond_ground` looks through the ground from below and sees only what rises above it.
    """
    xs = (np.arange(width, dtype=np.float32) + 0.5)[None, :]
    ys = (np.arange(height, dtype=np.float32) + 0.5)[:, None]
    depth = ground_depth(camera, xs, ys)
    ids = np.where(np.isfinite(depth), np.uint16(GROUND), np.uint16(SKY))
    floor = depth.copy() if beyond_ground else None
    if beyond_ground:
        depth.fill(np.inf)
        ids.fill(SKY)
    for which, (x0, y0, x1, y1) in enumerate(projected.rectangles.tolist()):
        if x0 >= x1 or y0 >= y1:
            continue
        t = cast(projected, camera, solids, which, xs[:, x0:x1], ys[y0:y1])
        here = depth[y0:y1, x0:x1]
        nearer = t < here
        if floor is not None:
            nearer &= t > floor[y0:y1, x0:x1]
        np.copyto(here, t, where=nearer)
        np.copyto(ids[y0:y1, x0:x1], np.uint16(which + FIRST), where=nearer)
    return depth, ids


def edges(ids: Array, normals: Array) -> Array:
    """Pixels (h, w) bool next to another solid or a crease (`normals` are (3, h, w)): those that are supersampled."""
    mask = np.zeros(ids.shape, bool)
    for axis in (0, 1):
        a = tuple(slice(None, -1) if k == axis else slice(None) for k in (0, 1))
        b = tuple(slice(1, None) if k == axis else slice(None) for k in (0, 1))
        differs = ids[a] != ids[b]
        crease = sum(n[a] * n[b] for n in normals) < np.float32(0.75)
        differs |= crease & (ids[a] > GROUND) & (ids[b] > GROUND)
        mask[a] |= differs
        mask[b] |= differs
    return mask


def resample(
    camera: Camera, projected: ProjectedSolids, solids: list[Solid], ids: Array, mask: Array, offsets: Array
) -> tuple[Array, Array, Array, Array]:
    """Cast `k` more rays through each of the `n` pixels in `mask`: x, y, depth and ids, each (k, n).

    Only solids seen in a pixel's 3×3 neighborhood are tried; a solid that no neighbor sees is thinner
    than a pixel and ignored.
    """
    row, column = np.nonzero(mask)
    x = (column + np.float32(0.5)).astype(np.float32)[None] + offsets[:, :1].astype(np.float32)
    y = (row + np.float32(0.5)).astype(np.float32)[None] + offsets[:, 1:].astype(np.float32)
    depth = ground_depth(camera, x, y)
    found = np.where(np.isfinite(depth), np.uint16(GROUND), np.uint16(SKY))
    padded = np.pad(ids, 1, mode="edge")
    flat, wide = padded.ravel(), padded.shape[1]
    middle = (row + 1) * wide + column + 1
    center = flat.take(middle)
    last, pixels, solids_seen = center, [np.flatnonzero(center >= FIRST)], [center[center >= FIRST]]
    for step in (-wide - 1, -wide, -wide + 1, 1, wide + 1, wide, wide - 1, -1):  # once around the pixel
        around = flat.take(middle + step)
        fresh = np.flatnonzero((around != center) & (around != last) & (around >= FIRST))
        pixels.append(fresh)
        solids_seen.append(around.take(fresh))
        last = around
    seen, pixel = np.concatenate(solids_seen), np.concatenate(pixels)
    order = np.argsort(seen, kind="stable")
    seen, pixel = seen.take(order), pixel.take(order)
    for begin, end in _runs(seen):
        which, columns = int(seen[begin]), pixel[begin:end]
        t = cast(projected, camera, solids, which - FIRST, x[:, columns], y[:, columns])
        here = depth[:, columns]
        nearer = t < here
        depth[:, columns] = np.where(nearer, t, here)
        found[:, columns] = np.where(nearer, np.uint16(which), found[:, columns])
    return x, y, depth, found


def _runs(ids: Array) -> list[tuple[int, int]]:
    """Where the runs of equal values begin and end (exclusive) in sorted `ids` (n,)."""
    cuts = (np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist()
    return list(pairwise([0, *cuts, len(ids)])) if len(ids) else []


@dataclass(frozen=True)
class Samples:
    """What rays meet, sorted by id, so that all samples of one solid lie in one run. Vectors are (3, n)."""

    order: Array
    """Position of each sample in the caller's order (n,)."""
    runs: list[tuple[int, int, int]]
    """Id, first and last (exclusive) sample of every run."""
    depth: Array
    """(n,), infinite on the sky."""
    points: Array
    """In the world."""
    normals: Array
    """Unit length; zeros on the sky."""
    local: Array
    """Points in the object space of the solid."""
    direction: Array
    """Of the rays, as long as 1 meter along the camera's axis."""

    def unsorted(self, values: Array) -> Array:
        """`values` (3, n) of the samples in the caller's order."""
        out = np.empty_like(values)
        for row, value in zip(out, values, strict=True):
            row[self.order] = value
        return out


def surface(
    camera: Camera, projected: ProjectedSolids, solids: list[Solid], x: Array, y: Array, depth: Array, ids: Array
) -> Samples:
    """The surfaces at flat arrays (n,) of pixel coordinates, depths and ids."""
    order = np.argsort(ids, kind="stable")
    ids, x, y, depth = (a.take(order) for a in (ids, x, y, depth))
    runs = [(int(ids[begin]), begin, end) for begin, end in _runs(ids)]
    origin, direction = camera.rays(x, y)
    first = runs[0][2] if runs and runs[0][0] == SKY else 0
    points = origin + np.concatenate([np.zeros(first, np.float32), depth[first:]]) * direction
    normals, local = np.zeros_like(points), np.zeros_like(points)
    for ident, begin, end in runs:
        if ident == GROUND:
            normals[1, begin:end] = 1
        elif ident != SKY:
            solid, inverse = solids[ident - FIRST], projected.inverses[ident - FIRST]
            p = inverse @ (points[:, begin:end] - projected.centers[ident - FIRST])
            n = inverse.T @ normal(solid.kind, p, solid.size)
            n /= np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]) + np.float32(1e-12)
            normals[:, begin:end], local[:, begin:end] = n, p
    return Samples(order, runs, depth, points, normals, local, direction)
