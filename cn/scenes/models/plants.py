"""Trees, flowers, mushrooms and rocks. Each model stands on y = 0 around the origin and faces +z; lengths in meters."""

import numpy as np

from cn.scenes.builder import FADE, Builder, PartColors
from cn.scenes.geometry import Rng, roll, tilt, turn


def tree(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A broadleaf tree: round, tall, or forked with flat crowns."""
    leaf = "leaf" if colors["leaves"] == "green" else colors["leaves"]
    (_round_tree, _tall_tree, _forked_tree)[int(rng.choice(3, p=(0.5, 0.25, 0.25)))](build, leaf, rng)


def _round_tree(build: Builder, leaf: str, rng: Rng) -> None:
    """One big crown."""
    build.frustum((0, 0, 0), (0, 1.15, 0), 0.17, 0.11, "trunk", "tree")
    build.capsule((0, 0.8, 0), (0.32, 1.25, 0.05), 0.07, 0.05, "trunk", "tree")
    phase = rng.uniform(0, 2 * np.pi)
    build.ellipsoid((0, 1.85, 0), (0.72, 0.68, 0.70), leaf, "tree", pattern=FADE)
    for k in range(5):
        a = phase + k * 2 * np.pi / 5
        r = 0.40 + 0.08 * rng.random()
        build.ellipsoid((0.52 * np.cos(a), 1.48 + 0.18 * rng.random(), 0.48 * np.sin(a)), r, leaf, "tree", pattern=FADE)
    build.ellipsoid((0.12 * np.cos(phase), 2.28, 0.1), 0.44, leaf, "tree", pattern=FADE)


def _tall_tree(build: Builder, leaf: str, rng: Rng) -> None:
    """A slender one, like a poplar or a birch."""
    build.frustum((0, 0, 0), (0, 1.0, 0), 0.13, 0.09, "trunk", "tree")
    lean = rng.uniform(-0.08, 0.08)
    for y, r in ((0.95, 0.40), (1.38, 0.50), (1.82, 0.44), (2.22, 0.30), (2.50, 0.18)):
        x, z = lean * y + rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.06)
        build.ellipsoid((x, y, z), (r, 0.40, r), leaf, "tree", pattern=FADE)


def _forked_tree(build: Builder, leaf: str, rng: Rng) -> None:
    """A gnarled one whose branches carry flat crowns."""
    build.frustum((0, 0, 0), (0.05, 0.85, 0), 0.20, 0.12, "trunk", "tree")
    phase = rng.uniform(0, 2 * np.pi)
    for k, (reach, top) in enumerate(((0.55, 1.62), (0.58, 1.85), (0.50, 1.50), (0.10, 2.22))):
        a = phase + k * 2 * np.pi / 3
        end = np.array((0.05 + reach * np.cos(a), top, reach * np.sin(a)))
        build.capsule((0.05, 0.80, 0), end, 0.095, 0.055, "trunk", "tree")
        build.ellipsoid(end, (0.54, 0.30, 0.50), leaf, "tree", pattern=FADE)
        build.ellipsoid(np.add(end, (0.12 * np.cos(a), 0.18, 0.1)), (0.36, 0.24, 0.34), leaf, "tree", pattern=FADE)


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


def cactus(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A cactus with two arms and flowers."""
    c, side = "leaf_dark", 1 if rng.random() < 0.5 else -1
    build.capsule((0, 0.1, 0), (0, 1.38, 0), 0.22, 0.20, c, "plant")
    for s, low, high in ((side, 0.62, 1.12), (-side, 0.46, 0.86)):
        build.capsule((0, low, 0), (s * 0.44, low + 0.02, 0), 0.11, 0.115, c, "plant")
        build.capsule((s * 0.44, low + 0.02, 0), (s * 0.46, high, 0), 0.125, 0.11, c, "plant")
        build.ellipsoid((s * 0.46, high + 0.13, 0.03), (0.085, 0.06, 0.085), colors["flowers"], "flower")
    build.ellipsoid((0, 1.60, 0.03), (0.13, 0.08, 0.13), colors["flowers"], "flower")
    for k in range(5):
        x = 0.19 * np.sin((k - 2) * 0.55)
        z = 0.205 * np.cos((k - 2) * 0.55)
        build.capsule((x, 0.12, z), (x * 0.9, 1.40, z * 0.92), 0.022, 0.020, "stalk", "plant")


def sunflower(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A tall sunflower with its face to the viewer."""
    lean = rng.uniform(-0.06, 0.06)
    build.capsule((0, 0, 0), (lean, 1.42, -0.02), 0.042, 0.035, "stalk", "flower")
    for s, y in ((-1, 0.42), (1, 0.62), (-1, 0.86)):
        build.ellipsoid((s * 0.23, y, 0.02), (0.23, 0.035, 0.12), "leaf", "flower", rotation=roll(s * 0.45))
    face, center = tilt(0.12), np.array((lean, 1.48, 0.04))
    for k in range(14):
        a = k * np.pi / 7
        spot = center + face @ (0.31 * np.cos(a), 0.31 * np.sin(a), 0)
        build.ellipsoid(spot, (0.155, 0.072, 0.03), "yellow", "flower", rotation=face @ roll(a))
    build.ellipsoid(center + face @ (0, 0, 0.02), (0.22, 0.22, 0.075), "wood_dark", "flower", rotation=face)
    build.ellipsoid(center + face @ (0, 0, 0.05), (0.13, 0.13, 0.06), "trunk", "flower", rotation=face)


def bush(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A bush in bloom, with flowers all over it."""
    phase = rng.uniform(0, 2 * np.pi)
    lobes = [((0.0, 0.44, 0.0), 0.48)]
    for k in range(4):
        a = phase + k * np.pi / 2
        lobes.append(((0.36 * np.cos(a), 0.30, 0.32 * np.sin(a)), 0.35))
    for k, (center, r) in enumerate(lobes):
        build.ellipsoid(center, (r, r * 0.92, r), "leaf_dark", "bush", pattern=FADE)
        for n in range(3 if k else 6):
            a = phase + (k - 1) * np.pi / 2 + (n - 1) * 0.9 if k else n * np.pi / 3
            up = 0.35 + 0.35 * (n % 2) if k else 0.75 + 0.3 * (n % 2)
            out = np.array((np.cos(up) * np.cos(a), 0.92 * np.sin(up), np.cos(up) * np.sin(a)))
            build.ellipsoid(np.array(center) + r * out, 0.075, colors["flowers"], "flower")
            build.ellipsoid(np.array(center) + (r + 0.06) * out, 0.032, "cream", "flower")


def log(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A lying log with a mushroom."""
    build.frustum((-0.72, 0.24, 0), (0.72, 0.24, 0), 0.25, 0.22, "trunk", "log")
    for x, r in ((-0.72, 0.21), (0.72, 0.185)):
        for k, wood in enumerate(("wood", "wood_dark", "cream")):
            end = 0.012 * (k + 1) * (1 if x > 0 else -1)
            build.frustum((x, 0.24, 0), (x + end, 0.24, 0), r * (1, 0.66, 0.4)[k], r * (1, 0.66, 0.4)[k], wood, "log")
    build.capsule((0.25, 0.36, 0), (0.36, 0.66, 0.05), 0.075, 0.06, "trunk", "log")
    build.ellipsoid((-0.30, 0.43, 0.03), (0.24, 0.06, 0.16), "leaf", "plant")
    for x, size in ((-0.45, 1.0), (-0.22, 0.7)):
        build.capsule((x, 0.44, 0.08), (x, 0.44 + 0.15 * size, 0.08), 0.04 * size, 0.035 * size, "cream", "plant")
        build.ellipsoid((x, 0.46 + 0.17 * size, 0.08), (0.11 * size, 0.08 * size, 0.11 * size), "red", "plant")


def pumpkin(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A ribbed pumpkin, sometimes with a glowing face."""
    for k in range(8):
        a = k * np.pi / 4
        at = (0.17 * np.cos(a), 0.29, 0.17 * np.sin(a))
        build.ellipsoid(at, (0.20, 0.28, 0.20), "orange", "pumpkin", pattern=FADE)
    build.capsule((0, 0.52, 0), (0.06, 0.68, 0), 0.055, 0.035, "stalk", "pumpkin")
    build.ellipsoid((0.17, 0.565, 0.06), (0.13, 0.025, 0.09), "leaf", "pumpkin", rotation=roll(-0.2))
    if rng.random() < 0.45:
        for side in (-1, 1):
            foot, top = (side * 0.12, 0.33, 0.335), (side * 0.12, 0.45, 0.31)
            build.frustum(foot, top, 0.065, 0.002, "yellow", "pumpkin", flat=0.6, glow=1.0)
        for x, y in ((-0.15, 0.235), (-0.075, 0.195), (0, 0.18), (0.075, 0.195), (0.15, 0.235)):
            build.ellipsoid((x, y, 0.345), (0.042, 0.028, 0.03), "yellow", "pumpkin", glow=1.0)
