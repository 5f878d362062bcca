"""Houses, towers and fences. Each model stands on y = 0 around the origin and faces +z; lengths in meters."""

import numpy as np

from cn.scenes.builder import PLANKS, Builder, PartColors
from cn.scenes.geometry import Rng, Vec, turn


def house(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A cottage with its gable to the front: door, windows, chimney."""
    wall, roof = colors["walls"], colors["roof"]
    wide, deep, high, rise = 0.95, 0.85, 1.15, 0.80
    build.box((0, high / 2, 0), (wide, high / 2, deep), wall, "house")
    gable = np.array([(wide / 2, -wide / 2, 0), (rise / 2, rise / 2, 0), (0, 0, deep)])
    build.box((0, high, 0), (1, 1, 1), wall, "house", columns=gable)
    for side in (-1, 1):
        ridge, eave = np.array((0, high + rise + 0.06, 0)), np.array((side * (wide + 0.20), high - 0.12, 0))
        slab = np.stack([(eave - ridge) / 2, np.array((side * 0.045, 0.055, 0)), np.array((0, 0, deep + 0.14))], axis=1)
        build.box((ridge + eave) / 2, (1, 1, 1), roof, "house", columns=slab, pattern=PLANKS)
    door = "wood_dark" if wall != "brown" else "cream"
    build.box((-0.32, 0.36, deep), (0.21, 0.36, 0.03), door, "door")
    build.ellipsoid((-0.19, 0.36, deep + 0.04), 0.03, "bulb", "door")
    _window(build, (0.42, 0.62, deep), 0.22)
    build.ellipsoid((0, high + 0.22, deep + 0.0), (0.16, 0.16, 0.05), "window", "window", glow=0.9)
    for z in (-0.35, 0.35):
        for side in (-1, 1):
            build.box((side * wide, 0.64, z), (0.02, 0.2, 0.17), "window", "window", glow=0.9)
    x = 0.48 if rng.random() < 0.5 else -0.48
    build.box((x, high + 0.62, -0.2), (0.13, 0.34, 0.13), "stone_warm", "house")


def _window(build: Builder, center: Vec, half: float) -> None:
    """A lit window with a cross, on a wall that faces +z."""
    x, y, z = center
    build.box((x, y, z), (half + 0.04, half + 0.04, 0.015), "cream", "window")
    build.box((x, y, z), (half, half, 0.03), "window", "window", glow=0.9)
    build.box((x, y, z), (0.02, half, 0.04), "cream", "window")
    build.box((x, y, z), (half, 0.02, 0.04), "cream", "window")


def tower(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A castle tower with a pointed roof."""
    build.frustum((0, 0, 0), (0, 1.5, 0), 0.62, 0.52, colors["walls"], "tower")
    build.frustum((0, 1.38, 0), (0, 1.62, 0), 0.56, 0.68, colors["walls"], "tower")
    build.frustum((0, 1.62, 0), (0, 2.5, 0), 0.82, 0.0, colors["roof"], "tower")
    build.capsule((0, 2.45, 0), (0, 2.72, 0), 0.025, 0.025, "wood_dark", "tower")
    build.box((0.17, 2.66, 0), (0.17, 0.09, 0.015), colors["roof"], "tower")
    door = "wood_dark" if colors["walls"] != "brown" else "cream"
    build.box((0, 0.32, 0.58), (0.2, 0.32, 0.05), door, "door")
    build.ellipsoid((0, 0.64, 0.55), (0.2, 0.18, 0.08), door, "door")
    for angle, y in ((-0.6, 0.95), (0.45, 1.15), (2.2, 1.0)):
        at = (float(np.sin(angle)) * 0.56, y, float(np.cos(angle)) * 0.56)
        build.ellipsoid(at, (0.10, 0.16, 0.06), "window", "window", rotation=turn(angle), glow=0.9)


def fence(build: Builder, colors: PartColors, rng: Rng) -> None:
    """Five pickets and two rails."""
    for x in np.linspace(-0.8, 0.8, 5):
        build.box((x, 0.34, 0), (0.07, 0.34, 0.025), colors["body"], "fence")
        build.ellipsoid((x, 0.68, 0), (0.07, 0.08, 0.025), colors["body"], "fence")
    for y in (0.22, 0.50):
        build.box((0, y, -0.03), (1.0, 0.045, 0.02), colors["body"], "fence")
