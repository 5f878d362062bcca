"""Cameras whose rays are affine in the pixel, and the small transforms that place things.

World: x right, y up, z towards the viewer, meters, the ground is the plane y = 0.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

Vec = tuple[float, float, float]
Array = np.ndarray
Rng = np.random.Generator


def unit(vector: Array | Vec) -> Array:
    """`vector` (3,) scaled to length 1."""
    v = np.asarray(vector, np.float64)
    return v / max(math.hypot(*v.tolist()), 1e-12)


def turn(yaw: float) -> Array:
    """Rotation about the vertical (3, 3): `yaw` radians take +z towards +x."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def tilt(pitch: float) -> Array:
    """Rotation about x (3, 3): positive `pitch` leans +y towards +z."""
    c, s = np.cos(pitch), np.sin(pitch)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def roll(angle: float) -> Array:
    """Rotation about z (3, 3): positive `angle` takes +x towards +y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def cross(p: Array | Vec, q: Array | Vec) -> Vec:
    """The cross product; for single vectors far faster than NumPy's."""
    (a, b, c), (d, e, f) = (v.tolist() if isinstance(v, np.ndarray) else v for v in (p, q))
    return (b * f - c * e, c * d - a * f, a * e - b * d)


def frame_along(axis: Array, hint: Array | Vec = (0.0, 0.0, 1.0)) -> Array:
    """A rotation (3, 3) whose second column is `axis` and whose third is as near `hint` as it can be."""
    y = unit(axis)
    x = cross(y, hint)
    if math.hypot(*x) < 1e-6:
        x = cross(y, (1.0, 0.3, 0.0))
    length = max(math.hypot(*x), 1e-12)
    x = (x[0] / length, x[1] / length, x[2] / length)
    return np.array((x, y, cross(x, y))).T


@dataclass(frozen=True)
class Camera:
    """Rays `origin(x, y) + t · direction(x, y)`, both affine in the pixel coordinate (x right, y down).

    Perspective: the origin is fixed and the direction advances 1 meter along the optical axis, so t *is* the depth.
    Parallel (for light): the direction is fixed and the origin moves. Rows of `origin` and `direction` are the
    constant, the change per pixel in x and the change per pixel in y: (3, 3).
    """

    origin: Array
    direction: Array
    axes: Array
    """Rows: right, up, backwards (towards the viewer), (3, 3): world vectors → camera space."""
    center: Array
    """Eye, or the middle of the light's window (3,)."""
    scale: tuple[float, float]
    """Pixels per unit slope (perspective) or per meter (parallel), in x and in y."""
    middle: tuple[float, float]
    """Pixel coordinate of the optical axis."""
    perspective: bool

    def project(self, points: Array) -> tuple[Array, Array, Array]:
        """World `points` (..., 3) → pixel x, y and depth along the axis, each (...). Pixel centers are at k + 0.5."""
        local = (points - self.center) @ self.axes.T
        depth = -local[..., 2]
        divisor = np.maximum(depth, 1e-6) if self.perspective else 1.0
        x = self.middle[0] + self.scale[0] * local[..., 0] / divisor
        y = self.middle[1] - self.scale[1] * local[..., 1] / divisor
        return x, y, depth

    def mirrored(self) -> "Camera":
        """The same camera below the plane y = 0, as a calm lake shows it."""
        flip = np.array((1.0, -1.0, 1.0))
        return replace(
            self,
            origin=self.origin * flip,
            direction=self.direction * flip,
            axes=self.axes * flip,
            center=self.center * flip,
        )

    def rays(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Origins and directions, float32, at pixel coordinates `x`, `y` (n,): (3, n), or (3, 1) where all are one."""
        x, y = x.astype(np.float32, copy=False), y.astype(np.float32, copy=False)

        def affine(rows: Array) -> Array:
            first, per_x, per_y = rows.astype(np.float32)[:, :, None]
            return (first + per_x * x) + per_y * y

        if self.perspective:
            return self.origin[0].astype(np.float32)[:, None], affine(self.direction)
        return affine(self.origin), self.direction[0].astype(np.float32)[:, None]


def look_at(eye: Array, target: Array, fov: float, height: int, width: int) -> "Camera":
    """A perspective camera; `fov` (radians) spans the image's shorter side, so any aspect keeps the subject."""
    back = unit(np.asarray(eye, np.float64) - target)
    right = unit(np.cross((0.0, 1.0, 0.0), back))
    axes = np.stack([right, np.cross(back, right), back])
    scale = 0.5 * min(height, width) / np.tan(0.5 * fov)
    middle = (0.5 * width, 0.5 * height)
    per_x, per_y = axes[0] / scale, -axes[1] / scale
    first = -axes[2] - middle[0] * per_x - middle[1] * per_y
    eye = np.asarray(eye, np.float64)
    zero = np.zeros(3)
    return Camera(np.stack([eye, zero, zero]), np.stack([first, per_x, per_y]), axes, eye, (scale, scale), middle, True)


def parallel(towards_light: Array, center: Array, half: tuple[float, float], size: int) -> "Camera":
    """The light's camera: parallel rays over a window of half extents `half` meters, `size` texels square."""
    back = unit(towards_light)
    right = unit(np.cross((0.0, 1.0, 0.0), back))
    axes = np.stack([right, np.cross(back, right), back])
    scale = (0.5 * size / half[0], 0.5 * size / half[1])
    middle = (0.5 * size, 0.5 * size)
    center = np.asarray(center, np.float64) + back * 4 * max(half)  # far enough back to see everything
    per_x, per_y = axes[0] / scale[0], -axes[1] / scale[1]
    first = center - middle[0] * per_x - middle[1] * per_y
    zero = np.zeros(3)
    return Camera(np.stack([first, per_x, per_y]), np.stack([-back, zero, zero]), axes, center, scale, middle, False)
