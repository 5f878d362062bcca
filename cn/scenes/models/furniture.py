"""Tables, seats and lamps. Each model stands on y = 0 around the origin and faces +z; lengths in meters."""

from cn.scenes.builder import Builder, PartColors
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
