"""The snowman. It stands on y = 0 around the origin and faces +z; lengths in meters."""

from cn.scenes.builder import Builder, PartColors
from cn.scenes.geometry import Rng


def snowman(build: Builder, colors: PartColors, rng: Rng) -> None:
    """Three snowballs, a carrot, a hat and a scarf."""
    build.ellipsoid((0, 0.42, 0), (0.50, 0.46, 0.50), "snow", "snowman")
    build.ellipsoid((0, 0.98, 0), 0.36, "snow", "snowman")
    build.ellipsoid((0, 1.42, 0), 0.26, "snow", "snowman")
    build.frustum((0, 1.16, 0), (0, 1.27, 0), 0.27, 0.25, colors["scarf"], "snowman")
    build.capsule((0.14, 1.18, 0.24), (0.18, 0.86, 0.36), 0.06, 0.075, colors["scarf"], "snowman", flat=0.5)
    build.frustum((0, 1.40, 0.24), (0, 1.38, 0.52), 0.055, 0.005, "carrot", "snowman")
    for side in (-1, 1):
        build.ellipsoid((side * 0.09, 1.49, 0.225), 0.032, "coal", "snowman")
        build.capsule((side * 0.30, 1.05, 0), (side * 0.66, 1.32, 0.05), 0.025, 0.02, "trunk", "snowman")
        build.capsule((side * 0.52, 1.20, 0.03), (side * 0.56, 1.38, 0.03), 0.018, 0.015, "trunk", "snowman")
    for y, z in ((1.08, 0.345), (0.94, 0.358), (0.55, 0.47)):
        build.ellipsoid((0, y, z), 0.034, "coal", "snowman")
    build.frustum((0, 1.60, 0), (0, 1.635, 0), 0.31, 0.30, colors["hat"], "snowman")
    build.frustum((0, 1.60, 0), (0, 1.90, 0), 0.21, 0.19, colors["hat"], "snowman")
