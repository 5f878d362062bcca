"""Birds. Each model stands on y = 0 around the origin and its beak points to +z; lengths in meters."""

from cn.scenes.builder import Builder, PartColors
from cn.scenes.geometry import Rng, roll, tilt
from cn.scenes.models.animals import fur


def _feet(build: Builder, x: float, top: float, z: float, color: str = "carrot") -> None:
    """Two thin legs with flat feet."""
    for side in (-1, 1):
        build.capsule((side * x, top, z), (side * x, 0.03, z), 0.024, 0.022, color, "bird")
        build.ellipsoid((side * x, 0.022, z + 0.05), (0.065, 0.024, 0.09), color, "bird")


def _eyes(build: Builder, x: float, y: float, z: float, radius: float, color: str = "eye") -> None:
    """Two eyes `x` from the middle."""
    for side in (-1, 1):
        build.ellipsoid((side * x, y, z), radius, color, "bird")


def chicken(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A hen or a cock with a red comb."""
    c = fur(colors["body"])
    build.ellipsoid((0, 0.42, -0.02), (0.22, 0.22, 0.28), c, "bird")
    build.capsule((0, 0.50, 0.14), (0, 0.74, 0.20), 0.15, 0.10, c, "bird")
    build.ellipsoid((0, 0.80, 0.21), (0.115, 0.115, 0.12), c, "bird")
    build.frustum((0, 0.79, 0.31), (0, 0.77, 0.43), 0.045, 0.005, "carrot", "bird")
    for y, z in ((0.91, 0.27), (0.94, 0.20), (0.91, 0.13)):
        build.ellipsoid((0, y, z), (0.03, 0.055, 0.05), "red", "bird")
    build.ellipsoid((0, 0.70, 0.33), (0.03, 0.06, 0.03), "red", "bird")
    _eyes(build, 0.085, 0.82, 0.285, 0.024, "eye" if c != "fur_black" else "cream")
    tail = "dark" if rng.random() < 0.4 and c != "fur_black" else c
    for side, lean in ((-0.05, 0.05), (0.0, 0.0), (0.05, -0.05)):
        build.capsule((side, 0.50, -0.22), (side * 2, 0.78 + lean, -0.40), 0.07, 0.045, tail, "bird", flat=0.6)
    for side in (-1, 1):
        build.ellipsoid((side * 0.20, 0.44, -0.06), (0.05, 0.13, 0.19), c, "bird")
        build.ellipsoid((side * 0.215, 0.40, -0.10), (0.045, 0.07, 0.14), tail, "bird")
    _feet(build, 0.09, 0.24, 0.0)


def duck(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A duck, sitting low: the ground may be the water that it swims in."""
    c = fur(colors["body"])
    head = "leaf_dark" if colors["body"] in ("brown", "grey") else c
    build.ellipsoid((0, 0.22, -0.02), (0.25, 0.20, 0.36), c, "bird")
    build.capsule((0, 0.26, -0.26), (0, 0.40, -0.44), 0.12, 0.02, c, "bird")
    build.capsule((0, 0.30, 0.18), (0, 0.54, 0.22), 0.12, 0.09, c, "bird")
    if head != c:
        build.frustum((0, 0.45, 0.205), (0, 0.48, 0.21), 0.113, 0.11, "cream", "bird")
    build.ellipsoid((0, 0.62, 0.24), (0.14, 0.14, 0.15), head, "bird")
    build.ellipsoid((0, 0.585, 0.42), (0.085, 0.028, 0.12), "carrot", "bird")
    build.ellipsoid((0, 0.615, 0.39), (0.06, 0.035, 0.07), "carrot", "bird")
    _eyes(build, 0.10, 0.665, 0.33, 0.028)
    for side in (-1, 1):
        build.ellipsoid((side * 0.22, 0.28, -0.06), (0.06, 0.12, 0.25), c, "bird", rotation=tilt(0.15))
    build.ellipsoid((0, 0.02, 0.02), (0.16, 0.025, 0.20), "carrot", "bird")


def owl(build: Builder, colors: PartColors, rng: Rng) -> None:
    """An owl with big eyes, on a stump."""
    c = fur(colors["body"])
    build.frustum((0, 0, 0), (0, 0.34, 0), 0.25, 0.20, "trunk", "log")
    build.frustum((0, 0.335, 0), (0, 0.35, 0), 0.17, 0.17, "wood", "log")
    build.ellipsoid((0, 0.68, 0), (0.25, 0.36, 0.22), c, "bird")
    build.ellipsoid((0, 0.62, 0.09), (0.17, 0.25, 0.15), "cream", "bird")
    build.ellipsoid((0, 1.0, 0.01), (0.24, 0.20, 0.20), c, "bird")
    for side in (-1, 1):
        build.frustum((side * 0.13, 1.12, 0.02), (side * 0.20, 1.30, 0.02), 0.075, 0.008, c, "bird", flat=0.6)
        build.ellipsoid((side * 0.095, 1.03, 0.155), (0.095, 0.095, 0.055), "cream", "bird")
        build.ellipsoid((side * 0.092, 1.03, 0.195), (0.06, 0.06, 0.03), "yellow", "bird")
        build.ellipsoid((side * 0.09, 1.03, 0.215), (0.034, 0.034, 0.02), "eye", "bird")
        build.ellipsoid((side * 0.23, 0.66, 0.0), (0.07, 0.28, 0.15), c, "bird", rotation=roll(side * 0.14))
        build.ellipsoid((side * 0.08, 0.36, 0.14), (0.06, 0.035, 0.07), "carrot", "bird")
    build.frustum((0, 0.985, 0.19), (0, 0.90, 0.25), 0.04, 0.005, "carrot", "bird")


def bird(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A round songbird with a pale belly."""
    c = colors["body"]
    build.ellipsoid((0, 0.36, 0), (0.22, 0.22, 0.25), c, "bird")
    build.ellipsoid((0, 0.32, 0.08), (0.175, 0.18, 0.18), "cream" if c != "white" else "grey", "bird")
    build.ellipsoid((0, 0.56, 0.13), (0.16, 0.155, 0.16), c, "bird")
    build.frustum((0, 0.56, 0.27), (0, 0.54, 0.39), 0.045, 0.005, "carrot" if c != "orange" else "dark", "bird")
    _eyes(build, 0.098, 0.60, 0.225, 0.034, "cream")
    _eyes(build, 0.106, 0.60, 0.236, 0.024)
    for side in (-1, 1):
        build.ellipsoid((side * 0.20, 0.38, -0.06), (0.055, 0.13, 0.20), c, "bird", rotation=tilt(0.35))
        build.ellipsoid((side * 0.205, 0.32, -0.16), (0.05, 0.06, 0.15), "dark", "bird", rotation=tilt(0.35))
    build.capsule((0, 0.36, -0.18), (0, 0.30, -0.48), 0.085, 0.05, c, "bird", flat=0.4, facing=(0, 1, 0))
    _feet(build, 0.07, 0.20, 0.02)


def penguin(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A penguin with a scarf."""
    build.ellipsoid((0, 0.50, 0), (0.30, 0.46, 0.27), "fur_black", "bird")
    build.ellipsoid((0, 0.46, 0.06), (0.235, 0.40, 0.235), "snow", "bird")
    build.ellipsoid((0, 1.0, 0.01), (0.215, 0.21, 0.20), "fur_black", "bird")
    build.frustum((0, 0.80, 0.0), (0, 0.89, 0.01), 0.235, 0.225, colors["scarf"], "bird")
    build.capsule((0.12, 0.82, 0.20), (0.15, 0.58, 0.27), 0.05, 0.06, colors["scarf"], "bird", flat=0.5)
    build.frustum((0, 0.98, 0.18), (0, 0.96, 0.36), 0.06, 0.006, "carrot", "bird")
    for side in (-1, 1):
        build.ellipsoid((side * 0.085, 1.03, 0.145), (0.085, 0.10, 0.075), "snow", "bird")
        build.ellipsoid((side * 0.085, 1.04, 0.215), 0.030, "eye", "bird")
        build.ellipsoid((side * 0.32, 0.52, 0.0), (0.055, 0.27, 0.12), "fur_black", "bird", rotation=roll(side * 0.28))
        build.ellipsoid((side * 0.13, 0.035, 0.12), (0.11, 0.04, 0.17), "carrot", "bird")
