"""What covers the plane y = 0: patterns of two or three tones, filtered against aliasing."""

from dataclasses import dataclass

import numpy as np

from cn.scenes.geometry import Array
from cn.scenes.texture import fractal


def _linear(code: str) -> Array:
    """A color as shown, "#rrggbb", in linear light (3,)."""
    srgb = np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return (((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


@dataclass(frozen=True)
class Ground:
    """A ground: its class and the pairs of tones it is mixed from (as shown, sRGB), of which a scene has one."""

    label: str
    tones: tuple[tuple[str, str], ...]
    wet: float = 0.0
    """How strongly puddles on it reflect in the rain, 0 to 1."""


GROUNDS: dict[str, Ground] = {
    "meadow": Ground("grass", (("#7fc44b", "#57a03f"), ("#8fc653", "#63a244"), ("#74bd54", "#4c9a48"))),
    "sand": Ground("sand", (("#f3d394", "#dfb069"), ("#f0d5a4", "#dcb37c"))),
    "snow": Ground("snow", (("#eef5ff", "#bdd7f5"), ("#f0f5fd", "#c3d6f0"))),
    "tiles": Ground(
        "floor",
        (("#ece0cc", "#cfa98a"), ("#e6e9ec", "#9fb4c4"), ("#efe3d6", "#c98d7c"), ("#e9ecdf", "#a3bd9a")),
        0.6,
    ),
    "water": Ground("water", (("#3fa3c4", "#2b82b0"),)),
    "street": Ground("road", (("#7d8087", "#63666d"), ("#86858a", "#6b6a70")), 0.9),
    "forest": Ground("earth", (("#86703f", "#546b30"), ("#7c6a44", "#4d6232"))),
    "field": Ground("field", (("#a9794c", "#80552f"), ("#9c6e49", "#754d31")), 0.3),
    "room": Ground("wooden floor", (("#cf9a63", "#a8733f"), ("#dcb98a", "#bd9564"), ("#a87a55", "#80573a"))),
}
TILE = 0.62
"""Side of a tile, meters."""
KERB, LANE, DASH = -2.7, 1.05, 1.5
"""The road of scale 1: where it ends at the back, where its dashed line lies, and the length of a dash, meters."""
_BOARD = 0.21
"""Width of a floor board, meters."""


def albedo(ground: str, seed: int, scale: float, points: Array, footprint: Array) -> Array:
    """Linear color (3, n) of the ground at `points` (3, n).

    `scale` is the size of the scene (1: people); `footprint` (n,) the width in meters that a pixel covers there.
    """
    tones = GROUNDS[ground].tones
    a, b = (_linear(code)[:, None] for code in tones[seed % len(tones)])
    x, z = points[0] * np.float32(1 / scale), points[2] * np.float32(1 / scale)
    x += np.float32(seed % 97 * 0.37)
    wide = footprint * np.float32(1 / scale)
    mix = np.clip(_PATTERNS[ground](x, z, wide), 0, 1)
    color = a + (b - a) * mix
    if ground == "meadow" and seed % 3:
        _scatter(color, ("#fdfbf0", "#f7d84a", "#e9a9d0")[seed % 7 % 3], x, z, wide, 0.25, 0.030, 0.35)
    elif ground in ("forest", "field"):
        for code, size, share in (("#a8642e", 0.23, 0.36), ("#b98d3c", 0.31, 0.30), ("#7d4a2c", 0.19, 0.36)):
            _scatter(color, code, x, z, wide, size, 0.045, share * (0.55 if ground == "forest" else 1))
    elif ground == "street":
        _lane(color, x, z, wide)
    return color


def _meadow(x: Array, z: Array, wide: Array) -> Array:
    """Patches of two greens under blades."""
    patches = fractal(x * np.float32(1 / 9), z * np.float32(1 / 9), wide / 9)
    blades = fractal(x * np.float32(1 / 1.1), z * np.float32(1 / 2.6), wide)
    return 0.5 + np.float32(0.75) * patches + np.float32(0.42) * blades


def _sand(x: Array, z: Array, wide: Array) -> Array:
    """Soft hollows, ripples by the wind and grains."""
    hollows = fractal(x * np.float32(1 / 11), z * np.float32(1 / 11), wide / 11)
    bend = z + np.float32(0.5) * fractal(x * np.float32(1 / 7), z * np.float32(1 / 19), wide / 7)
    ripple = np.sin(bend * np.float32(14.0)) * np.clip(1 - wide * 5, 0, 1)
    grain = fractal(x * np.float32(1 / 0.9), z * np.float32(1 / 0.9), wide / np.float32(0.9))
    return np.float32(0.42) + np.float32(0.5) * hollows + np.float32(0.13) * ripple + np.float32(0.22) * grain


def _snow(x: Array, z: Array, wide: Array) -> Array:
    """Drifts, and a fine grain nearby."""
    drifts = fractal(x * np.float32(1 / 12), z * np.float32(1 / 9), wide / 9)
    grain = fractal(x * np.float32(1 / 1.5), z * np.float32(1 / 1.5), wide / np.float32(1.5))
    return np.float32(0.42) + np.float32(0.8) * drifts + np.float32(0.20) * grain


def _tiles(x: Array, z: Array, wide: Array) -> Array:
    """Chequered tiles, each edge as wide as the pixel, gray where tiles are tiny."""
    edge = np.clip(wide / TILE, 0.01, 1).astype(np.float32)

    def square(v: Array) -> Array:
        """A square wave of period two tiles, as steep as the pixel allows."""
        distance = np.abs((v * np.float32(1 / TILE)) % 2 - 1) - np.float32(0.5)
        return np.clip(distance / edge, -0.5, 0.5) * 2

    fade = np.clip(np.float32(1.2) - wide * np.float32(2.2 / TILE), 0, 1)
    stone = fractal(x * np.float32(1 / 3), z * np.float32(1 / 3), wide / 3)
    return np.float32(0.5) - np.float32(0.5) * square(x) * square(z) * fade + np.float32(0.14) * stone


def _water(x: Array, z: Array, wide: Array) -> Array:
    """Darker and lighter water."""
    return np.float32(0.45) + np.float32(0.6) * fractal(x * np.float32(1 / 14), z * np.float32(1 / 10), wide / 10)


def _asphalt(x: Array, z: Array, wide: Array) -> Array:
    """Grains, and bands worn by wheels."""
    worn = fractal(x * np.float32(1 / 30), z * np.float32(1 / 6), wide / 6)
    grain = fractal(x * np.float32(1 / 0.8), z * np.float32(1 / 0.8), wide / np.float32(0.8))
    return np.float32(0.5) + np.float32(0.5) * worn + np.float32(0.45) * grain


def _soil(x: Array, z: Array, wide: Array) -> Array:
    """Moss or damp earth in patches, with clods."""
    patches = fractal(x * np.float32(1 / 7), z * np.float32(1 / 7), wide / 7)
    clods = fractal(x * np.float32(1 / 1.3), z * np.float32(1 / 1.3), wide / np.float32(1.3))
    return np.float32(0.5) + np.float32(0.9) * patches + np.float32(0.4) * clods


def _furrows(x: Array, z: Array, wide: Array) -> Array:
    """Ploughed earth: furrows across, and clods."""
    bend = z + np.float32(0.25) * fractal(x * np.float32(1 / 9), z * np.float32(1 / 9), wide / 9)
    furrow = np.sin(bend * np.float32(2 * np.pi / 0.55)) * np.clip(np.float32(1.1) - wide * 4, 0, 1)
    return np.float32(0.35) + _soil(x, z, wide) * np.float32(0.35) + np.float32(0.26) * furrow


def _boards(x: Array, z: Array, wide: Array) -> Array:
    """Floor boards from left to right, each of its own tone, with grain and dark joints."""
    row = np.floor(z * np.float32(1 / _BOARD))
    shift = np.sin(row * np.float32(12.9898)) * np.float32(43.7585)
    along = x * np.float32(1 / 1.9) + shift
    board = np.floor(along)
    tone = np.sin(row * np.float32(7.13) + board * np.float32(3.71)) * np.float32(0.30)
    grain = fractal(x * np.float32(1 / 4) + shift, z * np.float32(1 / 0.55), wide)
    edge = np.float32(0.006) + wide * np.float32(0.5)
    across = np.abs(z - (row + np.float32(0.5)) * np.float32(_BOARD))
    joint = np.clip((across - np.float32(_BOARD / 2) + edge) / edge, 0, 1)
    ends = np.abs(along - board - np.float32(0.5)) * np.float32(1.9)
    joint = np.maximum(joint, np.clip((ends - np.float32(0.95) + edge) / edge, 0, 1))
    fade = np.clip(np.float32(1.3) - wide * np.float32(4 / _BOARD), 0, 1)
    strength = np.minimum(np.float32(1), np.float32(0.012) / edge)
    return np.float32(0.42) + (tone + np.float32(0.75) * joint * strength) * fade + np.float32(0.32) * grain


_PATTERNS = {
    "meadow": _meadow,
    "sand": _sand,
    "snow": _snow,
    "tiles": _tiles,
    "water": _water,
    "street": _asphalt,
    "forest": _soil,
    "field": _furrows,
    "room": _boards,
}


def _scatter(
    color: Array, code: str, x: Array, z: Array, wide: Array, cell: float, radius: float, share: float
) -> None:
    """Blend round specks into `color` (3, n) in place: one per square of side `cell`, in `share` of the squares."""
    near = np.flatnonzero(wide < np.float32(1.5 * radius))
    if not len(near):
        return
    x, z, wide = x.take(near) * np.float32(1 / cell), z.take(near) * np.float32(1 / cell), wide.take(near)
    i, j = np.floor(x), np.floor(z)
    hashed = np.abs(np.sin(i * np.float32(12.9898) + j * np.float32(78.233)) * np.float32(437.585)) % 1
    there = np.flatnonzero(hashed < np.float32(share))
    near, hashed, wide = near.take(there), hashed.take(there) * np.float32(1 / share), wide.take(there)
    dx = x.take(there) - i.take(there) - np.float32(0.3) - np.float32(0.4) * hashed
    dz = z.take(there) - j.take(there) - np.float32(0.3) - np.float32(0.4) * (hashed * 7 % 1)
    far = np.sqrt(dx * dx + dz * dz) * np.float32(cell)
    cover = np.clip((np.float32(radius) - far) / np.maximum(wide, np.float32(0.2 * radius)) + np.float32(0.5), 0, 1)
    cover *= np.clip(np.float32(2) - wide * np.float32(1.6 / radius), 0, 1)
    color[:, near] += (_linear(code)[:, None] - color[:, near]) * cover


def _lane(color: Array, x: Array, z: Array, wide: Array) -> None:
    """Blend the road's dashed white line and the line along the kerb into `color` (3, n) in place."""
    edge = np.maximum(wide, np.float32(0.01))

    def stripe(distance: Array, half: float) -> Array:
        return np.clip((np.float32(half) - np.abs(distance)) / edge + np.float32(0.5), 0, 1)

    dash = np.abs(x % np.float32(2 * DASH) - np.float32(DASH)) - np.float32(DASH / 2)
    line = stripe(z - np.float32(LANE), 0.07) * np.clip(np.float32(0.5) - dash / edge, 0, 1)
    line = np.maximum(line, stripe(z - np.float32(KERB + 0.35), 0.05)) * np.float32(0.8)
    color += (_linear("#f1efe6")[:, None] - color) * line


def ripples(points: Array, scale: float, seed: int, footprint: Array) -> Array:
    """Unit normals (3, n) of gentle waves, flattening towards the horizon; for shading only."""
    x, z = points[0] * np.float32(1 / scale), points[2] * np.float32(1 / scale)
    phase = np.float32(seed % 97 * 0.37)
    calm = np.float32(0.075) * np.clip(1 - footprint * np.float32(4 / scale), 0, 1)
    normals = np.empty_like(points)
    normals[0] = calm * np.sin(x * np.float32(2.3) + z * np.float32(1.1) + phase)
    normals[1] = 1
    normals[2] = calm * (
        np.sin(z * np.float32(5.0) + np.float32(0.8) * np.sin(x * np.float32(1.7) + phase))
        + np.float32(0.6) * np.sin(z * np.float32(8.3) - x * np.float32(2.9) + phase)
    )
    return normals / np.sqrt(normals[0] ** 2 + 1 + normals[2] ** 2)


def puddles(points: Array, scale: float, seed: int, footprint: Array) -> Array:
    """Where rain stands on the ground (n,), 0 to 1."""
    wide = footprint * np.float32(1 / (2.5 * scale))
    x, z = points[0] * np.float32(0.4 / scale) + np.float32(seed % 89 * 0.41), points[2] * np.float32(0.55 / scale)
    return np.clip((fractal(x * np.float32(0.3), z * np.float32(0.3), wide * np.float32(0.3)) - 0.1) * 5, 0, 1)
