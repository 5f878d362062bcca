"""Food and vessels, large enough to be seen. Each model stands on y = 0 and faces +z; lengths in meters."""

from itertools import pairwise

import numpy as np

from cn.scenes.builder import Builder, PartColors
from cn.scenes.geometry import Rng, roll


def vase(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A vase with a bunch of flowers."""
    c = colors["vase"]
    build.frustum((0, 0, 0), (0, 0.06, 0), 0.13, 0.12, c, "vase")
    build.ellipsoid((0, 0.24, 0), (0.21, 0.21, 0.21), c, "vase")
    build.frustum((0, 0.38, 0), (0, 0.50, 0), 0.13, 0.10, c, "vase")
    build.frustum((0, 0.49, 0), (0, 0.55, 0), 0.10, 0.15, c, "vase")
    heart = "yellow" if colors["petals"] not in ("yellow", "orange") else "brown"
    for k, (x, y, z) in enumerate(
        ((-0.26, 0.84, 0.05), (0.02, 0.92, 0.12), (0.27, 0.82, 0.04), (-0.12, 1.06, -0.04), (0.15, 1.06, -0.02))
    ):
        build.capsule((0, 0.50, 0), (x, y, z), 0.016, 0.014, "stalk", "flower")
        build.ellipsoid((x, y, z), (0.125, 0.105, 0.10), colors["petals"], "flower")
        for a in np.linspace(0, 2 * np.pi, 5, endpoint=False) + k:
            at = (x + 0.095 * np.cos(a), y + 0.085 * np.sin(a), z + 0.05)
            build.ellipsoid(at, (0.055, 0.055, 0.05), colors["petals"], "flower")
        build.ellipsoid((x, y, z + 0.09), (0.05, 0.05, 0.035), heart, "flower")
    for side in (-1, 1):
        build.ellipsoid((side * 0.2, 0.64, 0.05), (0.17, 0.035, 0.07), "leaf", "flower", rotation=roll(side * 0.5))


def teapot(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A round teapot; its spout points to one side."""
    c, side = colors["body"], 1 if rng.random() < 0.5 else -1
    build.ellipsoid((0, 0.26, 0), (0.30, 0.25, 0.28), c, "teapot")
    build.frustum((0, 0, 0), (0, 0.06, 0), 0.17, 0.20, c, "teapot")
    build.frustum((0, 0.46, 0), (0, 0.50, 0), 0.17, 0.14, c, "teapot")
    build.ellipsoid((0, 0.50, 0), (0.14, 0.055, 0.14), c, "teapot")
    build.ellipsoid((0, 0.575, 0), 0.05, "cream" if c != "white" else "yellow", "teapot")
    build.capsule((side * 0.22, 0.20, 0), (side * 0.42, 0.34, 0), 0.085, 0.055, c, "teapot")
    build.capsule((side * 0.42, 0.34, 0), (side * 0.50, 0.48, 0), 0.055, 0.045, c, "teapot")
    arc = [np.array((-side * (0.25 + 0.20 * np.sin(a)), 0.27 + 0.15 * np.cos(a), 0)) for a in np.linspace(0.0, 3.14, 7)]
    for p, q in pairwise(arc):
        build.capsule(p, q, 0.034, 0.034, c, "teapot")
    dots = "cream" if c not in ("white", "yellow", "grey") else "red"
    for a in (-0.8, -0.27, 0.27, 0.8):
        build.ellipsoid((0.30 * np.sin(a), 0.27, 0.28 * np.cos(a)), 0.038, dots, "teapot")


def cake(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A birthday cake of two tiers with burning candles."""
    c = colors["frosting"]
    build.frustum((0, 0, 0), (0, 0.03, 0), 0.40, 0.44, "hub", "bowl")
    cream = "paper" if c != "white" else "cheek"
    for y, r, high in ((0.03, 0.36, 0.22), (0.25, 0.245, 0.18)):
        build.frustum((0, y, 0), (0, y + high, 0), r, r, c, "cake")
        build.frustum((0, y + high - 0.055, 0), (0, y + high + 0.008, 0), r + 0.014, r + 0.010, cream, "cake")
        count = 14 if r > 0.3 else 9
        for a in np.linspace(0, 2 * np.pi, count, endpoint=False).tolist():
            at = ((r + 0.006) * np.sin(a), y + high - 0.07, (r + 0.006) * np.cos(a))
            build.ellipsoid(at, (0.038, 0.05, 0.038), cream, "cake")
    stripes = ("blue", "yellow", "red", "green", "purple")
    for k in range(5):
        a = k * 2 * np.pi / 5 + 0.3
        x, z = 0.15 * float(np.sin(a)), 0.15 * float(np.cos(a))
        build.capsule((x, 0.43, z), (x, 0.60, z), 0.022, 0.022, stripes[k], "cake")
        build.ellipsoid((x, 0.66, z), (0.026, 0.05, 0.026), "bulb", "fire", glow=1.0)
    build.ellipsoid((0, 0.47, 0), 0.06, "red", "fruit")


def bottle(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A bottle with a label and a cork."""
    c = colors["body"]
    build.frustum((0, 0, 0), (0, 0.46, 0), 0.17, 0.17, c, "bottle")
    build.ellipsoid((0, 0.46, 0), (0.17, 0.15, 0.17), c, "bottle")
    build.frustum((0, 0.54, 0), (0, 0.80, 0), 0.085, 0.06, c, "bottle")
    build.frustum((0, 0.74, 0), (0, 0.80, 0), 0.075, 0.075, c, "bottle")
    build.frustum((0, 0.79, 0), (0, 0.87, 0), 0.05, 0.055, "wood", "bottle")
    build.frustum((0, 0.14, 0), (0, 0.38, 0), 0.174, 0.174, "paper" if c != "white" else "yellow", "bottle")
    build.ellipsoid((0, 0.26, 0.165), (0.06, 0.06, 0.02), "red" if c != "red" else "green", "bottle")


def bowl_of_fruit(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A bowl with apples, oranges, a banana and grapes."""
    c = colors["bowl"]
    build.frustum((0, 0, 0), (0, 0.06, 0), 0.18, 0.16, c, "bowl")
    build.frustum((0, 0.05, 0), (0, 0.27, 0), 0.20, 0.45, c, "bowl")
    build.frustum((0, 0.26, 0), (0, 0.29, 0), 0.465, 0.465, c, "bowl")
    build.frustum((0, 0.285, 0), (0, 0.295, 0), 0.41, 0.41, "wood_dark", "bowl")
    _apple(build, (-0.22, 0.20, 0.10), 0.62, "red")
    _apple(build, (0.02, 0.20, 0.16), 0.60, "green")
    build.ellipsoid((0.26, 0.36, 0.08), 0.15, "orange", "fruit")
    build.ellipsoid((-0.04, 0.38, -0.16), 0.15, "orange", "fruit")
    for k in range(7):
        at = (0.20 + 0.07 * (k % 3), 0.44 + 0.05 * (k % 2), -0.08 - 0.06 * (k // 3))
        build.ellipsoid(at, 0.06, "purple", "fruit")
    bend = [np.array((0.30 * np.cos(a) - 0.02, 0.36 + 0.20 * np.sin(a), -0.02)) for a in np.linspace(0.5, 2.6, 5)]
    for (p, q), r in zip(pairwise(bend), (0.035, 0.055, 0.055, 0.045), strict=True):
        build.capsule(p, q, r, r, "yellow", "banana")


def apple(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A big apple with a leaf."""
    _apple(build, (0, 0, 0), 1.0, colors["body"])


def _apple(build: Builder, foot: tuple[float, float, float], scale: float, color: str) -> None:
    """An apple 0.5 m wide at scale 1."""
    base = np.array(foot)
    for k in range(4):
        a = k * np.pi / 2 + 0.4
        at = base + np.array((0.05 * np.cos(a), 0.24, 0.05 * np.sin(a))) * scale
        build.ellipsoid(at, (0.21 * scale, 0.23 * scale, 0.21 * scale), color, "apple")
    build.capsule(
        base + np.array((0, 0.42, 0)) * scale,
        base + np.array((0.03, 0.58, 0)) * scale,
        0.022 * scale,
        0.02 * scale,
        "trunk",
        "apple",
    )
    at = base + np.array((0.13, 0.53, 0.02)) * scale
    build.ellipsoid(at, (0.12 * scale, 0.02 * scale, 0.06 * scale), "leaf", "apple", rotation=roll(0.3))


def candle(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A burning candle in a holder."""
    gold = "yellow" if colors["body"] != "yellow" else "hub"
    build.frustum((0, 0, 0), (0, 0.05, 0), 0.24, 0.26, gold, "light")
    build.frustum((0, 0.04, 0), (0, 0.14, 0), 0.14, 0.12, gold, "light")
    build.capsule((0.20, 0.08, 0), (0.30, 0.12, 0), 0.03, 0.03, gold, "light")
    build.frustum((0, 0.10, 0), (0, 0.60, 0), 0.095, 0.085, colors["body"], "light")
    for a, low in ((0.3, 0.44), (1.9, 0.48), (-1.1, 0.40)):
        x, z = 0.087 * float(np.sin(a)), 0.087 * float(np.cos(a))
        build.capsule((x, low, z), (x, 0.59, z), 0.024, 0.018, colors["body"], "light")
    build.capsule((0, 0.58, 0), (0, 0.64, 0), 0.010, 0.010, "coal", "light")
    build.ellipsoid((0, 0.70, 0), (0.052, 0.075, 0.052), "orange", "fire", glow=1.0)
    build.frustum((0, 0.72, 0), (0, 0.86, 0), 0.048, 0.004, "orange", "fire", glow=1.0)
    build.ellipsoid((0, 0.69, 0.035), (0.028, 0.05, 0.025), "yellow", "fire", glow=1.0)
