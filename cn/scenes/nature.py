"""Models of trees, animals and whatever else grows or snows. Each stands on y = 0 around the origin and faces +z.

A builder takes the clay, the named color of each of its parts, and a generator for small variety. Meters.
"""

from __future__ import annotations

import numpy as np

from .clay import FADE, Clay
from .geometry import roll, tilt, turn

Paint = dict[str, str]
Rng = np.random.Generator


def tree(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A round broadleaf tree."""
    leaf = "leaf" if paint["leaves"] == "green" else paint["leaves"]
    clay.post((0, 0, 0), (0, 1.15, 0), 0.17, 0.11, "trunk", "tree")
    clay.limb((0, 0.8, 0), (0.32, 1.25, 0.05), 0.07, 0.05, "trunk", "tree")
    phase = rng.uniform(0, 2 * np.pi)
    clay.ball((0, 1.85, 0), (0.72, 0.68, 0.70), leaf, "tree", pattern=FADE)
    for k in range(5):
        a = phase + k * 2 * np.pi / 5
        r = 0.40 + 0.08 * rng.random()
        clay.ball((0.52 * np.cos(a), 1.48 + 0.18 * rng.random(), 0.48 * np.sin(a)), r, leaf, "tree", pattern=FADE)
    clay.ball((0.12 * np.cos(phase), 2.28, 0.1), 0.44, leaf, "tree", pattern=FADE)


def fir(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A fir of stacked cones, with snow on its tips where the leaves are white."""
    leaf = {"green": "fir"}.get(paint["leaves"], paint["leaves"])
    clay.post((0, 0, 0), (0, 0.45, 0), 0.14, 0.12, "trunk", "tree")
    for y, r, h in ((0.32, 0.80, 0.95), (0.88, 0.64, 0.85), (1.40, 0.48, 0.78), (1.88, 0.32, 0.66)):
        clay.post((0, y, 0), (0, y + h, 0), r, 0.02, leaf, "tree", pattern=FADE)


def palm(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A leaning palm with drooping leaves."""
    bend = 0.35 * (1 if rng.random() < 0.5 else -1)
    points = [np.array((bend * t * t, 2.1 * t, 0.0)) for t in np.linspace(0, 1, 5)]
    for a, b, r in zip(points[:-1], points[1:], (0.14, 0.12, 0.105, 0.095), strict=True):
        clay.limb(a, b, r, r - 0.012, "wood", "palm")
    top = points[-1]
    phase = rng.uniform(0, 2 * np.pi)
    for k in range(7):
        angle = phase + k * 2 * np.pi / 7
        out = np.array((np.cos(angle), 0, np.sin(angle)))
        middle = np.add(top + out * 0.42, (0, 0.14, 0))
        clay.limb(top, middle, 0.07, 0.13, "palm", "palm", flat=0.35, facing=(0, 1, 0))
        clay.limb(middle, top + out * 0.86 - (0, 0.24, 0), 0.13, 0.03, "palm", "palm", flat=0.35, facing=(0, 1, 0))
    for k in range(3):
        nut = np.array((0.11 * np.cos(2.1 * k), -0.08, 0.11 * np.sin(2.1 * k)))
        clay.ball(top + nut, 0.075, "trunk", "palm")


def mushroom(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A toadstool with dots."""
    clay.limb((0, 0.10, 0), (0, 0.48, 0), 0.15, 0.11, "cream", "plant")
    clay.ball((0, 0.56, 0), (0.44, 0.30, 0.44), paint["cap"], "plant")
    dots = "white" if paint["cap"] not in ("white", "yellow", "grey") else "brown"
    for a, up in ((0.2, 0.55), (1.6, 0.75), (2.9, 0.5), (4.1, 0.8), (5.2, 0.45), (0.9, 1.15), (3.6, 1.25)):
        at = np.array((0.42 * np.cos(up) * np.sin(a), 0.56 + 0.285 * np.sin(up), 0.42 * np.cos(up) * np.cos(a)))
        clay.ball(at, 0.058, dots, "plant")


def flower(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A big flower with six petals, leaning back a little."""
    clay.limb((0, 0, 0), (0.02, 0.85, 0), 0.030, 0.026, "stalk", "flower")
    for side in (-1, 1):
        clay.ball((side * 0.16, 0.30, 0), (0.17, 0.05, 0.08), "stalk", "flower", rotation=roll(side * 0.6))
    face = tilt(-0.15)
    center = np.array((0.02, 0.95, 0.02))
    for k in range(6):
        a = k * np.pi / 3 + 0.3
        spot = center + face @ (0.19 * np.cos(a), 0.19 * np.sin(a), 0)
        clay.ball(spot, (0.135, 0.105, 0.045), paint["petals"], "flower", rotation=face @ roll(a))
    heart = "brown" if paint["petals"] in ("yellow", "orange") else "yellow"
    clay.ball(center + face @ (0, 0, 0.035), (0.115, 0.115, 0.06), heart, "flower", rotation=face)


def rock(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A pile of two or three rounded rocks."""
    clay.ball((0, 0.22, 0), (0.48, 0.36, 0.38), "stone", "rock", rotation=turn(rng.uniform(-1, 1)) @ roll(0.15))
    clay.ball((0.36, 0.12, 0.16), (0.28, 0.22, 0.24), "stone_warm", "rock")


def snowman(clay: Clay, paint: Paint, rng: Rng) -> None:
    """Three snowballs, a carrot, a hat and a scarf."""
    clay.ball((0, 0.42, 0), (0.50, 0.46, 0.50), "snow", "sculpture")
    clay.ball((0, 0.98, 0), 0.36, "snow", "sculpture")
    clay.ball((0, 1.42, 0), 0.26, "snow", "sculpture")
    clay.post((0, 1.16, 0), (0, 1.27, 0), 0.27, 0.25, paint["scarf"], "sculpture")
    clay.limb((0.14, 1.18, 0.24), (0.18, 0.86, 0.36), 0.06, 0.075, paint["scarf"], "sculpture", flat=0.5)
    clay.post((0, 1.40, 0.24), (0, 1.38, 0.52), 0.055, 0.005, "carrot", "sculpture")
    for side in (-1, 1):
        clay.ball((side * 0.09, 1.49, 0.225), 0.032, "coal", "sculpture")
        clay.limb((side * 0.30, 1.05, 0), (side * 0.66, 1.32, 0.05), 0.025, 0.02, "trunk", "sculpture")
        clay.limb((side * 0.52, 1.20, 0.03), (side * 0.56, 1.38, 0.03), 0.018, 0.015, "trunk", "sculpture")
    for y, z in ((1.08, 0.345), (0.94, 0.358), (0.55, 0.47)):
        clay.ball((0, y, z), 0.034, "coal", "sculpture")
    clay.post((0, 1.60, 0), (0, 1.635, 0), 0.31, 0.30, paint["hat"], "sculpture")
    clay.post((0, 1.60, 0), (0, 1.90, 0), 0.21, 0.19, paint["hat"], "sculpture")


def cat(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A sitting cat with its tail around it."""
    c = _fur(paint)
    clay.limb((0, 0.20, -0.08), (0, 0.42, 0.02), 0.20, 0.135, c, "animal")
    clay.ball((0, 0.66, 0.08), (0.19, 0.165, 0.165), c, "animal")
    dark = "eye" if paint["body"] != "black" else "yellow"
    for side in (-1, 1):
        clay.post((side * 0.11, 0.75, 0.07), (side * 0.14, 0.92, 0.05), 0.07, 0.008, c, "animal", flat=0.6)
        clay.limb((side * 0.075, 0.34, 0.11), (side * 0.075, 0.05, 0.17), 0.058, 0.052, c, "animal")
        clay.ball((side * 0.075, 0.69, 0.225), (0.026, 0.034, 0.018), dark, "animal")
        clay.ball((side * 0.17, 0.09, 0.0), (0.11, 0.09, 0.17), c, "animal")
    clay.ball((0, 0.625, 0.235), (0.055, 0.038, 0.03), "cream", "animal")
    clay.ball((0, 0.645, 0.262), 0.018, "cheek", "animal")
    clay.limb((0.10, 0.08, -0.22), (0.32, 0.12, -0.10), 0.05, 0.05, c, "animal")
    clay.limb((0.32, 0.12, -0.10), (0.38, 0.36, -0.04), 0.05, 0.045, c, "animal")


def dog(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A standing dog; its nose points to +z."""
    c = _fur(paint)
    clay.limb((0, 0.42, -0.30), (0, 0.45, 0.22), 0.16, 0.18, c, "animal")
    clay.limb((0, 0.52, 0.25), (0, 0.72, 0.36), 0.12, 0.12, c, "animal")
    clay.ball((0, 0.78, 0.40), (0.17, 0.16, 0.17), c, "animal")
    clay.limb((0, 0.74, 0.50), (0, 0.72, 0.62), 0.085, 0.07, "cream", "animal")
    clay.ball((0, 0.76, 0.69), 0.035, "coal", "animal")
    for side in (-1, 1):
        clay.limb((side * 0.15, 0.88, 0.36), (side * 0.20, 0.68, 0.36), 0.05, 0.065, "trunk", "animal", flat=0.6)
        clay.ball((side * 0.07, 0.83, 0.545), 0.024, "eye" if paint["body"] != "black" else "cream", "animal")
        for z in (-0.30, 0.22):
            clay.limb((side * 0.10, 0.38, z), (side * 0.10, 0.06, z + 0.02), 0.068, 0.058, c, "animal")
    clay.limb((0, 0.50, -0.42), (0, 0.76, -0.58), 0.05, 0.035, c, "animal")


def _fur(paint: Paint) -> str:
    """The material for a named color of fur."""
    return {"brown": "fur_brown", "black": "fur_black", "white": "fur_white", "orange": "fur_ginger"}.get(
        paint["body"], paint["body"]
    )
