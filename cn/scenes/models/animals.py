"""Animals on four legs. Each model stands on y = 0 around the origin and its nose points to +z; lengths in meters."""

from cn.scenes.builder import PATCHES, PLAIN, RINGS, Builder, PartColors
from cn.scenes.geometry import Array, Rng, roll, tilt


def fur(color: str) -> str:
    """The material for a named color of fur."""
    return {"brown": "fur_brown", "black": "fur_black", "white": "fur_white", "orange": "fur_ginger"}.get(color, color)


def _along(angle: float = 0.0) -> Array:
    """A rotation that lays +y along +z, raised by `angle`: for patterns that go along a body."""
    return tilt(1.5708 - angle)


def _eyes(build: Builder, x: float, y: float, z: float, radius: float, color: str, label: str) -> None:
    """Two eyes `x` from the middle."""
    for side in (-1, 1):
        build.ellipsoid((side * x, y, z), radius, color, label)


def _legs(
    build: Builder, x: float, places: tuple[float, float], top: float, radius: float, color: str, foot: str, label: str
) -> None:
    """Four legs at the two z of `places`, with feet of color `foot`."""
    for side in (-1, 1):
        for z in places:
            build.capsule((side * x, top, z), (side * x, radius, z), radius * 1.15, radius * 0.85, color, label)
            build.frustum((side * x, 0, z), (side * x, radius * 1.3, z), radius * 1.05, radius * 0.9, foot, label)


def cat(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A sitting cat with its tail around it, sometimes with a white bib."""
    c, black = fur(colors["body"]), colors["body"] == "black"
    bib = "fur_white" if rng.random() < 0.5 and colors["body"] != "white" else c
    build.capsule((0, 0.20, -0.08), (0, 0.42, 0.02), 0.20, 0.135, c, "cat")
    build.ellipsoid((0, 0.36, 0.09), (0.10, 0.15, 0.09), bib, "cat")
    build.ellipsoid((0, 0.66, 0.08), (0.20, 0.165, 0.165), c, "cat")
    for side in (-1, 1):
        build.frustum((side * 0.11, 0.75, 0.07), (side * 0.15, 0.94, 0.05), 0.075, 0.008, c, "cat", flat=0.6)
        build.frustum((side * 0.112, 0.77, 0.10), (side * 0.145, 0.89, 0.085), 0.04, 0.006, "cheek", "cat", flat=0.5)
        build.capsule((side * 0.075, 0.34, 0.11), (side * 0.075, 0.05, 0.17), 0.058, 0.052, c, "cat")
        build.ellipsoid((side * 0.075, 0.05, 0.20), (0.055, 0.045, 0.06), bib, "cat")
        build.ellipsoid((side * 0.08, 0.69, 0.222), (0.038, 0.042, 0.020), "yellow" if black else "green", "cat")
        build.ellipsoid((side * 0.08, 0.69, 0.238), (0.014, 0.034, 0.012), "eye", "cat")
        build.ellipsoid((side * 0.17, 0.09, 0.0), (0.11, 0.09, 0.17), c, "cat")
        build.capsule((side * 0.05, 0.625, 0.24), (side * 0.21, 0.61, 0.20), 0.006, 0.004, "cream", "cat")
    build.ellipsoid((0, 0.615, 0.232), (0.065, 0.042, 0.035), "cream", "cat")
    build.ellipsoid((0, 0.642, 0.264), (0.022, 0.016, 0.014), "cheek", "cat")
    build.capsule((0.10, 0.08, -0.22), (0.32, 0.12, -0.10), 0.05, 0.05, c, "cat")
    build.capsule((0.32, 0.12, -0.10), (0.38, 0.36, -0.04), 0.05, 0.045, c, "cat")


def dog(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A standing dog with drooping ears and a collar."""
    c, black = fur(colors["body"]), colors["body"] == "black"
    muzzle = "cream" if colors["body"] != "white" else "fur_white"
    build.capsule((0, 0.42, -0.30), (0, 0.45, 0.20), 0.155, 0.185, c, "dog")
    build.ellipsoid((0, 0.37, 0.30), (0.12, 0.16, 0.12), muzzle, "dog")
    build.capsule((0, 0.50, 0.25), (0, 0.72, 0.36), 0.125, 0.12, c, "dog")
    collar = "red" if colors["body"] not in ("orange", "brown") else "blue"
    build.frustum((0, 0.575, 0.29), (0, 0.625, 0.313), 0.140, 0.138, collar, "dog")
    build.ellipsoid((0, 0.79, 0.40), (0.175, 0.165, 0.175), c, "dog")
    build.capsule((0, 0.745, 0.48), (0, 0.72, 0.62), 0.09, 0.075, muzzle, "dog")
    build.ellipsoid((0, 0.765, 0.685), (0.045, 0.036, 0.035), "coal", "dog")
    build.capsule((0, 0.66, 0.60), (0, 0.62, 0.63), 0.03, 0.026, "cheek", "dog", flat=0.6)
    ear = "trunk" if not black else "dark"
    for side in (-1, 1):
        build.capsule((side * 0.14, 0.90, 0.36), (side * 0.21, 0.68, 0.38), 0.045, 0.075, ear, "dog", flat=0.5)
        build.ellipsoid((side * 0.075, 0.84, 0.535), 0.034, "cream", "dog")
        build.ellipsoid((side * 0.075, 0.84, 0.552), 0.024, "eye", "dog")
        for z in (-0.30, 0.22):
            build.capsule((side * 0.10, 0.38, z), (side * 0.10, 0.07, z + 0.01), 0.075, 0.055, c, "dog")
            build.ellipsoid((side * 0.10, 0.045, z + 0.04), (0.065, 0.045, 0.085), muzzle, "dog")
    build.capsule((0, 0.50, -0.42), (0, 0.76, -0.58), 0.055, 0.03, c, "dog")


def horse(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A horse with mane and tail."""
    c = fur(colors["body"])
    mane = {"black": "dark", "white": "hair_grey", "grey": "fur_black", "orange": "hair_blond"}.get(
        colors["body"], "hair_black"
    )
    _equine(build, c, mane, "coal", "horse", PLAIN)


def zebra(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A striped zebra."""
    _equine(build, "fur_black", "fur_black", "coal", "zebra", RINGS)


def _equine(build: Builder, c: str, mane: str, hoof: str, label: str, pattern: int) -> None:
    """What a horse and a zebra share."""
    build.ellipsoid((0, 0.98, -0.30), (0.27, 0.36, 0.29), c, label, rotation=_along(), pattern=pattern)
    build.ellipsoid((0, 0.97, 0.22), (0.26, 0.36, 0.29), c, label, rotation=_along(), pattern=pattern)
    build.ellipsoid((0, 0.97, -0.04), (0.25, 0.50, 0.25), c, label, rotation=_along(), pattern=pattern)
    build.frustum((0, 1.02, 0.36), (0, 1.52, 0.66), 0.21, 0.13, c, label, pattern=pattern)
    build.ellipsoid((0, 1.55, 0.68), (0.14, 0.16, 0.16), c, label)
    build.capsule((0, 1.55, 0.72), (0, 1.36, 0.98), 0.135, 0.095, c if pattern == PLAIN else "fur_white", label)
    build.ellipsoid((0, 1.33, 1.02), (0.10, 0.085, 0.085), mane if pattern else c, label)
    _eyes(build, 0.115, 1.56, 0.80, 0.030, "eye", label)
    for k in range(5):
        t = k / 4
        build.ellipsoid((0, 1.18 + 0.50 * t, 0.30 + 0.32 * t), (0.05, 0.13, 0.10), mane, label)
    build.ellipsoid((0, 1.70, 0.76), (0.06, 0.07, 0.09), mane, label)
    for side in (-1, 1):
        build.frustum((side * 0.08, 1.64, 0.66), (side * 0.10, 1.82, 0.65), 0.05, 0.008, c, label, flat=0.6)
        for z in (-0.42, 0.36):
            build.frustum((side * 0.13, 0.42, z), (side * 0.13, 0.95, z), 0.075, 0.14, c, label, pattern=pattern)
            build.capsule((side * 0.13, 0.46, z), (side * 0.13, 0.12, z), 0.068, 0.052, c, label)
            build.frustum((side * 0.13, 0, z), (side * 0.13, 0.11, z), 0.085, 0.065, hoof, label)
    build.capsule((0, 1.10, -0.62), (0, 0.90, -0.76), 0.05, 0.08, mane, label)
    build.capsule((0, 0.90, -0.76), (0, 0.52, -0.78), 0.08, 0.03, mane, label)


def cow(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A cow with patches, horns and a bell."""
    c = fur(colors["body"])
    patch = {"white": "fur_black", "black": "fur_white"}.get(colors["body"], "fur_white")
    build.capsule((0, 0.82, -0.46), (0, 0.84, 0.40), 0.31, 0.30, c, "cow")
    for side in (-1, 1):
        for x, y, z, r in ((0.17, 0.94, -0.36, 0.19), (0.15, 0.80, 0.20, 0.18), (0.10, 1.02, 0.44, 0.15)):
            build.ellipsoid((side * x, y, z * (1 if side > 0 else 0.7)), (r * 0.95, r, r * 1.25), patch, "cow")
    build.ellipsoid((0, 0.52, -0.34), (0.14, 0.11, 0.17), "pink", "cow")
    build.capsule((0, 0.95, 0.54), (0, 1.12, 0.74), 0.20, 0.17, c, "cow")
    build.ellipsoid((0, 1.16, 0.80), (0.19, 0.20, 0.20), c, "cow")
    build.capsule((0, 1.10, 0.88), (0, 1.00, 1.00), 0.145, 0.135, c, "cow")
    build.ellipsoid((0, 0.97, 1.06), (0.155, 0.11, 0.10), "pink", "cow")
    for side in (-1, 1):
        build.ellipsoid((side * 0.07, 0.99, 1.145), (0.022, 0.028, 0.02), "mouth", "cow")
        build.ellipsoid((side * 0.27, 1.20, 0.74), (0.13, 0.065, 0.05), patch, "cow", rotation=roll(-side * 0.25))
        build.capsule((side * 0.12, 1.32, 0.76), (side * 0.24, 1.46, 0.78), 0.04, 0.012, "cream", "cow")
    _eyes(build, 0.125, 1.20, 0.945, 0.034, "eye" if c != "fur_black" else "cream", "cow")
    _legs(build, 0.18, (-0.48, 0.40), 0.66, 0.085, c, "coal", "cow")
    build.capsule((0, 0.98, -0.74), (0, 0.50, -0.84), 0.03, 0.022, c, "cow")
    build.ellipsoid((0, 0.44, -0.84), (0.05, 0.10, 0.05), patch, "cow")
    build.ellipsoid((0, 0.74, 0.72), (0.07, 0.08, 0.07), "yellow", "cow")


def sheep(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A woolly sheep."""
    wool = fur(colors["body"])
    face = "fur_black" if colors["body"] != "black" else "cream"
    build.ellipsoid((0, 0.62, -0.02), (0.34, 0.32, 0.50), wool, "sheep")
    for x, y, z in (
        (0.20, 0.78, 0.22),
        (0.22, 0.80, -0.14),
        (0.18, 0.74, -0.40),
        (0.27, 0.54, 0.22),
        (0.29, 0.56, -0.10),
        (0.24, 0.54, -0.36),
    ):
        for side in (-1, 1):
            build.ellipsoid((side * x, y, z), 0.175, wool, "sheep")
    build.ellipsoid((0, 0.86, 0.10), 0.19, wool, "sheep")
    build.ellipsoid((0, 0.84, -0.24), 0.19, wool, "sheep")
    build.capsule((0, 0.84, 0.50), (0, 0.70, 0.66), 0.145, 0.105, face, "sheep")
    build.ellipsoid((0, 0.98, 0.46), (0.16, 0.11, 0.14), wool, "sheep")
    for side in (-1, 1):
        build.ellipsoid((side * 0.19, 0.86, 0.46), (0.11, 0.05, 0.05), face, "sheep", rotation=roll(-side * 0.4))
    _eyes(build, 0.085, 0.87, 0.605, 0.034, "cream" if face == "fur_black" else "eye", "sheep")
    _legs(build, 0.16, (-0.30, 0.26), 0.40, 0.062, face, face, "sheep")
    build.ellipsoid((0, 0.66, -0.56), (0.08, 0.13, 0.08), wool, "sheep")


def pig(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A round pig with a curly tail."""
    c = fur(colors["body"])
    snout = "cheek" if colors["body"] != "orange" else "pink"
    build.capsule((0, 0.46, -0.28), (0, 0.47, 0.22), 0.29, 0.29, c, "animal")
    build.ellipsoid((0, 0.56, 0.50), (0.235, 0.225, 0.22), c, "animal")
    build.frustum((0, 0.53, 0.66), (0, 0.52, 0.78), 0.12, 0.105, snout, "animal")
    for side in (-1, 1):
        build.ellipsoid((side * 0.042, 0.525, 0.782), (0.02, 0.03, 0.012), "mouth", "animal")
        build.frustum((side * 0.14, 0.70, 0.48), (side * 0.21, 0.86, 0.56), 0.095, 0.012, c, "animal", flat=0.4)
    _eyes(build, 0.10, 0.64, 0.675, 0.030, "eye" if colors["body"] != "black" else "cream", "animal")
    _legs(build, 0.16, (-0.30, 0.24), 0.30, 0.075, c, snout, "animal")
    build.capsule((0, 0.58, -0.56), (0.06, 0.66, -0.62), 0.028, 0.025, snout, "animal")
    build.capsule((0.06, 0.66, -0.62), (-0.02, 0.72, -0.64), 0.025, 0.020, snout, "animal")


def giraffe(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A giraffe with brown patches."""
    c = "yellow"
    build.ellipsoid((0, 1.26, -0.06), (0.27, 0.56, 0.30), c, "giraffe", rotation=_along(0.22), pattern=PATCHES)
    build.frustum((0, 1.32, 0.26), (0, 2.28, 0.66), 0.23, 0.11, c, "giraffe", pattern=PATCHES)
    build.capsule((0, 2.36, 0.66), (0, 2.22, 0.98), 0.145, 0.10, c, "giraffe")
    build.ellipsoid((0, 2.19, 1.02), (0.105, 0.085, 0.085), "cream", "giraffe")
    _eyes(build, 0.12, 2.40, 0.76, 0.036, "eye", "giraffe")
    for side in (-1, 1):
        build.capsule((side * 0.06, 2.46, 0.62), (side * 0.07, 2.64, 0.58), 0.025, 0.022, c, "giraffe")
        build.ellipsoid((side * 0.07, 2.66, 0.58), 0.042, "trunk", "giraffe")
        build.ellipsoid((side * 0.20, 2.42, 0.58), (0.11, 0.05, 0.035), c, "giraffe", rotation=roll(side * 0.3))
    for k in range(6):
        t = k / 5
        build.ellipsoid((0, 1.62 + 0.72 * t, 0.22 + 0.32 * t), (0.035, 0.10, 0.06), "trunk", "giraffe")
    for side in (-1, 1):
        for z in (-0.40, 0.28):
            build.frustum((side * 0.15, 0.5, z), (side * 0.15, 1.2, z), 0.068, 0.13, c, "giraffe", pattern=PATCHES)
            build.capsule((side * 0.15, 0.55, z), (side * 0.15, 0.12, z), 0.066, 0.054, c, "giraffe")
            build.frustum((side * 0.15, 0, z), (side * 0.15, 0.11, z), 0.08, 0.065, "trunk", "giraffe")
    build.capsule((0, 1.22, -0.56), (0, 0.82, -0.68), 0.03, 0.022, c, "giraffe")
    build.ellipsoid((0, 0.76, -0.68), (0.05, 0.10, 0.05), "trunk", "giraffe")
