"""Models of things that people make, and the table of all builders. Each stands on y = 0 and faces +z, in meters.

A builder takes the clay, the named color of each of its parts, and a generator for small variety.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from .clay import BANDS, PLANKS, Clay
from .geometry import Vec, roll, tilt, turn
from .nature import cat, dog, fir, flower, mushroom, palm, rock, snowman, tree

Paint = dict[str, str]
Rng = np.random.Generator


def house(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A cottage with its gable to the front: door, windows, chimney."""
    wall, roof = paint["walls"], paint["roof"]
    wide, deep, high, rise = 0.95, 0.85, 1.15, 0.80
    clay.box((0, high / 2, 0), (wide, high / 2, deep), wall, "house")
    gable = np.array([(wide / 2, -wide / 2, 0), (rise / 2, rise / 2, 0), (0, 0, deep)])
    clay.box((0, high, 0), (1, 1, 1), wall, "house", columns=gable)
    for side in (-1, 1):
        ridge, eave = np.array((0, high + rise + 0.06, 0)), np.array((side * (wide + 0.20), high - 0.12, 0))
        slab = np.stack([(eave - ridge) / 2, np.array((side * 0.045, 0.055, 0)), np.array((0, 0, deep + 0.14))], axis=1)
        clay.box((ridge + eave) / 2, (1, 1, 1), roof, "house", columns=slab, pattern=PLANKS)
    door = "wood_dark" if wall != "brown" else "cream"
    clay.box((-0.32, 0.36, deep), (0.21, 0.36, 0.03), door, "door")
    clay.ball((-0.19, 0.36, deep + 0.04), 0.03, "bulb", "door")
    _window(clay, (0.42, 0.62, deep), 0.22)
    clay.ball((0, high + 0.22, deep + 0.0), (0.16, 0.16, 0.05), "window", "window", glow=0.9)
    for z in (-0.35, 0.35):
        for side in (-1, 1):
            clay.box((side * wide, 0.64, z), (0.02, 0.2, 0.17), "window", "window", glow=0.9)
    x = 0.48 if rng.random() < 0.5 else -0.48
    clay.box((x, high + 0.62, -0.2), (0.13, 0.34, 0.13), "stone_warm", "house")


def _window(clay: Clay, center: Vec, half: float) -> None:
    """A lit window with a cross, on a wall that faces +z."""
    x, y, z = center
    clay.box((x, y, z), (half + 0.04, half + 0.04, 0.015), "cream", "window")
    clay.box((x, y, z), (half, half, 0.03), "window", "window", glow=0.9)
    clay.box((x, y, z), (0.02, half, 0.04), "cream", "window")
    clay.box((x, y, z), (half, 0.02, 0.04), "cream", "window")


def tower(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A castle tower with a pointed roof."""
    clay.post((0, 0, 0), (0, 1.5, 0), 0.62, 0.52, paint["walls"], "tower")
    clay.post((0, 1.38, 0), (0, 1.62, 0), 0.56, 0.68, paint["walls"], "tower")
    clay.post((0, 1.62, 0), (0, 2.5, 0), 0.82, 0.0, paint["roof"], "tower")
    clay.limb((0, 2.45, 0), (0, 2.72, 0), 0.025, 0.025, "wood_dark", "tower")
    clay.box((0.17, 2.66, 0), (0.17, 0.09, 0.015), paint["roof"], "tower")
    door = "wood_dark" if paint["walls"] != "brown" else "cream"
    clay.box((0, 0.32, 0.58), (0.2, 0.32, 0.05), door, "door")
    clay.ball((0, 0.64, 0.55), (0.2, 0.18, 0.08), door, "door")
    for angle, y in ((-0.6, 0.95), (0.45, 1.15), (2.2, 1.0)):
        at = (float(np.sin(angle)) * 0.56, y, float(np.cos(angle)) * 0.56)
        clay.ball(at, (0.10, 0.16, 0.06), "window", "window", rotation=turn(angle), glow=0.9)


def car(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A toy car; its nose points to +z."""
    body = paint["body"]
    clay.limb((0, 0.42, -0.82), (0, 0.42, 0.86), 0.40, 0.40, body, "car", flat=0.62, facing=(0, 1, 0))
    clay.box((0, 0.40, 0.0), (0.50, 0.20, 1.02), body, "car")
    for z in (-1.02, 1.02):
        clay.limb((-0.42, 0.40, z), (0.42, 0.40, z), 0.20, 0.20, body, "car", flat=0.7)
        clay.limb((-0.44, 0.27, z * 1.09), (0.44, 0.27, z * 1.09), 0.06, 0.06, "hub", "car")
    screen = np.stack([(0.42, 0, 0), (0, 0.27, -0.11), (0, 0, 0.14)], axis=1)
    clay.box((0, 0.82, -0.18), (0.42, 0.27, 0.44), "glass", "car")
    clay.box((0, 0.82, 0.28), (1, 1, 1), "glass", "car", columns=screen)
    for z in (-0.62, 0.27):
        clay.limb((-0.38, 1.08, z), (0.38, 1.08, z), 0.055, 0.055, body, "car")
    clay.box((0, 1.08, -0.175), (0.44, 0.055, 0.445), body, "car")
    for side in (-1, 1):
        clay.box((side * 0.40, 0.82, -0.12), (0.035, 0.26, 0.05), body, "car")
        clay.box((side * 0.40, 0.82, -0.62), (0.035, 0.26, 0.09), body, "car")
        for z in (-0.64, 0.66):
            clay.post((side * 0.40, 0.25, z), (side * 0.57, 0.25, z), 0.25, 0.25, "tyre", "car")
            clay.post((side * 0.55, 0.25, z), (side * 0.585, 0.25, z), 0.13, 0.12, "hub", "car")
        clay.ball((side * 0.32, 0.46, 1.14), (0.10, 0.10, 0.05), "bulb", "car", glow=1.0)
        clay.ball((side * 0.34, 0.46, -1.15), (0.08, 0.07, 0.04), "red", "car", glow=0.4)


def table(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A sturdy table, 0.75 m high."""
    clay.box((0, 0.72, 0), (0.72, 0.035, 0.46), paint["body"], "table")
    for x in (-0.62, 0.62):
        for z in (-0.37, 0.37):
            clay.post((x, 0, z), (x, 0.70, z), 0.042, 0.055, paint["body"], "table")


def chair(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A chair with its seat at 0.46 m."""
    c = paint["body"]
    clay.box((0, 0.435, 0), (0.25, 0.03, 0.24), c, "chair")
    for x in (-0.21, 0.21):
        clay.post((x, 0, 0.20), (x, 0.42, 0.20), 0.030, 0.034, c, "chair")
        clay.limb((x, 0.03, -0.22), (x, 1.0, -0.26), 0.032, 0.032, c, "chair")
    clay.box((0, 0.86, -0.25), (0.21, 0.12, 0.025), c, "chair")
    clay.box((0, 0.62, -0.24), (0.21, 0.04, 0.022), c, "chair")


def bench(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A park bench with its seat at 0.46 m."""
    c = paint["body"]
    for z in (-0.14, 0.03, 0.20):
        clay.box((0, 0.435, z), (0.72, 0.028, 0.075), c, "bench")
    for y in (0.64, 0.82):
        clay.box((0, y, -0.25), (0.72, 0.07, 0.022), c, "bench", rotation=tilt(-0.1))
    for x in (-0.58, 0.58):
        clay.limb((x, 0.03, -0.22), (x, 0.90, -0.29), 0.034, 0.034, "metal", "bench")
        clay.limb((x, 0.03, 0.20), (x, 0.40, 0.20), 0.034, 0.034, "metal", "bench")


def street_lamp(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A street lamp with a lantern."""
    c = paint["body"]
    clay.post((0, 0, 0), (0, 0.16, 0), 0.18, 0.12, c, "streetlight")
    clay.limb((0, 0.1, 0), (0, 1.95, 0), 0.06, 0.045, c, "streetlight")
    clay.ball((0, 2.12, 0), (0.18, 0.21, 0.18), "bulb", "streetlight", glow=1.0)
    clay.post((0, 2.24, 0), (0, 2.44, 0), 0.26, 0.04, c, "streetlight")
    clay.post((0, 1.90, 0), (0, 1.98, 0), 0.09, 0.15, c, "streetlight")


def desk_lamp(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A table lamp with a shade."""
    clay.post((0, 0, 0), (0, 0.06, 0), 0.20, 0.17, "wood", "lamp")
    clay.limb((0, 0.05, 0), (0, 0.5, 0), 0.035, 0.03, "wood", "lamp")
    clay.ball((0, 0.45, 0), 0.11, "bulb", "lamp", glow=1.0)
    clay.post((0, 0.42, 0), (0, 0.82, 0), 0.34, 0.19, paint["body"], "lamp", glow=0.30)


def mug(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A big mug of cocoa with its handle to one side."""
    c = paint["body"]
    clay.post((0, 0, 0), (0, 0.46, 0), 0.215, 0.235, c, "pot")
    clay.post((0, 0.452, 0), (0, 0.4615, 0), 0.20, 0.20, "wood_dark", "pot")
    side = 1 if rng.random() < 0.5 else -1
    arc = [
        np.array((side * (0.21 + 0.15 * np.sin(a)), 0.235 + 0.135 * np.cos(a), 0.06)) for a in np.linspace(0.1, 3.05, 9)
    ]
    for a, b in pairwise(arc):
        clay.limb(a, b, 0.035, 0.035, c, "pot")


def ball(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A ball, half of them with a light band."""
    spin = roll(rng.uniform(-0.7, 0.7)) @ tilt(rng.uniform(-0.5, 0.5))
    clay.ball((0, 0.30, 0), 0.30, paint["body"], "ball", rotation=spin, pattern=BANDS if rng.random() < 0.4 else 0)


def box(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A box; with a ribbon it is a present."""
    c = paint["body"]
    clay.box((0, 0.28, 0), (0.28, 0.28, 0.28), c, "box")
    if "ribbon" in paint:
        r = paint["ribbon"]
        clay.box((0, 0.50, 0), (0.305, 0.065, 0.305), c, "box")
        clay.box((0, 0.285, 0), (0.06, 0.286, 0.31), r, "box")
        clay.box((0, 0.285, 0), (0.31, 0.286, 0.06), r, "box")
        for side in (-1, 1):
            clay.ball((side * 0.11, 0.635, 0), (0.12, 0.07, 0.06), r, "box", rotation=roll(side * 0.5))
        clay.ball((0, 0.60, 0), 0.05, r, "box")


def cone(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A plain cone."""
    clay.post((0, 0, 0), (0, 0.72, 0), 0.33, 0.012, paint["body"], "plaything")


def balloon(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A balloon on a string tied to a pebble."""
    clay.ball((0, 0.05, 0), (0.10, 0.06, 0.09), "stone", "rock")
    lean = rng.uniform(-0.08, 0.08)
    clay.limb((0, 0.08, 0), (lean, 0.92, 0), 0.010, 0.010, "paper", "ball")
    balloon_head(clay, (lean, 1.25, 0), paint["body"])


def balloon_head(clay: Clay, center: Vec, color: str) -> None:
    """The balloon itself, 0.7 m tall around ``center``."""
    x, y, z = center
    clay.limb((x, y - 0.14, z), (x, y + 0.06, z), 0.13, 0.25, color, "ball")
    clay.post((x, y - 0.32, z), (x, y - 0.25, z), 0.045, 0.02, color, "ball")


def boat(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A little sailing boat; its bow points to +x."""
    hull = paint["hull"]
    clay.post((0, -0.12, 0), (0, 0.30, 0), 0.70, 1.05, hull, "boat", flat=0.42, facing=(0, 0, 1))
    clay.post((0, 0.30, 0), (0, 0.335, 0), 1.07, 1.07, "cream", "boat", flat=0.43)
    clay.post((0, 0.32, 0), (0, 0.345, 0), 0.95, 0.95, "wood", "boat", flat=0.36)
    clay.limb((0.05, 0.3, 0), (0.05, 2.05, 0), 0.035, 0.03, "wood_dark", "boat")
    clay.post((-0.36, 0.50, 0), (-0.02, 1.95, 0), 0.44, 0.02, paint["sail"], "boat", flat=0.09)
    clay.post((0.42, 0.52, 0), (0.13, 1.60, 0), 0.30, 0.02, paint["sail"], "boat", flat=0.09)


def rocket(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A toy rocket on three fins."""
    c, fins = paint["body"], paint["fins"]
    clay.limb((0, 0.60, 0), (0, 1.25, 0), 0.34, 0.30, c, "plaything")
    clay.post((0, 1.36, 0), (0, 2.02, 0), 0.29, 0.01, fins, "plaything")
    clay.post((0, 0.14, 0), (0, 0.36, 0), 0.24, 0.20, "metal", "plaything")
    clay.ball((0, 1.12, 0.29), (0.15, 0.15, 0.05), "cream", "plaything")
    clay.ball((0, 1.12, 0.32), (0.11, 0.11, 0.04), "glass", "plaything", glow=0.5)
    for a in (0.55, 2.65, 4.7):
        out = np.array((np.sin(a), 0, np.cos(a)))
        clay.limb((out * 0.28) + (0, 0.62, 0), (out * 0.60) + (0, 0.10, 0), 0.10, 0.10, fins, "plaything", flat=0.45,
                  facing=(float(np.cos(a)), 0.0, float(-np.sin(a))))  # fmt: skip


def book(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A thick book lying flat."""
    c = paint["body"]
    clay.box((0, 0.025, 0), (0.34, 0.025, 0.25), c, "book")
    clay.box((0.01, 0.09, 0), (0.315, 0.05, 0.23), "paper", "book")
    clay.box((0, 0.155, 0), (0.34, 0.022, 0.25), c, "book")
    clay.limb((-0.33, 0.09, -0.22), (-0.33, 0.09, 0.22), 0.07, 0.07, c, "book")


def potted_plant(clay: Clay, paint: Paint, rng: Rng) -> None:
    """A leafy plant in a colored pot."""
    clay.post((0, 0, 0), (0, 0.36, 0), 0.17, 0.25, paint["pot"], "pot")
    clay.post((0, 0.34, 0), (0, 0.42, 0), 0.28, 0.28, paint["pot"], "pot")
    clay.ball((0, 0.42, 0), (0.24, 0.03, 0.24), "trunk", "pot")
    phase = rng.uniform(0, 6)
    for k in range(6):
        a = phase + k * np.pi / 3
        out = np.array((np.cos(a), 0, np.sin(a)))
        clay.limb(
            (0, 0.42, 0),
            out * 0.26 + (0, 0.82 + 0.1 * (k % 2), 0),
            0.03,
            0.105,
            "leaf",
            "plant",
            flat=0.5,
            facing=tuple(out),
        )
    clay.limb((0, 0.42, 0), (0, 0.98, 0), 0.03, 0.10, "leaf", "plant", flat=0.6)


def fence(clay: Clay, paint: Paint, rng: Rng) -> None:
    """Five pickets and two rails."""
    for x in np.linspace(-0.8, 0.8, 5):
        clay.box((x, 0.34, 0), (0.07, 0.34, 0.025), paint["body"], "fence")
        clay.ball((x, 0.68, 0), (0.07, 0.08, 0.025), paint["body"], "fence")
    for y in (0.22, 0.50):
        clay.box((0, y, -0.03), (1.0, 0.045, 0.02), paint["body"], "fence")


BUILDERS: dict[str, Callable[[Clay, Paint, Rng], None]] = {
    "house": house, "tower": tower, "tree": tree, "fir": fir, "palm": palm, "car": car, "snowman": snowman,
    "table": table, "chair": chair, "bench": bench, "street lamp": street_lamp, "lamp": desk_lamp, "mug": mug,
    "ball": ball, "box": box, "cone": cone, "balloon": balloon, "mushroom": mushroom, "flower": flower, "rock": rock,
    "boat": boat, "rocket": rocket, "cat": cat, "dog": dog, "book": book, "plant": potted_plant, "fence": fence,
}  # fmt: skip  # fmt: skip
