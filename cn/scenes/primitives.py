"""The four solids that all models consist of: closed-form ray intersections and normals, in object space.

SPHERE      x² + y² + z² ≤ 1
BOX         |x|, |y|, |z| ≤ 1
FRUSTUM     |y| ≤ 1, radius 1 at the bottom and `a` at the top (1: cylinder, 0: cone)
ROUND_CONE  the hull of two spheres, radius `b` at the origin and `c` at (0, a, 0) (b = c: capsule)

Rays are triples of broadcastable arrays or scalars, so that one code serves a grid of pixels, a list of samples and
parallel light. A miss is NaN, for which every comparison `t < depth` is false.
"""

from typing import Any

import numpy as np

Array = np.ndarray
Component = float | Array
Triple = tuple[Component, ...]
Size = tuple[float, float, float]

SPHERE, BOX, FRUSTUM, ROUND_CONE = range(4)


def dot(p: Triple, q: Triple) -> Any:
    """Inner product of two component triples."""
    return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]


def hit_sphere(o: Triple, d: Triple, size: Size) -> Array:
    """Entry into the unit sphere."""
    a, b = dot(d, d), dot(o, d)
    return (-b - np.sqrt(b * b - a * (dot(o, o) - 1))) / a


def hit_box(o: Triple, d: Triple, size: Size) -> Array:
    """Entry into the cube by slabs."""
    inverse = tuple(1 / q for q in d)
    middle = tuple(-p * i for p, i in zip(o, inverse, strict=True))
    reach = tuple(np.abs(i) for i in inverse)
    near = np.maximum(np.maximum(middle[0] - reach[0], middle[1] - reach[1]), middle[2] - reach[2])
    far = np.minimum(np.minimum(middle[0] + reach[0], middle[1] + reach[1]), middle[2] + reach[2])
    return np.where(near <= far, near, np.nan)


def hit_frustum(o: Triple, d: Triple, size: Size) -> Array:
    """Entry into the frustum: the first of both side roots (within its height) and of the cap that faces the ray."""
    middle, slope = (1 + size[0]) / 2, (size[0] - 1) / 2
    radius = middle + slope * o[1]
    a = d[0] * d[0] + d[2] * d[2] - slope * slope * d[1] * d[1]
    b = o[0] * d[0] + o[2] * d[2] - slope * d[1] * radius
    root = np.sqrt(b * b - a * (o[0] * o[0] + o[2] * o[2] - radius * radius))
    side = (-b - root) / a
    side = np.where(np.abs(o[1] + side * d[1]) <= 1, side, np.nan)
    if size[0] != 1:  # only a ray steeper than the side can enter at the other root
        other = (-b + root) / a
        side = np.fmin(side, np.where(np.abs(o[1] + other * d[1]) <= 1, other, np.nan))
    end = -np.sign(d[1])
    cap = (end - o[1]) / d[1]
    x, z = o[0] + cap * d[0], o[2] + cap * d[2]
    rim = middle + slope * end
    return np.fmin(side, np.where(x * x + z * z <= rim * rim, cap, np.nan))


def hit_round_cone(o: Triple, d: Triple, size: Size) -> Array:
    """Entry into the hull of two spheres: the first of its side and of both spheres (all within the hull)."""
    length, r0, r1 = size
    rr = r0 - r1
    d2 = length * length - rr * rr
    dd, od, oo = dot(d, d), dot(o, d), dot(o, o)
    m1, m2 = length * o[1], length * d[1]
    a = d2 * dd - m2 * m2
    b = d2 * od - m1 * m2 + m2 * (rr * r0)
    c = d2 * oo - m1 * m1 + m1 * (2 * rr * r0) - length * length * r0 * r0
    side = (-b - np.sqrt(b * b - a * c)) / a
    along = m1 - r0 * rr + side * m2
    side = np.where((along >= 0) & (along <= d2), side, np.nan)
    first = (-od - np.sqrt(od * od - dd * (oo - r0 * r0))) / dd
    pd, pp = od - m2, oo - 2 * m1 + length * length
    second = (-pd - np.sqrt(pd * pd - dd * (pp - r1 * r1))) / dd
    return np.fmin(side, np.fmin(first, second))


HITS = (hit_sphere, hit_box, hit_frustum, hit_round_cone)


def normal(kind: int, p: Array, size: Size) -> Array:
    """Outward normals (3, n) in object space, not of unit length, at surface points `p` (3, n)."""
    if kind == SPHERE:
        return p
    if kind == BOX:
        return np.where(np.abs(p) >= np.abs(p).max(0), np.sign(p), 0).astype(p.dtype)
    out = p.copy()
    if kind == FRUSTUM:
        middle, slope = (1 + size[0]) / 2, (size[0] - 1) / 2
        radius = middle + slope * p[1]
        out[1] = -slope * radius
        gap = np.abs(np.sqrt(p[0] * p[0] + p[2] * p[2]) - radius)
        on_cap = (1 - np.abs(p[1])) < gap
        out[0] *= ~on_cap
        out[2] *= ~on_cap
        np.copyto(out[1], np.sign(p[1]), where=on_cap)
        return out
    length, r0, r1 = size
    rr = r0 - r1
    out[1] -= length * np.clip((length * p[1] - r0 * rr) / (length * length - rr * rr), 0, 1)
    return out


_CUBE = np.array([(x, y, z) for z in (-1.0, 1.0) for y in (-1.0, 1.0) for x in (-1.0, 1.0)])


def corners(kind: int, size: Size) -> Array:
    """The 8 corners (8, 3) of a box around the solid, in object space."""
    if kind in (SPHERE, BOX):
        return _CUBE
    wide, low, high = 1.0, -1.0, 1.0
    if kind == FRUSTUM:
        wide = max(1.0, size[0])
    elif kind == ROUND_CONE:
        length, r0, r1 = size
        wide, low, high = max(r0, r1), min(-r0, length - r1), max(r0, length + r1)
    return np.array([(x, y, z) for z in (-wide, wide) for y in (low, high) for x in (-wide, wide)])
