"""Tables, seats and lamps. Each model stands on y = 0 around the origin and faces +z; lengths in meters."""

import numpy as np

from cn.scenes.builder import GORES, PLAIN, Builder, PartColors
from cn.scenes.geometry import Rng, tilt


def table(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A sturdy table, 0.75 m high."""
    build.box((0, 0.72, 0), (0.72, 0.035, 0.46), colors["body"], "table")
    for x in (-0.62, 0.62):
        for z in (-0.37, 0.37):
            build.frustum((x, 0, z), (x, 0.70, z), 0.042, 0.055, colors["body"], "table")


def chair(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A chair with its seat at 0.46 m."""
    c = colors["body"]
    build.box((0, 0.435, 0), (0.25, 0.03, 0.24), c, "chair")
    for x in (-0.21, 0.21):
        build.frustum((x, 0, 0.20), (x, 0.42, 0.20), 0.030, 0.034, c, "chair")
        build.capsule((x, 0.03, -0.22), (x, 1.0, -0.26), 0.032, 0.032, c, "chair")
    build.box((0, 0.86, -0.25), (0.21, 0.12, 0.025), c, "chair")
    build.box((0, 0.62, -0.24), (0.21, 0.04, 0.022), c, "chair")


def bench(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A park bench with its seat at 0.46 m."""
    c = colors["body"]
    for z in (-0.14, 0.03, 0.20):
        build.box((0, 0.435, z), (0.72, 0.028, 0.075), c, "bench")
    for y in (0.64, 0.82):
        build.box((0, y, -0.25), (0.72, 0.07, 0.022), c, "bench", rotation=tilt(-0.1))
    for x in (-0.58, 0.58):
        build.capsule((x, 0.03, -0.22), (x, 0.90, -0.29), 0.034, 0.034, "metal", "bench")
        build.capsule((x, 0.03, 0.20), (x, 0.40, 0.20), 0.034, 0.034, "metal", "bench")


def street_lamp(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A street lamp with a lantern."""
    c = colors["body"]
    build.frustum((0, 0, 0), (0, 0.16, 0), 0.18, 0.12, c, "streetlight")
    build.capsule((0, 0.1, 0), (0, 1.95, 0), 0.06, 0.045, c, "streetlight")
    build.ellipsoid((0, 2.12, 0), (0.18, 0.21, 0.18), "bulb", "streetlight", glow=1.0)
    build.frustum((0, 2.24, 0), (0, 2.44, 0), 0.26, 0.04, c, "streetlight")
    build.frustum((0, 1.90, 0), (0, 1.98, 0), 0.09, 0.15, c, "streetlight")


def desk_lamp(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A table lamp with a shade."""
    build.frustum((0, 0, 0), (0, 0.06, 0), 0.20, 0.17, "wood", "lamp")
    build.capsule((0, 0.05, 0), (0, 0.5, 0), 0.035, 0.03, "wood", "lamp")
    build.ellipsoid((0, 0.45, 0), 0.11, "bulb", "lamp", glow=1.0)
    build.frustum((0, 0.42, 0), (0, 0.82, 0), 0.34, 0.19, colors["body"], "lamp", glow=0.30)


def sofa(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A soft sofa with two cushions."""
    c = colors["body"]
    build.box((0, 0.24, 0.02), (0.86, 0.14, 0.36), c, "sofa")
    for x in (-0.37, 0.37):
        build.capsule(
            (x - 0.20, 0.42, 0.04), (x + 0.20, 0.42, 0.04), 0.17, 0.17, c, "sofa", flat=0.45, facing=(0, 1, 0)
        )
        build.box((x, 0.42, 0.06), (0.36, 0.075, 0.33), c, "sofa")
    build.box((0, 0.62, -0.30), (0.80, 0.30, 0.11), c, "sofa", rotation=tilt(-0.12))
    build.capsule((-0.74, 0.92, -0.33), (0.74, 0.92, -0.33), 0.12, 0.12, c, "sofa")
    for side in (-1, 1):
        build.box((side * 0.90, 0.40, 0.02), (0.11, 0.24, 0.38), c, "sofa")
        build.capsule((side * 0.90, 0.63, -0.28), (side * 0.90, 0.63, 0.34), 0.125, 0.125, c, "sofa")
        for z in (-0.26, 0.30):
            build.frustum((side * 0.82, 0, z), (side * 0.82, 0.12, z), 0.035, 0.05, "wood_dark", "sofa")
        pillow = tilt(-0.35)
        build.ellipsoid((side * 0.56, 0.66, -0.12), (0.20, 0.20, 0.09), colors["cushions"], "cushion", rotation=pillow)


def bed(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A bed seen from its side, with pillow and blanket; its head is on the left."""
    c = colors["blanket"]
    build.box((0, 0.22, 0), (1.05, 0.08, 0.52), "wood", "bed")
    build.box((0, 0.36, 0), (1.02, 0.10, 0.50), "snow", "bed")
    build.box((0.27, 0.365, 0), (0.76, 0.10, 0.535), c, "blanket")
    build.ellipsoid((0.27, 0.46, 0), (0.77, 0.09, 0.53), c, "blanket")
    build.box((-0.46, 0.385, 0), (0.11, 0.095, 0.54), "paper" if c != "white" else "grey", "bed")
    build.ellipsoid((-0.78, 0.55, 0.0), (0.22, 0.13, 0.40), "paper", "pillow")
    for x, high in ((-1.06, 1.0), (1.06, 0.66)):
        build.box((x, high / 2 + 0.05, 0), (0.045, high / 2 - 0.05, 0.52), "wood", "bed")
        build.capsule((x, high, -0.50), (x, high, 0.50), 0.06, 0.06, "wood_dark", "bed")
        for z in (-0.5, 0.5):
            build.frustum((x, 0, z), (x, high, z), 0.055, 0.05, "wood_dark", "bed")


def bookshelf(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A shelf with four boards of books."""
    c = colors["body"]
    build.box((0, 0.90, -0.17), (0.56, 0.90, 0.02), "wood_dark", "bookcase")
    for side in (-1, 1):
        build.box((side * 0.56, 0.90, 0), (0.035, 0.90, 0.19), c, "bookcase")
    for y in (0.05, 0.47, 0.89, 1.31, 1.77):
        build.box((0, y, 0), (0.56, 0.032, 0.19), c, "bookcase")
    covers = ("red", "blue", "yellow", "green", "purple", "orange", "teal", "cream")
    for y in (0.08, 0.50, 0.92, 1.34):
        x = -0.50
        while x < 0.40:
            thick, tall = rng.uniform(0.045, 0.075), rng.uniform(0.13, 0.17)
            color = covers[int(rng.integers(len(covers)))]
            build.box((x + thick, y + tall, 0.03), (thick * 0.93, tall, 0.13), color, "book")
            x += 2 * thick
            if rng.random() < 0.15:
                x += 0.16


def clock(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A grandfather clock with a pendulum."""
    c = colors["body"]
    build.box((0, 0.16, 0), (0.30, 0.16, 0.21), c, "clock")
    build.box((0, 0.74, 0), (0.23, 0.45, 0.16), c, "clock")
    build.box((0, 0.74, 0.15), (0.15, 0.36, 0.02), "dark", "clock")
    build.capsule((0, 1.06, 0.18), (0.04, 0.62, 0.18), 0.014, 0.014, "yellow", "clock")
    build.ellipsoid((0.04, 0.58, 0.18), (0.075, 0.075, 0.025), "yellow", "clock")
    build.box((0, 1.46, 0), (0.30, 0.30, 0.20), c, "clock")
    build.frustum((0, 1.74, -0.20), (0, 1.74, 0.20), 0.29, 0.29, c, "clock", flat=0.6)
    build.frustum((0, 1.48, 0.19), (0, 1.48, 0.215), 0.25, 0.25, "yellow", "clock")
    build.frustum((0, 1.48, 0.20), (0, 1.48, 0.225), 0.215, 0.215, "paper", "clock")
    for k in range(12):
        a = k * np.pi / 6
        at = (0.175 * np.sin(a), 1.48 + 0.175 * np.cos(a), 0.225)
        build.ellipsoid(at, (0.016, 0.016, 0.012), "coal", "clock")
    hour = rng.uniform(0, 2 * np.pi)
    for angle, long in ((hour, 0.10), (hour * 12, 0.155)):
        tip = (long * float(np.sin(angle)), 1.48 + long * float(np.cos(angle)), 0.24)
        build.capsule((0, 1.48, 0.24), tip, 0.016, 0.012, "coal", "clock")


def umbrella(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A parasol, plain or striped."""
    c = colors["body"]
    pattern = GORES if rng.random() < 0.6 and c != "white" else PLAIN
    build.frustum((0, 0, 0), (0, 0.10, 0), 0.22, 0.18, "stone", "umbrella")
    build.capsule((0, 0.05, 0), (0, 1.92, 0), 0.035, 0.03, "wood", "umbrella")
    build.frustum((0, 1.46, 0), (0, 1.66, 0), 0.98, 0.62, c, "umbrella", pattern=pattern)
    build.frustum((0, 1.655, 0), (0, 1.86, 0), 0.63, 0.03, c, "umbrella", pattern=pattern)
    build.ellipsoid((0, 1.92, 0), 0.055, "cream", "umbrella")
