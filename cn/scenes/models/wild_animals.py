"""Animals of woods and wilderness. Each stands on y = 0 and its nose points to +z; lengths in meters."""

from itertools import pairwise

import numpy as np

from cn.scenes.builder import Builder, PartColors
from cn.scenes.geometry import Rng, roll, turn
from cn.scenes.models.animals import fur


def elephant(build: Builder, colors: PartColors, rng: Rng) -> None:
    """An elephant with big ears, tusks and its trunk hanging or raised."""
    c = colors["body"]
    build.ellipsoid((0, 0.98, -0.16), (0.46, 0.46, 0.66), c, "elephant")
    build.ellipsoid((0, 1.22, 0.56), (0.33, 0.36, 0.33), c, "elephant")
    up = rng.random() < 0.4
    path = (
        ((0, 1.16, 0.84), (0, 0.92, 1.02), (0, 0.98, 1.22), (0, 1.26, 1.30), (0, 1.46, 1.24))
        if up
        else ((0, 1.16, 0.84), (0, 0.86, 0.98), (0, 0.52, 1.00), (0, 0.26, 1.04), (0, 0.18, 1.16))
    )
    for (a, b), r in zip(pairwise(path), (0.15, 0.125, 0.10, 0.085), strict=True):
        build.capsule(a, b, r, r - 0.018, c, "elephant")
    for side in (-1, 1):
        ear = turn(side * 0.45)
        build.ellipsoid((side * 0.46, 1.22, 0.46), (0.30, 0.38, 0.06), c, "elephant", rotation=ear)
        build.ellipsoid((side * 0.465, 1.20, 0.49), (0.22, 0.29, 0.06), "cheek", "elephant", rotation=ear)
        build.capsule((side * 0.15, 1.00, 0.82), (side * 0.19, 0.84, 1.08), 0.05, 0.018, "cream", "elephant")
        build.ellipsoid((side * 0.17, 1.32, 0.845), 0.038, "eye", "elephant")
        for z in (-0.46, 0.28):
            build.frustum((side * 0.24, 0, z), (side * 0.24, 0.85, z), 0.165, 0.19, c, "elephant")
            build.ellipsoid((side * 0.24, 0.05, z + 0.11), (0.11, 0.05, 0.07), "cream", "elephant")
    build.capsule((0, 1.12, -0.80), (0, 0.66, -0.90), 0.032, 0.02, c, "elephant")
    build.ellipsoid((0, 0.60, -0.90), (0.045, 0.08, 0.045), "dark", "elephant")


def bear(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A bear on four paws."""
    c = fur(colors["body"])
    build.ellipsoid((0, 0.72, -0.18), (0.38, 0.40, 0.56), c, "bear")
    build.ellipsoid((0, 0.78, 0.24), (0.34, 0.36, 0.34), c, "bear")
    build.ellipsoid((0, 0.96, 0.60), (0.26, 0.25, 0.25), c, "bear")
    build.capsule((0, 0.90, 0.78), (0, 0.87, 0.90), 0.125, 0.10, "cream", "bear")
    build.ellipsoid((0, 0.92, 0.99), (0.055, 0.042, 0.04), "coal", "bear")
    for side in (-1, 1):
        build.ellipsoid((side * 0.19, 1.17, 0.54), (0.09, 0.09, 0.06), c, "bear")
        build.ellipsoid((side * 0.19, 1.165, 0.58), (0.05, 0.05, 0.04), "cheek", "bear")
        build.ellipsoid((side * 0.10, 1.02, 0.815), 0.032, "eye" if c != "fur_black" else "cream", "bear")
        for z in (-0.42, 0.30):
            build.capsule((side * 0.22, 0.55, z), (side * 0.22, 0.14, z), 0.16, 0.125, c, "bear")
            build.ellipsoid((side * 0.22, 0.075, z + 0.07), (0.13, 0.075, 0.17), c, "bear")
    build.ellipsoid((0, 0.82, -0.70), 0.09, c, "bear")


def fox(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A fox with a white bib and a bushy tail with a white tip."""
    c = fur(colors["body"])
    pale = "fur_white" if colors["body"] != "white" else "grey"
    build.capsule((0, 0.42, -0.26), (0, 0.44, 0.20), 0.145, 0.155, c, "animal")
    build.ellipsoid((0, 0.38, 0.28), (0.10, 0.15, 0.10), pale, "animal")
    build.capsule((0, 0.50, 0.24), (0, 0.66, 0.34), 0.12, 0.11, c, "animal")
    build.ellipsoid((0, 0.72, 0.38), (0.185, 0.15, 0.155), c, "animal")
    build.frustum((0, 0.69, 0.46), (0, 0.64, 0.74), 0.105, 0.022, c, "animal")
    build.ellipsoid((0, 0.655, 0.47), (0.15, 0.075, 0.13), pale, "animal")
    build.ellipsoid((0, 0.645, 0.75), 0.032, "coal", "animal")
    for side in (-1, 1):
        build.frustum((side * 0.115, 0.80, 0.36), (side * 0.16, 1.02, 0.34), 0.085, 0.008, c, "animal", flat=0.5)
        build.frustum((side * 0.117, 0.82, 0.40), (side * 0.155, 0.97, 0.375), 0.048, 0.006, "dark", "animal", flat=0.4)
        build.ellipsoid((side * 0.085, 0.755, 0.505), 0.026, "eye", "animal")
        for z in (-0.28, 0.20):
            build.capsule((side * 0.09, 0.36, z), (side * 0.09, 0.05, z + 0.01), 0.062, 0.046, c, "animal")
            build.capsule((side * 0.09, 0.15, z), (side * 0.09, 0.045, z + 0.025), 0.05, 0.05, "dark", "animal")
    build.capsule((0, 0.46, -0.38), (0, 0.50, -0.62), 0.06, 0.125, c, "animal")
    build.capsule((0, 0.50, -0.62), (0, 0.60, -0.84), 0.125, 0.09, c, "animal")
    build.capsule((0, 0.62, -0.88), (0, 0.70, -1.0), 0.088, 0.02, pale, "animal")


def rabbit(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A sitting rabbit with long ears."""
    c = fur(colors["body"])
    build.ellipsoid((0, 0.30, -0.06), (0.22, 0.28, 0.26), c, "animal")
    build.ellipsoid((0, 0.29, 0.10), (0.14, 0.19, 0.14), "cream", "animal")
    build.ellipsoid((0, 0.64, 0.08), (0.185, 0.175, 0.175), c, "animal")
    build.ellipsoid((0, 0.585, 0.22), (0.10, 0.07, 0.06), "cream", "animal")
    build.ellipsoid((0, 0.62, 0.275), (0.026, 0.02, 0.018), "cheek", "animal")
    bend = rng.uniform(0.0, 0.12)
    for side in (-1, 1):
        far = side * (0.10 + bend)
        build.capsule((side * 0.07, 0.78, 0.04), (far, 1.12, 0.0), 0.055, 0.065, c, "animal", flat=0.6)
        build.capsule((side * 0.072, 0.82, 0.075), (far, 1.10, 0.04), 0.028, 0.036, "pink", "animal", flat=0.5)
        build.ellipsoid((side * 0.095, 0.68, 0.225), 0.034, "eye", "animal")
        build.ellipsoid((side * 0.15, 0.07, 0.12), (0.085, 0.07, 0.18), c, "animal")
        build.capsule((side * 0.10, 0.36, 0.14), (side * 0.07, 0.20, 0.24), 0.055, 0.05, c, "animal")
    build.ellipsoid((0, 0.16, -0.32), 0.10, "fur_white", "animal")


def turtle(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A turtle with a domed shell."""
    shell, skin = colors["shell"], "leaf"
    build.ellipsoid((0, 0.24, 0), (0.38, 0.32, 0.44), shell, "animal")
    build.frustum((0, 0.14, 0), (0, 0.22, 0), 0.43, 0.40, "cream", "animal", flat=1.15)
    for k in range(6):
        a = k * np.pi / 3
        at = (0.25 * np.sin(a), 0.44, 0.29 * np.cos(a))
        build.ellipsoid(at, (0.10, 0.07, 0.11), "wood_dark", "animal", rotation=roll(-0.55 * np.sin(a)))
    build.ellipsoid((0, 0.535, 0), (0.12, 0.04, 0.13), "wood_dark", "animal")
    build.capsule((0, 0.22, 0.36), (0, 0.40, 0.60), 0.10, 0.10, skin, "animal")
    build.ellipsoid((0, 0.45, 0.66), (0.135, 0.125, 0.15), skin, "animal")
    for side in (-1, 1):
        build.ellipsoid((side * 0.085, 0.50, 0.745), 0.032, "eye", "animal")
        for z in (-0.26, 0.28):
            build.capsule((side * 0.26, 0.18, z), (side * 0.38, 0.07, z * 1.25), 0.09, 0.07, skin, "animal")
    build.capsule((0, 0.14, -0.40), (0, 0.08, -0.54), 0.05, 0.015, skin, "animal")
