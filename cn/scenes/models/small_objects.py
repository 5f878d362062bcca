"""Things small enough for a table. Each model stands on y = 0 around the origin and faces +z; lengths in meters."""

from itertools import pairwise

import numpy as np

from cn.scenes.builder import BANDS, Builder, PartColors
from cn.scenes.geometry import Rng, Vec, roll, tilt


def mug(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A big mug of cocoa with its handle to one side."""
    c = colors["body"]
    build.frustum((0, 0, 0), (0, 0.46, 0), 0.215, 0.235, c, "cup")
    build.frustum((0, 0.452, 0), (0, 0.4615, 0), 0.20, 0.20, "wood_dark", "cup")
    side = 1 if rng.random() < 0.5 else -1
    arc = [
        np.array((side * (0.21 + 0.15 * np.sin(a)), 0.235 + 0.135 * np.cos(a), 0.06)) for a in np.linspace(0.1, 3.05, 9)
    ]
    for a, b in pairwise(arc):
        build.capsule(a, b, 0.035, 0.035, c, "cup")


def ball(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A ball, half of them with a light band."""
    spin = roll(rng.uniform(-0.7, 0.7)) @ tilt(rng.uniform(-0.5, 0.5))
    build.ellipsoid(
        (0, 0.30, 0), 0.30, colors["body"], "ball", rotation=spin, pattern=BANDS if rng.random() < 0.4 else 0
    )


def box(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A box; with a ribbon it is a present."""
    c = colors["body"]
    build.box((0, 0.28, 0), (0.28, 0.28, 0.28), c, "box")
    if "ribbon" in colors:
        r = colors["ribbon"]
        build.box((0, 0.50, 0), (0.305, 0.065, 0.305), c, "box")
        build.box((0, 0.285, 0), (0.06, 0.286, 0.31), r, "box")
        build.box((0, 0.285, 0), (0.31, 0.286, 0.06), r, "box")
        for side in (-1, 1):
            build.ellipsoid((side * 0.11, 0.635, 0), (0.12, 0.07, 0.06), r, "box", rotation=roll(side * 0.5))
        build.ellipsoid((0, 0.60, 0), 0.05, r, "box")


def cone(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A plain cone."""
    build.frustum((0, 0, 0), (0, 0.72, 0), 0.33, 0.012, colors["body"], "plaything")


def balloon(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A balloon on a string tied to a pebble."""
    build.ellipsoid((0, 0.05, 0), (0.10, 0.06, 0.09), "stone", "rock")
    lean = rng.uniform(-0.08, 0.08)
    build.capsule((0, 0.08, 0), (lean, 0.92, 0), 0.010, 0.010, "paper", "balloon")
    balloon_body(build, (lean, 1.25, 0), colors["body"])


def balloon_body(build: Builder, center: Vec, color: str) -> None:
    """The balloon itself, 0.7 m tall around `center`."""
    x, y, z = center
    build.capsule((x, y - 0.14, z), (x, y + 0.06, z), 0.13, 0.25, color, "balloon")
    build.frustum((x, y - 0.32, z), (x, y - 0.25, z), 0.045, 0.02, color, "balloon")


def book(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A thick book lying flat."""
    c = colors["body"]
    build.box((0, 0.025, 0), (0.34, 0.025, 0.25), c, "book")
    build.box((0.01, 0.09, 0), (0.315, 0.05, 0.23), "paper", "book")
    build.box((0, 0.155, 0), (0.34, 0.022, 0.25), c, "book")
    build.capsule((-0.33, 0.09, -0.22), (-0.33, 0.09, 0.22), 0.07, 0.07, c, "book")


def potted_plant(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A leafy plant in a colored pot."""
    build.frustum((0, 0, 0), (0, 0.36, 0), 0.17, 0.25, colors["pot"], "pot")
    build.frustum((0, 0.34, 0), (0, 0.42, 0), 0.28, 0.28, colors["pot"], "pot")
    build.ellipsoid((0, 0.42, 0), (0.24, 0.03, 0.24), "trunk", "pot")
    phase = rng.uniform(0, 6)
    for k in range(6):
        a = phase + k * np.pi / 3
        out = np.array((np.cos(a), 0, np.sin(a)))
        build.capsule(
            (0, 0.42, 0),
            out * 0.26 + (0, 0.82 + 0.1 * (k % 2), 0),
            0.03,
            0.105,
            "leaf",
            "potted plant",
            flat=0.5,
            facing=tuple(out),
        )
    build.capsule((0, 0.42, 0), (0, 0.98, 0), 0.03, 0.10, "leaf", "potted plant", flat=0.6)
