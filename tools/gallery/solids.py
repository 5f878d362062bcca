"""Distances of simple solids on a floor, by a renderer of its own: no code or shape of the built-in scenes.

The camera is at the origin, 1.4 m above the floor, and looks along z; x is to the right, y down. All in meters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]
Rays = NDArray[np.float64]

EYE_HEIGHT = 1.4
FAR = 40.0
"""Beyond this nothing is measured, as with a depth camera."""


@dataclass(frozen=True)
class Sphere:
    center: Vector
    radius: float

    def distance(self, rays: Rays) -> NDArray[np.float64]:
        """z of the first hit of rays (n, 3) with z = 1; infinite where there is none."""
        center = np.array(self.center)
        a, b, c = (rays**2).sum(1), rays @ center, center @ center - self.radius**2
        root = b**2 - a * c
        return np.where(root >= 0, (b - np.sqrt(np.maximum(root, 0))) / a, np.inf)


@dataclass(frozen=True)
class Hull:
    """What is inside of all planes n · p ≤ d: a box, a roof."""

    normals: tuple[Vector, ...]
    limits: tuple[float, ...]

    def distance(self, rays: Rays) -> NDArray[np.float64]:
        near, far = np.zeros(len(rays)), np.full(len(rays), np.inf)
        for normal, limit in zip(self.normals, self.limits, strict=True):
            slope = rays @ np.array(normal)
            with np.errstate(divide="ignore"):
                at = limit / slope
            near = np.where(slope < 0, np.maximum(near, at), near)
            far = np.where(slope > 0, np.minimum(far, at), far)
            far = np.where((slope == 0) & (limit < 0), -np.inf, far)
        return np.where(near <= far, near, np.inf)


def box(center: Vector, half: Vector, turn: float) -> Hull:
    """A box on axes that are turned about the vertical by `turn` radians."""
    normals = _sides(turn)
    offsets = [float(np.dot(normal, center)) for normal in normals]
    sizes = (half[0], half[0], half[2], half[2], half[1], half[1])
    return Hull(normals, tuple(offset + size for offset, size in zip(offsets, sizes, strict=True)))


def roof(center: Vector, half: Vector, turn: float) -> Hull:
    """A gable roof: its ridge is along the turned x, `center` the middle of its lower face, `half[1]` its height."""
    right, left, back, front, down, _ = _sides(turn)
    slope = float(np.hypot(half[1], half[2]))
    rise, run = half[2] / slope, half[1] / slope
    slanted = [tuple(run * a - rise * b for a, b in zip(side, down, strict=True)) for side in (back, front)]
    normals = (right, left, down, *slanted)
    offsets = [float(np.dot(normal, center)) for normal in normals]
    sizes = (half[0], half[0], 0.0, run * half[2], run * half[2])
    return Hull(normals, tuple(offset + size for offset, size in zip(offsets, sizes, strict=True)))


def _sides(turn: float) -> tuple[Vector, ...]:
    """Directions to the right, left, back, front, down and up of a turned solid."""
    c, s = float(np.cos(turn)), float(np.sin(turn))
    return (c, 0.0, s), (-c, 0.0, -s), (-s, 0.0, c), (s, 0.0, -c), (0.0, 1.0, 0.0), (0.0, -1.0, 0.0)


def _on_floor(height: float) -> float:
    return EYE_HEIGHT - height


SCENES: dict[str, tuple[Sphere | Hull, ...]] = {
    "balls": (
        Sphere((-0.75, _on_floor(0.55), 3.6), 0.55),
        box((0.7, _on_floor(0.45), 4.1), (0.45, 0.45, 0.45), 0.5),
    ),
    "cottage": (
        box((0.0, _on_floor(0.9), 7.0), (1.5, 0.9, 1.1), 0.45),
        roof((0.0, _on_floor(1.8), 7.0), (1.7, 1.1, 1.35), 0.45),
    ),
}


def millimeters(solids: tuple[Sphere | Hull, ...], side: int, fov: float = 0.9) -> NDArray[np.uint16]:
    """Distances along z, uint16 (side, side); 0 where nothing is near enough. `fov` is in radians."""
    at = (np.arange(side) + 0.5) / side * 2 - 1
    across, down = np.meshgrid(at * np.tan(fov / 2), at * np.tan(fov / 2))
    rays = np.stack([across.ravel(), down.ravel(), np.ones(side * side)], 1)
    with np.errstate(divide="ignore"):
        floor = np.where(rays[:, 1] > 0, EYE_HEIGHT / rays[:, 1], np.inf)
    nearest = np.minimum.reduce([floor, *(solid.distance(rays) for solid in solids)])
    return np.where(nearest < FAR, nearest * 1000, 0).round().astype(np.uint16).reshape(side, side)
