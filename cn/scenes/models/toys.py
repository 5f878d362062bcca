"""Toys, instruments and luggage. Each model stands on y = 0 around the origin and faces +z; lengths in meters."""

from itertools import pairwise

import numpy as np

from cn.scenes.builder import PLANKS, Builder, PartColors
from cn.scenes.geometry import Rng, roll, tilt
from cn.scenes.models.animals import fur


def teddy_bear(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A sitting teddy bear with a bow."""
    c = fur(colors["body"])
    pale = "cream" if colors["body"] != "white" else "cheek"
    build.ellipsoid((0, 0.34, 0), (0.26, 0.29, 0.23), c, "teddy bear")
    build.ellipsoid((0, 0.32, 0.09), (0.17, 0.20, 0.16), pale, "teddy bear")
    build.ellipsoid((0, 0.76, 0.02), (0.24, 0.215, 0.21), c, "teddy bear")
    build.ellipsoid((0, 0.70, 0.19), (0.105, 0.08, 0.08), pale, "teddy bear")
    build.ellipsoid((0, 0.735, 0.265), (0.04, 0.03, 0.025), "coal", "teddy bear")
    for side in (-1, 1):
        build.ellipsoid((side * 0.19, 0.94, 0.0), (0.095, 0.095, 0.06), c, "teddy bear")
        build.ellipsoid((side * 0.19, 0.935, 0.04), (0.055, 0.055, 0.035), pale, "teddy bear")
        build.ellipsoid((side * 0.09, 0.80, 0.20), 0.030, "coal", "teddy bear")
        build.capsule((side * 0.20, 0.48, 0.02), (side * 0.34, 0.26, 0.12), 0.085, 0.085, c, "teddy bear")
        build.capsule((side * 0.15, 0.12, 0.08), (side * 0.24, 0.11, 0.34), 0.11, 0.10, c, "teddy bear")
        build.ellipsoid((side * 0.245, 0.115, 0.43), (0.075, 0.075, 0.025), pale, "teddy bear")
        build.ellipsoid(
            (side * 0.085, 0.555, 0.20), (0.08, 0.055, 0.035), colors["bow"], "teddy bear", rotation=roll(side * 0.3)
        )
    build.ellipsoid((0, 0.555, 0.22), 0.035, colors["bow"], "teddy bear")


def robot(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A toy robot of boxes with a glowing chest."""
    c, trim = colors["body"], "hub" if colors["body"] not in ("white", "grey") else "metal"
    up = rng.random() < 0.4
    build.box((0, 0.74, 0), (0.29, 0.30, 0.20), c, "robot")
    build.box((0, 0.76, 0.20), (0.19, 0.17, 0.02), trim, "robot")
    for x, light in ((-0.10, "red"), (0.0, "yellow"), (0.10, "green")):
        build.ellipsoid((x, 0.84, 0.22), (0.036, 0.036, 0.02), light, "robot", glow=0.8)
    build.box((0, 0.69, 0.215), (0.13, 0.045, 0.01), "dark", "robot")
    build.frustum((0, 1.02, 0), (0, 1.12, 0), 0.09, 0.09, trim, "robot")
    build.box((0, 1.30, 0), (0.25, 0.19, 0.19), c, "robot")
    for side in (-1, 1):
        build.ellipsoid((side * 0.11, 1.34, 0.19), (0.07, 0.07, 0.035), "paper", "robot")
        build.ellipsoid((side * 0.11, 1.34, 0.215), (0.04, 0.04, 0.025), "eye", "robot")
        build.frustum((side * 0.25, 1.30, 0), (side * 0.31, 1.30, 0), 0.07, 0.06, trim, "robot")
        hand = np.array((side * 0.50, 1.14 if up and side > 0 else 0.46, 0.06))
        build.ellipsoid((side * 0.35, 0.92, 0), 0.095, trim, "robot")
        build.capsule((side * 0.37, 0.92, 0), hand, 0.062, 0.062, trim, "robot")
        build.ellipsoid(hand, 0.10, c, "robot")
        build.box((side * 0.15, 0.26, 0), (0.09, 0.20, 0.10), trim, "robot")
        build.box((side * 0.16, 0.06, 0.05), (0.13, 0.06, 0.18), c, "robot")
    build.box((0, 1.19, 0.19), (0.12, 0.025, 0.01), "dark", "robot")
    build.capsule((0, 1.48, 0), (0, 1.62, 0), 0.018, 0.018, trim, "robot")
    build.ellipsoid((0, 1.66, 0), 0.055, "red" if colors["body"] != "red" else "yellow", "robot", glow=0.8)


def drum(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A drum with cords and two sticks."""
    c = colors["body"]
    build.frustum((0, 0.03, 0), (0, 0.47, 0), 0.36, 0.36, c, "instrument")
    rim = "yellow" if c not in ("yellow", "orange") else "cream"
    for y in (0.0, 0.43):
        build.frustum((0, y, 0), (0, y + 0.08, 0), 0.385, 0.385, rim, "instrument")
    build.frustum((0, 0.50, 0), (0, 0.516, 0), 0.35, 0.35, "paper", "instrument")
    for k in range(12):
        a, b = k * np.pi / 6, (k + 0.5) * np.pi / 6
        for start, end in ((a, b), (b, a + np.pi / 6)):
            low, high = (0.08, 0.43) if start == a else (0.43, 0.08)
            foot = (0.365 * np.sin(start), low, 0.365 * np.cos(start))
            build.capsule(foot, (0.365 * np.sin(end), high, 0.365 * np.cos(end)), 0.010, 0.010, "paper", "instrument")
    for side in (-1, 1):
        build.capsule((side * 0.30, 0.56, 0.16), (-side * 0.10, 0.56, -0.10), 0.020, 0.020, "wood", "instrument")
        build.ellipsoid((-side * 0.12, 0.56, -0.11), 0.042, "wood", "instrument")


def guitar(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A guitar on its stand, leaning back."""
    c, lean = colors["body"], tilt(-0.14)

    def at(x: float, y: float, z: float) -> np.ndarray:
        return lean @ np.array((x, y, z)) + (0, 0.06, 0)

    build.ellipsoid(at(0, 0.32, 0), (0.36, 0.31, 0.09), c, "instrument", rotation=lean)
    build.ellipsoid(at(0, 0.70, 0), (0.27, 0.25, 0.085), c, "instrument", rotation=lean)
    build.box(at(0, 0.52, 0), (0.21, 0.14, 0.07), c, "instrument", rotation=lean)
    build.ellipsoid(at(0, 0.58, 0.055), (0.125, 0.125, 0.04), "cream", "instrument", rotation=lean)
    build.ellipsoid(at(0, 0.58, 0.065), (0.10, 0.10, 0.04), "coal", "instrument", rotation=lean)
    build.box(at(0, 0.24, 0.09), (0.13, 0.03, 0.02), "wood_dark", "instrument", rotation=lean)
    build.box(at(0, 1.16, 0.06), (0.052, 0.46, 0.03), "wood_dark", "instrument", rotation=lean)
    build.box(at(0, 1.70, 0.05), (0.085, 0.12, 0.025), "wood", "instrument", rotation=lean)
    for x in (-0.03, 0.0, 0.03):
        build.capsule(at(x, 0.24, 0.115), at(x, 1.62, 0.095), 0.006, 0.006, "paper", "instrument")
    for side in (-1, 1):
        for y in (1.64, 1.70, 1.76):
            build.ellipsoid(at(side * 0.105, y, 0.05), 0.026, "hub", "instrument")
        build.capsule((side * 0.20, 0.03, 0.16), (side * 0.12, 0.42, -0.16), 0.024, 0.024, "dark", "instrument")
    build.capsule((0, 0.03, -0.36), (0, 0.60, -0.16), 0.024, 0.024, "dark", "instrument")


def crate(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A wooden crate with a frame."""
    build.box((0, 0.32, 0), (0.34, 0.32, 0.34), "wood", "crate", pattern=PLANKS)
    for x in (-0.33, 0.33):
        for z in (-0.33, 0.33):
            build.box((x, 0.32, z), (0.045, 0.33, 0.045), "wood_dark", "crate")
        for y in (0.05, 0.60):
            build.box((x, y, 0), (0.04, 0.05, 0.33), "wood_dark", "crate")
            build.box((0, y, x), (0.33, 0.05, 0.04), "wood_dark", "crate")


def barrel(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A barrel with hoops."""
    c = colors["body"] if colors["body"] != "brown" else "wood"
    build.frustum((0, 0, 0), (0, 0.46, 0), 0.30, 0.38, c, "barrel")
    build.frustum((0, 0.46, 0), (0, 0.92, 0), 0.38, 0.30, c, "barrel")
    for y, r in ((0.10, 0.325), (0.34, 0.368), (0.52, 0.38), (0.76, 0.335)):
        build.frustum((0, y, 0), (0, y + 0.06, 0), r + 0.008, r + 0.008, "metal", "barrel")
    build.frustum((0, 0.915, 0), (0, 0.93, 0), 0.26, 0.26, "wood_dark", "barrel")


def bucket(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A bucket full of water, its handle up."""
    c = colors["body"]
    build.frustum((0, 0, 0), (0, 0.46, 0), 0.23, 0.31, c, "bucket")
    build.frustum((0, 0.44, 0), (0, 0.49, 0), 0.33, 0.33, c, "bucket")
    build.frustum((0, 0.48, 0), (0, 0.496, 0), 0.28, 0.28, "glass", "water")
    handle = [np.array((0.31 * np.cos(a), 0.46 + 0.33 * np.sin(a), 0)) for a in np.linspace(0, np.pi, 9)]
    for p, q in pairwise(handle):
        build.capsule(p, q, 0.020, 0.020, "metal", "bucket")
    build.capsule((-0.07, 0.79, 0), (0.07, 0.79, 0), 0.036, 0.036, "wood", "bucket")


def suitcase(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A suitcase with straps, handle and corners."""
    c = colors["body"]
    build.box((0, 0.32, 0), (0.42, 0.29, 0.15), c, "suitcase")
    for x in (-0.24, 0.24):
        build.box((x, 0.32, 0), (0.045, 0.297, 0.157), "wood" if c not in ("brown", "orange") else "cream", "suitcase")
        build.box((x, 0.40, 0.16), (0.03, 0.04, 0.012), "yellow", "suitcase")
        for y in (0.05, 0.59):
            build.box((np.sign(x) * 0.39, y, 0), (0.045, 0.035, 0.158), "wood_dark", "suitcase")
    build.box((0, 0.32, 0), (0.424, 0.012, 0.154), "dark", "suitcase")
    for side in (-1, 1):
        build.capsule((side * 0.11, 0.60, 0), (side * 0.10, 0.70, 0), 0.026, 0.026, "wood_dark", "suitcase")
    build.capsule((-0.10, 0.70, 0), (0.10, 0.70, 0), 0.030, 0.030, "wood_dark", "suitcase")


def backpack(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A backpack with a pocket, a flap and side pockets."""
    c = colors["body"]
    strap = "wood" if c not in ("brown", "orange") else "cream"
    build.capsule((0, 0.27, 0), (0, 0.50, -0.02), 0.29, 0.25, c, "backpack", flat=0.70)
    build.capsule((-0.17, 0.12, 0), (0.17, 0.12, 0), 0.12, 0.12, c, "backpack", flat=1.5)
    build.ellipsoid((0, 0.60, 0.03), (0.265, 0.16, 0.215), c, "backpack")
    build.frustum((0, 0.52, 0.03), (0, 0.56, 0.03), 0.268, 0.272, strap, "backpack", flat=0.82)
    build.ellipsoid((0, 0.24, 0.17), (0.20, 0.16, 0.11), c, "backpack")
    build.frustum((0, 0.29, 0.17), (0, 0.32, 0.17), 0.195, 0.185, strap, "backpack", flat=0.58)
    for side in (-1, 1):
        build.ellipsoid((side * 0.30, 0.24, 0), (0.09, 0.17, 0.13), strap, "backpack")
        build.box((side * 0.11, 0.47, 0.215), (0.024, 0.12, 0.022), "wood_dark", "backpack")
        build.ellipsoid((side * 0.11, 0.40, 0.24), (0.036, 0.036, 0.02), "yellow", "backpack")
    loop = ((-0.08, 0.73, 0.0), (-0.05, 0.82, 0.0), (0.05, 0.82, 0.0), (0.08, 0.73, 0.0))
    for a, b in pairwise(loop):
        build.capsule(a, b, 0.024, 0.024, "wood_dark", "backpack")


def lantern(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A lantern with a light inside."""
    c = colors["body"]
    build.frustum((0, 0, 0), (0, 0.10, 0), 0.25, 0.23, c, "lamp")
    build.frustum((0, 0.10, 0), (0, 0.46, 0), 0.17, 0.17, "bulb", "lamp", glow=1.0)
    for k in range(4):
        a = np.pi / 4 + k * np.pi / 2
        x, z = 0.20 * float(np.sin(a)), 0.20 * float(np.cos(a))
        build.capsule((x, 0.06, z), (x, 0.50, z), 0.022, 0.022, c, "lamp")
    build.frustum((0, 0.46, 0), (0, 0.52, 0), 0.25, 0.25, c, "lamp")
    build.frustum((0, 0.52, 0), (0, 0.68, 0), 0.23, 0.08, c, "lamp")
    handle = [np.array((0.13 * np.cos(a), 0.70 + 0.15 * np.sin(a), 0)) for a in np.linspace(-0.2, np.pi + 0.2, 8)]
    for p, q in pairwise(handle):
        build.capsule(p, q, 0.018, 0.018, "metal", "lamp")


def ladder(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A stepladder."""
    c = colors["body"]
    for side in (-1, 1):
        build.capsule((side * 0.30, 0.03, 0.38), (side * 0.20, 1.55, 0), 0.035, 0.035, c, "stairs")
        build.capsule((side * 0.28, 0.03, -0.40), (side * 0.19, 1.52, -0.03), 0.028, 0.028, "hub", "stairs")
    for t in (0.18, 0.38, 0.58, 0.78):
        build.box((0, 1.55 * t, 0.38 * (1 - t)), (0.29 - 0.10 * t, 0.022, 0.075), c, "stairs")
    build.box((0, 1.56, 0), (0.24, 0.025, 0.13), c, "stairs")


def sandcastle(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A castle of sand with a flag and a little spade."""
    sand = "dune"
    build.frustum((0, 0, 0), (0, 0.10, 0), 0.68, 0.60, sand, "sandcastle")
    build.box((0, 0.28, 0), (0.40, 0.20, 0.34), sand, "sandcastle")
    for x in (-0.26, 0.0, 0.26):
        build.box((x, 0.51, 0.30), (0.065, 0.045, 0.045), sand, "sandcastle")
    for x in (-0.42, 0.42):
        for z in (-0.32, 0.34):
            build.frustum((x, 0.05, z), (x, 0.56, z), 0.20, 0.155, sand, "sandcastle")
            build.frustum((x, 0.56, z), (x, 0.78, z), 0.18, 0.01, sand, "sandcastle")
    build.frustum((0, 0.40, -0.05), (0, 0.84, -0.05), 0.22, 0.16, sand, "sandcastle")
    build.frustum((0, 0.82, -0.05), (0, 0.90, -0.05), 0.19, 0.20, sand, "sandcastle")
    build.ellipsoid((0, 0.20, 0.345), (0.11, 0.15, 0.02), "wood_dark", "sandcastle")
    build.capsule((0, 0.88, -0.05), (0, 1.26, -0.05), 0.016, 0.016, "wood", "flag")
    build.box((0.13, 1.18, -0.05), (0.12, 0.075, 0.012), colors["flag"], "flag")
    for x, z in ((-0.12, 0.62), (0.2, 0.60), (0.5, 0.5)):
        build.ellipsoid((x, 0.10, z), (0.045, 0.03, 0.04), "paper", "sandcastle")
