"""Landmarks and outdoor structures. Each model stands on y = 0 around the origin and faces +z; lengths in meters."""

from itertools import pairwise

import numpy as np

from cn.scenes.builder import BRICKS, GORES, PLANKS, Builder, PartColors
from cn.scenes.geometry import Rng, roll, turn


def lighthouse(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A lighthouse with five bands, a gallery and a lantern."""
    band, pale = colors["bands"], "snow"
    radii = np.linspace(0.56, 0.34, 6)
    for k in range(5):
        ring = band if k % 2 == 0 else pale
        build.frustum((0, 0.40 * k, 0), (0, 0.40 * (k + 1), 0), radii[k], radii[k + 1], ring, "tower")
    build.frustum((0, 1.98, 0), (0, 2.06, 0), 0.50, 0.50, "dark", "tower")
    build.frustum((0, 2.06, 0), (0, 2.38, 0), 0.26, 0.26, "bulb", "tower", glow=1.0)
    for k in range(8):
        a = k * np.pi / 4
        x, z = float(np.sin(a)), float(np.cos(a))
        build.capsule((0.46 * x, 2.06, 0.46 * z), (0.46 * x, 2.22, 0.46 * z), 0.015, 0.015, "dark", "tower")
        if k % 2:
            build.capsule((0.26 * x, 2.06, 0.26 * z), (0.26 * x, 2.38, 0.26 * z), 0.02, 0.02, "dark", "tower")
    build.frustum((0, 2.38, 0), (0, 2.66, 0), 0.36, 0.03, band, "tower")
    build.ellipsoid((0, 2.68, 0), 0.05, "dark", "tower")
    build.box((0, 0.26, 0.53), (0.15, 0.26, 0.04), "wood_dark", "door")
    build.ellipsoid((0, 0.52, 0.51), (0.15, 0.13, 0.05), "wood_dark", "door")
    for y, z in ((1.0, 0.46), (1.62, 0.385)):
        build.ellipsoid((0, y, z), (0.08, 0.12, 0.04), "window", "window", glow=0.9)


def windmill(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A windmill with four sails."""
    build.frustum((0, 0, 0), (0, 1.55, 0), 0.62, 0.42, colors["walls"], "tower", pattern=BRICKS)
    build.frustum((0, 1.52, 0), (0, 1.60, 0), 0.50, 0.50, "wood_dark", "tower")
    build.ellipsoid((0, 1.62, 0), (0.46, 0.46, 0.46), colors["roof"], "tower")
    build.capsule((0, 1.68, 0.3), (0, 1.68, 0.66), 0.07, 0.06, "wood_dark", "tower")
    phase = rng.uniform(0.25, 1.3)
    for k in range(4):
        a = phase + k * np.pi / 2
        out, across = np.array((np.cos(a), np.sin(a), 0)), np.array((-np.sin(a), np.cos(a), 0))
        hub = np.array((0, 1.68, 0.62))
        build.capsule(hub, hub + out * 1.08, 0.028, 0.020, "wood_dark", "tower")
        middle = hub + out * 0.66 + across * 0.13
        columns = np.stack([out * 0.40, across * 0.115, np.array((0, 0, 0.012))], axis=1)
        build.box(middle, (1, 1, 1), "cream", "tower", columns=columns)
        for far in (0.42, 0.58, 0.74, 0.90):
            bar = np.stack([out * 0.012, across * 0.12, np.array((0, 0, 0.02))], axis=1)
            build.box(hub + out * far + across * 0.13, (1, 1, 1), "wood", "tower", columns=bar)
    build.box((0, 0.32, 0.58), (0.17, 0.32, 0.06), "wood_dark", "door")
    for angle in (-0.6, 0.6):
        at = (float(np.sin(angle)) * 0.54, 0.86, float(np.cos(angle)) * 0.54)
        build.ellipsoid(at, (0.09, 0.13, 0.05), "window", "window", rotation=turn(angle), glow=0.9)


def tent(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A ridge tent, its entrance open, or a round striped one."""
    c = colors["body"]
    if rng.random() < 0.35:
        build.frustum((0, 0, 0), (0, 0.72, 0), 0.92, 0.98, c, "tent", pattern=GORES)
        build.frustum((0, 0.72, 0), (0, 1.42, 0), 1.08, 0.03, c, "tent", pattern=GORES)
        build.box((0, 0.30, 0.92), (0.20, 0.32, 0.07), "dark", "tent")
        build.ellipsoid((0, 0.60, 0.93), (0.20, 0.14, 0.06), "dark", "tent")
        build.capsule((0, 1.40, 0), (0, 1.62, 0), 0.02, 0.02, "wood_dark", "tent")
        build.box((0.14, 1.56, 0), (0.13, 0.07, 0.012), c, "flag")
        return
    prism = np.array([(0.46, -0.46, 0), (0.62, 0.62, 0), (0, 0, 0.85)])
    build.box((0, 0, 0), (1, 1, 1), c, "tent", columns=prism)
    build.box((0, 0, 0.03), (1, 1, 1), "dark", "tent", columns=prism * np.array([[0.42], [0.80], [0.99]]))
    build.box((0, 0, 0.022), (1, 1, 1), "cream", "tent", columns=prism * np.array([[0.62], [0.90], [0.99]]))
    for side in (-1, 1):
        fold = np.array([(side * 0.16, side * 0.10, 0), (-0.44, 0.10, 0), (0, 0, 0.03)])
        build.box((side * 0.37, 0.44, 0.89), (1, 1, 1), c, "tent", columns=fold)
        build.capsule((side * 0.9, 0.03, 0.8), (side * 1.15, 0.02, 0.95), 0.018, 0.018, "wood", "tent")
    build.capsule((0, 1.22, -0.90), (0, 1.22, 0.93), 0.028, 0.028, "wood", "tent")
    build.capsule((0, 0, 0.90), (0, 1.28, 0.90), 0.022, 0.022, "wood", "tent")


def bridge(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A little arched bridge with railings over a pond."""
    c = colors["body"]
    build.frustum((0, 0.0, 0), (0, 0.018, 0), 0.95, 0.95, "blue", "water", flat=0.9)
    build.frustum((0, 0.0, 0), (0, 0.010, 0), 1.02, 1.02, "stone_warm", "rock", flat=0.92)
    steps = np.linspace(-1.0, 1.0, 11)
    height = 0.08 + 0.52 * np.cos(steps * 1.35)
    slopes = np.arctan(-0.52 * 1.35 * np.sin(steps * 1.35) / 1.15)
    for t, y, angle in zip(steps.tolist(), height.tolist(), slopes.tolist(), strict=True):
        build.box((1.15 * t, y, 0), (0.135, 0.045, 0.40), c, "bridge", rotation=roll(angle), pattern=PLANKS)
    for z in (-0.38, 0.38):
        rail = [np.array((1.15 * t, y + 0.40, z)) for t, y in zip(steps[::2], height[::2], strict=True)]
        for a, b in pairwise(rail):
            build.capsule(a, b, 0.038, 0.038, c, "bridge")
        for p in rail:
            build.capsule(p - (0, 0.42, 0), p, 0.036, 0.036, c, "bridge")


def well(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A stone well with a roof and a bucket."""
    build.frustum((0, 0, 0), (0, 0.56, 0), 0.55, 0.52, "stone_warm", "well", pattern=BRICKS)
    build.frustum((0, 0.54, 0), (0, 0.62, 0), 0.58, 0.58, "stone", "well")
    build.frustum((0, 0.615, 0), (0, 0.628, 0), 0.44, 0.44, "dark", "well")
    for side in (-1, 1):
        build.box((side * 0.50, 0.95, 0), (0.05, 0.42, 0.05), "wood_dark", "well")
        ridge, eave = np.array((0, 1.74, 0)), np.array((0, 1.30, side * 0.58))
        slab = np.stack([np.array((0.72, 0, 0)), np.array((0, 0.035, side * 0.03)), (eave - ridge) / 2], axis=1)
        build.box((ridge + eave) / 2, (1, 1, 1), colors["roof"], "well", columns=slab, pattern=PLANKS)
    build.capsule((-0.56, 1.16, 0), (0.66, 1.16, 0), 0.055, 0.055, "wood", "well")
    build.capsule((0, 1.14, 0), (0, 0.94, 0), 0.014, 0.014, "cream", "well")
    build.frustum((0, 0.72, 0), (0, 0.92, 0), 0.11, 0.14, "wood", "well")


def fountain(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A fountain with two bowls and falling water."""
    c = colors["basin"]
    build.frustum((0, 0, 0), (0, 0.34, 0), 0.92, 0.98, c, "fountain")
    build.frustum((0, 0.32, 0), (0, 0.40, 0), 1.02, 1.02, c, "fountain")
    build.frustum((0, 0.39, 0), (0, 0.412, 0), 0.88, 0.88, "glass", "water")
    build.frustum((0, 0.3, 0), (0, 1.06, 0), 0.15, 0.09, c, "fountain")
    build.frustum((0, 0.92, 0), (0, 1.12, 0), 0.14, 0.50, c, "fountain")
    build.frustum((0, 1.11, 0), (0, 1.13, 0), 0.45, 0.45, "glass", "water")
    build.capsule((0, 1.1, 0), (0, 1.62, 0), 0.07, 0.035, "snow", "water")
    for k in range(8):
        a = k * np.pi / 4 + 0.2
        out = np.array((np.cos(a), 0, np.sin(a)))
        build.capsule(out * 0.04 + (0, 1.58, 0), out * 0.24 + (0, 1.50, 0), 0.03, 0.03, "snow", "water")
        build.capsule(out * 0.24 + (0, 1.50, 0), out * 0.36 + (0, 1.15, 0), 0.03, 0.02, "snow", "water")
        build.capsule(out * 0.50 + (0, 1.10, 0), out * 0.62 + (0, 0.42, 0), 0.028, 0.036, "snow", "water")


def statue(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A statue on a pedestal: someone with one arm raised."""
    c = colors["body"]
    build.box((0, 0.08, 0), (0.46, 0.08, 0.46), "stone", "sculpture")
    build.box((0, 0.44, 0), (0.34, 0.30, 0.34), "stone_warm", "sculpture")
    build.box((0, 0.76, 0), (0.40, 0.05, 0.40), "stone", "sculpture")
    for side in (-1, 1):
        build.capsule((side * 0.09, 0.86, side * 0.05), (side * 0.08, 1.30, 0), 0.08, 0.10, c, "sculpture")
    build.frustum((0, 1.16, 0), (0, 1.46, 0), 0.22, 0.15, c, "sculpture", flat=0.8)
    build.capsule((0, 1.40, 0), (0, 1.66, 0), 0.15, 0.17, c, "sculpture", flat=0.75)
    build.ellipsoid((0, 1.96, 0.01), (0.115, 0.14, 0.13), c, "sculpture")
    arm = 1 if rng.random() < 0.5 else -1
    build.capsule((arm * 0.17, 1.70, 0), (arm * 0.38, 1.90, 0.06), 0.06, 0.05, c, "sculpture")
    build.capsule((arm * 0.38, 1.90, 0.06), (arm * 0.42, 2.22, 0.08), 0.05, 0.045, c, "sculpture")
    build.capsule((-arm * 0.18, 1.68, 0), (-arm * 0.32, 1.44, 0.02), 0.06, 0.05, c, "sculpture")
    build.capsule((-arm * 0.32, 1.44, 0.02), (-arm * 0.16, 1.32, 0.14), 0.05, 0.045, c, "sculpture")


def signpost(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A post with three arrows."""
    build.capsule((0, 0, 0), (0, 1.72, 0), 0.065, 0.055, "wood", "signpost")
    build.ellipsoid((0, 1.78, 0), 0.08, "wood_dark", "signpost")
    side = 1 if rng.random() < 0.5 else -1
    for k, (y, long) in enumerate(((1.52, 0.36), (1.22, 0.42), (0.92, 0.32))):
        s = side if k % 2 == 0 else -side
        board = colors["body"] if k != 1 else "cream"
        build.box((s * long * 0.62, y, 0.07), (long, 0.115, 0.025), board, "signpost")
        tip = np.array([(0.082, -0.082, 0), (0.082, 0.082, 0), (0, 0, 0.025)])
        build.box((s * long * 1.62, y, 0.07), (1, 1, 1), board, "signpost", columns=tip)
        build.box((s * long * 0.62, y, 0.08), (long * 0.6, 0.02, 0.02), "wood_dark", "signpost")


def campfire(build: Builder, colors: PartColors, rng: Rng) -> None:
    """Burning logs in a ring of stones."""
    for k in range(9):
        a = k * 2 * np.pi / 9
        build.ellipsoid((0.46 * np.cos(a), 0.06, 0.46 * np.sin(a)), (0.13, 0.10, 0.12), "stone", "rock")
    for k in range(5):
        a = k * 2 * np.pi / 5 + 0.3
        foot = (0.36 * np.cos(a), 0.07, 0.36 * np.sin(a))
        build.capsule(foot, (-0.04 * np.cos(a), 0.40, -0.04 * np.sin(a)), 0.06, 0.05, "trunk", "log")
    for x, z, r, top in (
        (0, 0, 0.24, 0.92),
        (0.14, 0.06, 0.16, 0.66),
        (-0.15, 0.04, 0.17, 0.72),
        (0.02, 0.14, 0.15, 0.56),
    ):
        build.ellipsoid((x, 0.26, z), (r, 0.20, r), "orange", "fire", glow=1.0)
        build.frustum((x, 0.30, z), (x * 1.3, top, z), r * 0.96, 0.01, "orange", "fire", glow=1.0)
    build.frustum((0, 0.22, 0.14), (0.02, 0.60, 0.16), 0.17, 0.01, "yellow", "fire", glow=1.0)
    build.frustum((0.12, 0.2, 0.14), (0.14, 0.44, 0.17), 0.11, 0.01, "yellow", "fire", glow=1.0)
