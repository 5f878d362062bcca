"""Houses, churches, castles and fences. Each model stands on y = 0 and faces +z; lengths in meters."""

import numpy as np

from cn.scenes.builder import BRICKS, PLAIN, PLANKS, Builder, PartColors
from cn.scenes.geometry import Rng, Vec, turn


def house(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A cottage of one floor or a narrower house of two, its gable to the front or to the sides."""
    wall, roof = colors["walls"], colors["roof"]
    floors = 1 if rng.random() < 0.6 else 2
    sideways = rng.random() < 0.4
    wide, deep, high, rise = (0.95, 0.85, 1.12, 0.74) if floors == 1 else (0.84, 0.75, 1.66, 0.58)
    pattern = BRICKS if rng.random() < 0.5 and wall in ("red", "brown", "orange", "grey") else PLAIN
    build.box((0, high / 2, 0), (wide, high / 2, deep), wall, "house", pattern=pattern)
    build.box((0, 0.05, 0), (wide + 0.02, 0.05, deep + 0.02), "stone", "house")
    _gable(build, (0, high, 0), wide, deep, rise, wall, roof, "house", sideways)
    _door(build, (-0.34, deep), "wood_dark" if wall != "brown" else "cream")
    _window(build, (0.40, 0.62, deep), 0.22)
    if floors == 2:
        for x in (-0.40, 0.40):
            _window(build, (x, 1.34, deep), 0.18)
    elif not sideways:
        build.ellipsoid((0, high + 0.22, deep), (0.16, 0.16, 0.05), "window", "window", glow=0.9)
    for y in np.linspace(0.64, 1.34, floors).tolist() if floors == 2 else (0.64,):
        for z in (-0.35, 0.35):
            build.box((0, y, z), (wide + 0.02, 0.19, 0.16), "window", "window", glow=0.9)
    x = 0.48 if rng.random() < 0.5 else -0.48
    top = high + 0.78 * rise + 0.18
    build.box((x, top - 0.30, -0.2), (0.13, 0.30, 0.13), "stone_warm", "house", pattern=BRICKS)
    build.box((x, top, -0.2), (0.16, 0.04, 0.16), "stone", "house")


def _gable(
    build: Builder, foot: Vec, wide: float, deep: float, rise: float, wall: str, roof: str, label: str, sideways: bool
) -> None:
    """A pitched roof over a box of half extents `wide`, `deep` whose top is at `foot`; its ridge goes along z or x."""
    spin = turn(np.pi / 2) if sideways else np.eye(3)
    half, long = (deep, wide) if sideways else (wide, deep)
    x, y, z = foot
    prism = np.array([(half / 2, -half / 2, 0), (rise / 2, rise / 2, 0), (0, 0, long)])
    build.box((x, y, z), (1, 1, 1), wall, label, columns=spin @ prism)
    for side in (-1, 1):
        ridge, eave = np.array((0, rise + 0.06, 0)), np.array((side * (half + 0.18), -0.11, 0))
        columns = [(eave - ridge) / 2, np.array((side * 0.045, 0.055, 0)), np.array((0, 0, long + 0.13))]
        at = spin @ ((ridge + eave) / 2) + (x, y, z)
        build.box(at, (1, 1, 1), roof, label, columns=spin @ np.stack(columns, axis=1), pattern=PLANKS)


def _door(build: Builder, at: tuple[float, float], color: str) -> None:
    """A door with a frame, a knob and a step, on a wall that faces +z: its x and the wall's z."""
    x, z = at
    build.box((x, 0.38, z), (0.25, 0.40, 0.02), "cream" if color != "cream" else "wood", "door")
    build.box((x, 0.36, z), (0.20, 0.36, 0.04), color, "door")
    build.ellipsoid((x + 0.13, 0.36, z + 0.05), 0.03, "bulb", "door")
    build.box((x, 0.03, z + 0.12), (0.28, 0.03, 0.12), "stone", "house")


def _window(build: Builder, center: Vec, half: float) -> None:
    """A lit window with a cross and a sill, on a wall that faces +z."""
    x, y, z = center
    build.box((x, y, z), (half + 0.04, half + 0.04, 0.015), "cream", "window")
    build.box((x, y, z), (half, half, 0.03), "window", "window", glow=0.9)
    build.box((x, y, z), (0.02, half, 0.04), "cream", "window")
    build.box((x, y, z), (half, 0.02, 0.04), "cream", "window")
    build.box((x, y - half - 0.05, z), (half + 0.08, 0.025, 0.07), "cream", "window")


def tower(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A castle tower with a pointed roof."""
    build.frustum((0, 0, 0), (0, 1.5, 0), 0.62, 0.52, colors["walls"], "tower", pattern=BRICKS)
    build.frustum((0, 1.38, 0), (0, 1.62, 0), 0.56, 0.68, colors["walls"], "tower")
    build.frustum((0, 1.62, 0), (0, 2.5, 0), 0.82, 0.0, colors["roof"], "tower")
    build.capsule((0, 2.45, 0), (0, 2.72, 0), 0.025, 0.025, "wood_dark", "tower")
    build.box((0.17, 2.66, 0), (0.17, 0.09, 0.015), colors["roof"], "flag")
    door = "wood_dark" if colors["walls"] != "brown" else "cream"
    build.box((0, 0.32, 0.58), (0.2, 0.32, 0.05), door, "door")
    build.ellipsoid((0, 0.64, 0.55), (0.2, 0.18, 0.08), door, "door")
    for angle, y in ((-0.6, 0.95), (0.45, 1.15), (2.2, 1.0)):
        at = (float(np.sin(angle)) * 0.56, y, float(np.cos(angle)) * 0.56)
        build.ellipsoid(at, (0.10, 0.16, 0.06), "window", "window", rotation=turn(angle), glow=0.9)


def church(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A church: nave, bell tower with a spire, and a cross."""
    wall, roof = colors["walls"], colors["roof"]
    build.box((0, 0.55, -0.35), (0.62, 0.55, 0.90), wall, "building")
    _gable(build, (0, 1.10, -0.35), 0.62, 0.90, 0.60, wall, roof, "building", False)
    build.box((0, 0.95, 0.62), (0.36, 0.95, 0.34), wall, "building")
    build.box((0, 1.92, 0.62), (0.41, 0.05, 0.39), "stone", "building")
    build.frustum((0, 1.96, 0.62), (0, 2.74, 0.62), 0.46, 0.02, roof, "building")
    build.capsule((0, 2.70, 0.62), (0, 3.0, 0.62), 0.026, 0.026, "yellow", "building")
    build.capsule((-0.11, 2.88, 0.62), (0.11, 2.88, 0.62), 0.026, 0.026, "yellow", "building")
    door = "wood_dark" if wall != "brown" else "cream"
    build.box((0, 0.28, 0.96), (0.17, 0.28, 0.03), door, "door")
    build.ellipsoid((0, 0.56, 0.96), (0.17, 0.17, 0.03), door, "door")
    build.ellipsoid((0, 1.06, 0.96), (0.15, 0.15, 0.03), "window", "window", glow=0.9)
    for x in (-0.36, 0.0, 0.36):
        build.box((x, 1.58, 0.62), (0.015 if x else 0.12, 0.17, 0.12 if x else 0.35), "dark", "window")
    for z in (-0.95, -0.45, 0.05):
        build.box((0, 0.56, z), (0.635, 0.20, 0.11), "window", "window", glow=0.9)
        build.ellipsoid((0, 0.76, z), (0.64, 0.12, 0.11), "window", "window", glow=0.9)


def castle(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A castle: four round towers with pointed roofs, walls with battlements, and a gate."""
    wall, roof = colors["walls"], colors["roof"]
    build.box((0, 0.50, 0), (0.95, 0.50, 0.62), wall, "building", pattern=BRICKS)
    build.box((0, 0.95, -0.15), (0.42, 0.75, 0.34), wall, "building", pattern=BRICKS)
    build.frustum((0, 1.68, -0.15), (0, 2.34, -0.15), 0.56, 0.02, roof, "building")
    for x in (-0.72, -0.43, -0.15, 0.15, 0.43, 0.72):
        build.box((x, 1.08, 0.56), (0.09, 0.09, 0.07), wall, "building")
    for x, z, high in ((-1.0, 0.55, 1.35), (1.0, 0.55, 1.35), (-0.95, -0.55, 1.55), (0.95, -0.55, 1.55)):
        build.frustum((x, 0, z), (x, high, z), 0.32, 0.29, wall, "building", pattern=BRICKS)
        build.frustum((x, high - 0.1, z), (x, high + 0.06, z), 0.31, 0.37, wall, "building")
        build.frustum((x, high + 0.06, z), (x, high + 0.68, z), 0.43, 0.01, roof, "building")
        build.ellipsoid((x, high - 0.35, z + 0.30), (0.07, 0.13, 0.03), "window", "window", glow=0.9)
    build.capsule((0, 2.30, -0.15), (0, 2.62, -0.15), 0.022, 0.022, "wood_dark", "building")
    build.box((0.16, 2.54, -0.15), (0.15, 0.08, 0.014), "red" if roof != "red" else "yellow", "flag")
    build.box((0, 0.28, 0.62), (0.26, 0.28, 0.03), "wood_dark", "door")
    build.ellipsoid((0, 0.56, 0.62), (0.26, 0.24, 0.03), "wood_dark", "door")
    for x in (-0.16, 0.0, 0.16):
        build.box((x, 0.36, 0.655), (0.014, 0.36, 0.01), "metal", "door")
    for x in (-0.18, 0.18):
        build.ellipsoid((x, 1.36, 0.19), (0.07, 0.12, 0.03), "window", "window", glow=0.9)


def barn(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A barn with a gambrel roof and big doors with white trims."""
    wall, roof = colors["walls"], colors["roof"]
    trim = "cream" if wall not in ("white", "yellow") else "wood_dark"
    build.box((0, 0.50, 0), (0.92, 0.50, 0.90), wall, "building", pattern=PLANKS)
    build.box((0, 1.16, 0), (0.74, 0.20, 0.895), wall, "building")
    points = ((1.04, 0.90), (0.76, 1.42), (0.0, 1.80))
    build.box(
        (0, 1.36, 0), (1, 1, 1), wall, "building", columns=np.array([(0.37, -0.37, 0), (0.2, 0.2, 0), (0, 0, 0.89)])
    )
    for side in (-1, 1):
        for (x0, y0), (x1, y1) in ((points[0], points[1]), (points[1], points[2])):
            low, high = np.array((side * x0, y0, 0)), np.array((side * x1, y1, 0))
            columns = np.stack([(low - high) / 2, np.array((side * 0.05, 0.05, 0)), np.array((0, 0, 1.0))], axis=1)
            build.box((low + high) / 2, (1, 1, 1), roof, "building", columns=columns, pattern=PLANKS)
        build.box((side * 0.88, 0.48, 0.90), (0.04, 0.48, 0.025), trim, "building")
    build.box((0, 0.42, 0.90), (0.45, 0.42, 0.02), trim, "door")
    build.box((0, 0.40, 0.90), (0.40, 0.38, 0.03), wall, "door")
    for slope in (-1, 1):
        cross = np.array([(0.40, 0.02, 0), (slope * 0.38, -slope * 0.02, 0), (0, 0, 0.04)])
        build.box((0, 0.40, 0.90), (1, 1, 1), trim, "door", columns=cross)
    build.box((0, 1.18, 0.90), (0.20, 0.20, 0.02), trim, "window")
    build.box((0, 1.18, 0.90), (0.15, 0.15, 0.03), "window", "window", glow=0.9)


def fence(build: Builder, colors: PartColors, rng: Rng) -> None:
    """Five pickets and two rails."""
    for x in np.linspace(-0.8, 0.8, 5):
        build.box((x, 0.34, 0), (0.07, 0.34, 0.025), colors["body"], "fence")
        build.ellipsoid((x, 0.68, 0), (0.07, 0.08, 0.025), colors["body"], "fence")
    for y in (0.22, 0.50):
        build.box((0, y, -0.03), (1.0, 0.045, 0.02), colors["body"], "fence")
