"""Trees, flowers, mushrooms and rocks. Each model stands on y = 0 around the origin and faces +z; lengths in meters."""

import numpy as np

from cn.scenes.builder import FADE, Builder, PartColors
from cn.scenes.geometry import Rng, roll, tilt, turn


def tree(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A round broadleaf tree."""
    leaf = "leaf" if colors["leaves"] == "green" else colors["leaves"]
    build.frustum((0, 0, 0), (0, 1.15, 0), 0.17, 0.11, "trunk", "tree")
    build.capsule((0, 0.8, 0), (0.32, 1.25, 0.05), 0.07, 0.05, "trunk", "tree")
    phase = rng.uniform(0, 2 * np.pi)
    build.ellipsoid((0, 1.85, 0), (0.72, 0.68, 0.70), leaf, "tree", pattern=FADE)
    for k in range(5):
        a = phase + k * 2 * np.pi / 5
        r = 0.40 + 0.08 * rng.random()
        build.ellipsoid((0.52 * np.cos(a), 1.48 + 0.18 * rng.random(), 0.48 * np.sin(a)), r, leaf, "tree", pattern=FADE)
    build.ellipsoid((0.12 * np.cos(phase), 2.28, 0.1), 0.44, leaf, "tree", pattern=FADE)


def fir(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A fir of stacked cones, with snow on its tips where the leaves are white."""
    leaf = {"green": "fir"}.get(colors["leaves"], colors["leaves"])
    build.frustum((0, 0, 0), (0, 0.45, 0), 0.14, 0.12, "trunk", "tree")
    for y, r, h in ((0.32, 0.80, 0.95), (0.88, 0.64, 0.85), (1.40, 0.48, 0.78), (1.88, 0.32, 0.66)):
        build.frustum((0, y, 0), (0, y + h, 0), r, 0.02, leaf, "tree", pattern=FADE)


def palm(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A leaning palm with drooping leaves."""
    bend = 0.35 * (1 if rng.random() < 0.5 else -1)
    points = [np.array((bend * t * t, 2.1 * t, 0.0)) for t in np.linspace(0, 1, 5)]
    for a, b, r in zip(points[:-1], points[1:], (0.14, 0.12, 0.105, 0.095), strict=True):
        build.capsule(a, b, r, r - 0.012, "wood", "palm")
    top = points[-1]
    phase = rng.uniform(0, 2 * np.pi)
    for k in range(7):
        angle = phase + k * 2 * np.pi / 7
        out = np.array((np.cos(angle), 0, np.sin(angle)))
        middle = np.add(top + out * 0.42, (0, 0.14, 0))
        build.capsule(top, middle, 0.07, 0.13, "palm", "palm", flat=0.35, facing=(0, 1, 0))
        build.capsule(middle, top + out * 0.86 - (0, 0.24, 0), 0.13, 0.03, "palm", "palm", flat=0.35, facing=(0, 1, 0))
    for k in range(3):
        nut = np.array((0.11 * np.cos(2.1 * k), -0.08, 0.11 * np.sin(2.1 * k)))
        build.ellipsoid(top + nut, 0.075, "trunk", "palm")


def mushroom(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A toadstool with dots."""
    build.capsule((0, 0.10, 0), (0, 0.48, 0), 0.15, 0.11, "cream", "plant")
    build.ellipsoid((0, 0.56, 0), (0.44, 0.30, 0.44), colors["cap"], "plant")
    dots = "white" if colors["cap"] not in ("white", "yellow", "grey") else "brown"
    for a, up in ((0.2, 0.55), (1.6, 0.75), (2.9, 0.5), (4.1, 0.8), (5.2, 0.45), (0.9, 1.15), (3.6, 1.25)):
        at = np.array((0.42 * np.cos(up) * np.sin(a), 0.56 + 0.285 * np.sin(up), 0.42 * np.cos(up) * np.cos(a)))
        build.ellipsoid(at, 0.058, dots, "plant")


def flower(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A big flower with six petals, leaning back a little."""
    build.capsule((0, 0, 0), (0.02, 0.85, 0), 0.030, 0.026, "stalk", "flower")
    for side in (-1, 1):
        build.ellipsoid((side * 0.16, 0.30, 0), (0.17, 0.05, 0.08), "stalk", "flower", rotation=roll(side * 0.6))
    face = tilt(-0.15)
    center = np.array((0.02, 0.95, 0.02))
    for k in range(6):
        a = k * np.pi / 3 + 0.3
        spot = center + face @ (0.19 * np.cos(a), 0.19 * np.sin(a), 0)
        build.ellipsoid(spot, (0.135, 0.105, 0.045), colors["petals"], "flower", rotation=face @ roll(a))
    heart = "brown" if colors["petals"] in ("yellow", "orange") else "yellow"
    build.ellipsoid(center + face @ (0, 0, 0.035), (0.115, 0.115, 0.06), heart, "flower", rotation=face)


def rock(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A pile of two or three rounded rocks."""
    build.ellipsoid((0, 0.22, 0), (0.48, 0.36, 0.38), "stone", "rock", rotation=turn(rng.uniform(-1, 1)) @ roll(0.15))
    build.ellipsoid((0.36, 0.12, 0.16), (0.28, 0.22, 0.24), "stone_warm", "rock")
