"""Animals and the snowman. Each model stands on y = 0 around the origin and faces +z; lengths in meters."""

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


def cat(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A sitting cat with its tail around it."""
    c = _fur(colors)
    build.capsule((0, 0.20, -0.08), (0, 0.42, 0.02), 0.20, 0.135, c, "cat")
    build.ellipsoid((0, 0.66, 0.08), (0.19, 0.165, 0.165), c, "cat")
    dark = "eye" if colors["body"] != "black" else "yellow"
    for side in (-1, 1):
        build.frustum((side * 0.11, 0.75, 0.07), (side * 0.14, 0.92, 0.05), 0.07, 0.008, c, "cat", flat=0.6)
        build.capsule((side * 0.075, 0.34, 0.11), (side * 0.075, 0.05, 0.17), 0.058, 0.052, c, "cat")
        build.ellipsoid((side * 0.075, 0.69, 0.225), (0.026, 0.034, 0.018), dark, "cat")
        build.ellipsoid((side * 0.17, 0.09, 0.0), (0.11, 0.09, 0.17), c, "cat")
    build.ellipsoid((0, 0.625, 0.235), (0.055, 0.038, 0.03), "cream", "cat")
    build.ellipsoid((0, 0.645, 0.262), 0.018, "cheek", "cat")
    build.capsule((0.10, 0.08, -0.22), (0.32, 0.12, -0.10), 0.05, 0.05, c, "cat")
    build.capsule((0.32, 0.12, -0.10), (0.38, 0.36, -0.04), 0.05, 0.045, c, "cat")


def dog(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A standing dog; its nose points to +z."""
    c = _fur(colors)
    build.capsule((0, 0.42, -0.30), (0, 0.45, 0.22), 0.16, 0.18, c, "dog")
    build.capsule((0, 0.52, 0.25), (0, 0.72, 0.36), 0.12, 0.12, c, "dog")
    build.ellipsoid((0, 0.78, 0.40), (0.17, 0.16, 0.17), c, "dog")
    build.capsule((0, 0.74, 0.50), (0, 0.72, 0.62), 0.085, 0.07, "cream", "dog")
    build.ellipsoid((0, 0.76, 0.69), 0.035, "coal", "dog")
    for side in (-1, 1):
        build.capsule((side * 0.15, 0.88, 0.36), (side * 0.20, 0.68, 0.36), 0.05, 0.065, "trunk", "dog", flat=0.6)
        build.ellipsoid((side * 0.07, 0.83, 0.545), 0.024, "eye" if colors["body"] != "black" else "cream", "dog")
        for z in (-0.30, 0.22):
            build.capsule((side * 0.10, 0.38, z), (side * 0.10, 0.06, z + 0.02), 0.068, 0.058, c, "dog")
    build.capsule((0, 0.50, -0.42), (0, 0.76, -0.58), 0.05, 0.035, c, "dog")


def _fur(colors: PartColors) -> str:
    """The material for a named color of fur."""
    return {"brown": "fur_brown", "black": "fur_black", "white": "fur_white", "orange": "fur_ginger"}.get(
        colors["body"], colors["body"]
    )
