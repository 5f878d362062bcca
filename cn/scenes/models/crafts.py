"""What sails and flies. Each model stands on y = 0 around the origin and faces +z; lengths in meters."""

from itertools import pairwise

import numpy as np

from cn.scenes.builder import GORES, PLAIN, Builder, PartColors
from cn.scenes.geometry import Rng, tilt


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


def airplane(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A small propeller plane on its wheels; its nose points to +z."""
    body, wings = colors["body"], colors["wings"]
    build.capsule((0, 0.74, 0.62), (0, 0.92, -1.02), 0.34, 0.12, body, "airplane")
    build.frustum((0, 0.72, 0.72), (0, 0.70, 1.02), 0.33, 0.20, wings, "airplane")
    build.ellipsoid((0, 1.02, 0.22), (0.22, 0.20, 0.40), "glass", "airplane")
    build.capsule((-1.20, 0.66, 0.30), (1.20, 0.66, 0.30), 0.25, 0.25, wings, "airplane", flat=0.2, facing=(0, 1, 0))
    build.capsule((-0.48, 0.96, -1.0), (0.48, 0.96, -1.0), 0.15, 0.15, wings, "airplane", flat=0.25, facing=(0, 1, 0))
    build.capsule((0, 0.98, -0.92), (0, 1.36, -1.12), 0.20, 0.14, wings, "airplane", flat=0.2, facing=(1, 0, 0))
    build.capsule((0, 0.70, 1.0), (0, 0.69, 1.10), 0.08, 0.05, "hub", "airplane")
    turn = rng.uniform(0.2, 1.4)
    blade = 0.46 * np.array((np.cos(turn), np.sin(turn), 0))
    build.capsule(np.add(blade, (0, 0.70, 1.07)), (0, 0.70, 1.07), 0.055, 0.03, "dark", "airplane", flat=0.4)
    build.capsule(np.subtract((0, 0.70, 1.07), blade), (0, 0.70, 1.07), 0.055, 0.03, "dark", "airplane", flat=0.4)
    for side in (-1, 1):
        build.capsule((side * 0.2, 0.6, 0.45), (side * 0.34, 0.16, 0.5), 0.035, 0.03, "hub", "airplane")
        build.frustum((side * 0.30, 0.15, 0.5), (side * 0.40, 0.15, 0.5), 0.15, 0.15, "tyre", "airplane")
        for z in (-0.25, -0.50):
            at = (side * (0.25 + 0.11 * z), 0.86, z)
            build.ellipsoid(at, (0.06, 0.075, 0.075), "glass", "airplane")
    build.frustum((-0.04, 0.08, -0.98), (0.04, 0.08, -0.98), 0.08, 0.08, "tyre", "airplane")
    build.capsule((0, 0.1, -0.98), (0, 0.8, -0.95), 0.025, 0.025, "hub", "airplane")


def hot_air_balloon(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A hot-air balloon just above the ground, striped or plain."""
    rise = rng.uniform(0.0, 0.35)
    pattern = GORES if rng.random() < 0.7 and colors["body"] != "white" else PLAIN
    build.ellipsoid((0, rise + 2.05, 0), (0.88, 0.90, 0.88), colors["body"], "hot-air balloon", pattern=pattern)
    lower = rise + 1.62
    build.frustum((0, rise + 1.02, 0), (0, lower, 0), 0.30, 0.775, colors["body"], "hot-air balloon", pattern=pattern)
    build.frustum((0, rise + 0.98, 0), (0, rise + 1.05, 0), 0.31, 0.31, "wood_dark", "hot-air balloon")
    build.frustum((0, rise, 0), (0, rise + 0.40, 0), 0.27, 0.33, "wood", "basket")
    build.frustum((0, rise + 0.37, 0), (0, rise + 0.43, 0), 0.355, 0.355, "wood_dark", "basket")
    build.ellipsoid((0, rise + 0.80, 0), (0.08, 0.16, 0.08), "orange", "fire", glow=1.0)
    for k in range(4):
        a = np.pi / 4 + k * np.pi / 2
        foot = np.array((0.31 * np.cos(a), rise + 0.42, 0.31 * np.sin(a)))
        build.capsule(foot, np.array((0.29 * np.cos(a), rise + 1.02, 0.29 * np.sin(a))), 0.014, 0.014, "wood", "basket")


def kite(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A kite in the air, its string tied to a stone and its tail full of bows."""
    body, tail = colors["body"], colors["tail"]
    lean = -0.25 if rng.random() < 0.5 else 0.25
    center, face = np.array((lean, 1.72, 0)), tilt(-0.25)
    build.ellipsoid((0, 0.05, 0), (0.12, 0.07, 0.10), "stone", "rock")
    build.capsule((0, 0.08, 0), center, 0.010, 0.010, "paper", "kite")
    diamond = face @ np.array([(0.27, -0.27, 0), (0.32, 0.32, 0), (0, 0, 0.02)])
    build.box(center, (1, 1, 1), body, "kite", columns=diamond)
    for a, b in (((0, 0.63, 0.03), (0, -0.63, 0.03)), ((-0.53, 0, 0.03), (0.53, 0, 0.03))):
        build.capsule(center + face @ a, center + face @ b, 0.018, 0.018, tail, "kite")
    points = [center + face @ (0, -0.62, 0) + (lean * t, -0.14 * k, 0) for k, t in enumerate((0, 0.5, 0.2, 0.6, 0.3))]
    for p, q in pairwise(points):
        build.capsule(p, q, 0.012, 0.012, tail, "kite")
    for p in points[1:]:
        for side in (-1, 1):
            build.ellipsoid(np.add(p, (side * 0.06, 0, 0)), (0.065, 0.045, 0.02), tail, "kite")
