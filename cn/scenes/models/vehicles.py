"""A car, a boat and a rocket. Each model stands on y = 0 around the origin and faces +z; lengths in meters."""

import numpy as np

from cn.scenes.builder import Builder, PartColors
from cn.scenes.geometry import Rng


def car(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A toy car; its nose points to +z."""
    body = colors["body"]
    build.capsule((0, 0.42, -0.82), (0, 0.42, 0.86), 0.40, 0.40, body, "car", flat=0.62, facing=(0, 1, 0))
    build.box((0, 0.40, 0.0), (0.50, 0.20, 1.02), body, "car")
    for z in (-1.02, 1.02):
        build.capsule((-0.42, 0.40, z), (0.42, 0.40, z), 0.20, 0.20, body, "car", flat=0.7)
        build.capsule((-0.44, 0.27, z * 1.09), (0.44, 0.27, z * 1.09), 0.06, 0.06, "hub", "car")
    screen = np.stack([(0.42, 0, 0), (0, 0.27, -0.11), (0, 0, 0.14)], axis=1)
    build.box((0, 0.82, -0.18), (0.42, 0.27, 0.44), "glass", "car")
    build.box((0, 0.82, 0.28), (1, 1, 1), "glass", "car", columns=screen)
    for z in (-0.62, 0.27):
        build.capsule((-0.38, 1.08, z), (0.38, 1.08, z), 0.055, 0.055, body, "car")
    build.box((0, 1.08, -0.175), (0.44, 0.055, 0.445), body, "car")
    for side in (-1, 1):
        build.box((side * 0.40, 0.82, -0.12), (0.035, 0.26, 0.05), body, "car")
        build.box((side * 0.40, 0.82, -0.62), (0.035, 0.26, 0.09), body, "car")
        for z in (-0.64, 0.66):
            build.frustum((side * 0.40, 0.25, z), (side * 0.57, 0.25, z), 0.25, 0.25, "tyre", "car")
            build.frustum((side * 0.55, 0.25, z), (side * 0.585, 0.25, z), 0.13, 0.12, "hub", "car")
        build.ellipsoid((side * 0.32, 0.46, 1.14), (0.10, 0.10, 0.05), "bulb", "car", glow=1.0)
        build.ellipsoid((side * 0.34, 0.46, -1.15), (0.08, 0.07, 0.04), "red", "car", glow=0.4)


def boat(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A little sailing boat; its bow points to +x."""
    hull = colors["hull"]
    build.frustum((0, -0.12, 0), (0, 0.30, 0), 0.70, 1.05, hull, "boat", flat=0.42, facing=(0, 0, 1))
    build.frustum((0, 0.30, 0), (0, 0.335, 0), 1.07, 1.07, "cream", "boat", flat=0.43)
    build.frustum((0, 0.32, 0), (0, 0.345, 0), 0.95, 0.95, "wood", "boat", flat=0.36)
    build.capsule((0.05, 0.3, 0), (0.05, 2.05, 0), 0.035, 0.03, "wood_dark", "boat")
    build.frustum((-0.36, 0.50, 0), (-0.02, 1.95, 0), 0.44, 0.02, colors["sail"], "boat", flat=0.09)
    build.frustum((0.42, 0.52, 0), (0.13, 1.60, 0), 0.30, 0.02, colors["sail"], "boat", flat=0.09)


def rocket(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A toy rocket on three fins."""
    c, fins = colors["body"], colors["fins"]
    build.capsule((0, 0.60, 0), (0, 1.25, 0), 0.34, 0.30, c, "rocket")
    build.frustum((0, 1.36, 0), (0, 2.02, 0), 0.29, 0.01, fins, "rocket")
    build.frustum((0, 0.14, 0), (0, 0.36, 0), 0.24, 0.20, "metal", "rocket")
    build.ellipsoid((0, 1.12, 0.29), (0.15, 0.15, 0.05), "cream", "rocket")
    build.ellipsoid((0, 1.12, 0.32), (0.11, 0.11, 0.04), "glass", "rocket", glow=0.5)
    for a in (0.55, 2.65, 4.7):
        out = np.array((np.sin(a), 0, np.cos(a)))
        build.capsule(
            (out * 0.28) + (0, 0.62, 0),
            (out * 0.60) + (0, 0.10, 0),
            0.10,
            0.10,
            fins,
            "rocket",
            flat=0.45,
            facing=(float(np.cos(a)), 0.0, float(-np.sin(a))),
        )
