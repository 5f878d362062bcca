"""What covers the plane y = 0: two-tone patterns, filtered against aliasing."""

from dataclasses import dataclass

import numpy as np

from cn.scenes.geometry import Array


def _linear(code: str) -> Array:
    """A color as shown, "#rrggbb", in linear light (3,)."""
    srgb = np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return (((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


@dataclass(frozen=True)
class Ground:
    """A ground: its class and the two tones it is mixed from (as shown, sRGB)."""

    label: str
    first: str
    second: str


GROUNDS: dict[str, Ground] = {
    "meadow": Ground("grass", "#7cc04a", "#5fa843"),
    "sand": Ground("sand", "#f3d18c", "#e3b468"),
    "snow": Ground("snow", "#eaf3ff", "#bdd7f5"),
    "tiles": Ground("floor", "#e9dcc6", "#c9a88a"),
    "water": Ground("water", "#3fa3c4", "#2b82b0"),
}
TILE_PAIRS = (("#ece0cc", "#cfa98a"), ("#e6e9ec", "#9fb4c4"), ("#efe3d6", "#c98d7c"), ("#e9ecdf", "#a3bd9a"))
TILE = 0.62
"""Side of a tile, meters."""


def noise(x: Array, z: Array, size: float, seed: float) -> Array:
    """Smooth patches about `size` meters wide, -1 to 1: a few crossed waves."""
    k = np.float32(2 * np.pi / (size * 2.2))
    out = np.sin(k * (x + 0.35 * z) + seed)
    out += np.sin(k * (0.45 * x - 1.1 * z) + 2.3 * seed + 1.3 * np.sin(k * 0.6 * x + seed))
    out += np.sin(k * (0.9 * z + 0.8 * x) * 1.3 + 4.1 * seed)
    return out * np.float32(0.4)


def albedo(ground: str, seed: int, scale: float, points: Array, footprint: Array) -> Array:
    """Linear color (n, 3) of the ground at `points` (n, 3).

    `scale` is the size of the scene (1: people); `footprint` (n,) the width in meters that a pixel covers there.
    """
    kind = GROUNDS[ground]
    x, z = points[:, 0] / np.float32(scale), points[:, 2] / np.float32(scale)
    footprint = footprint / np.float32(scale)
    first, second = kind.first, kind.second
    phase = np.float32(seed % 97 * 0.37)
    if ground == "tiles":
        first, second = TILE_PAIRS[seed % len(TILE_PAIRS)]
        mix = _checker(x + phase, z, footprint)
    elif ground == "sand":
        bend = (
            z + np.float32(0.18) * np.sin(x * np.float32(1.3) + phase) + np.float32(0.1) * np.sin(x * np.float32(3.1))
        )
        calm = np.clip(1.4 - footprint * 2.0, 0, 1)
        ripple = np.sin(bend * np.float32(14.0)) * np.clip(1 - footprint * 5, 0, 1)
        mix = 0.42 + 0.28 * calm * noise(x, z, 2.4, float(phase)) + 0.13 * ripple
    elif ground == "meadow":
        mix = 0.5 + 0.8 * np.clip(1.4 - footprint * 3.0, 0, 1) * noise(x, z, 1.5, float(phase))
        mix = np.clip(mix, 0, 1)
        mix = mix * mix * (3 - 2 * mix)
    else:
        mix = 0.45 + 0.5 * np.clip(1.4 - footprint * 2.0, 0, 1) * noise(x, z, 2.2, float(phase))
    mix = np.clip(mix, 0, 1).astype(np.float32)[:, None]
    a, b = _linear(first), _linear(second)
    return a + (b - a) * mix


def _checker(x: Array, z: Array, footprint: Array) -> Array:
    """Chequered tiles as a mix of two tones (n,), each edge as wide as the pixel, gray where tiles are tiny."""
    width = np.clip(footprint / TILE, 0.01, 1).astype(np.float32)

    def square(v: Array) -> Array:
        """A square wave of period two tiles, as steep as the pixel allows."""
        distance = np.abs((v / TILE) % 2 - 1) - np.float32(0.5)
        return np.clip(distance / width, -0.5, 0.5) * 2

    fade = np.clip(1.2 - footprint / TILE * 2.2, 0, 1)
    return (0.5 - 0.5 * square(x) * square(z) * fade).astype(np.float32)


def ripples(points: Array, scale: float, seed: int, footprint: Array) -> Array:
    """Unit normals (n, 3) of gentle waves, flattening towards the horizon; for shading only."""
    x, z = points[:, 0] / np.float32(scale), points[:, 2] / np.float32(scale)
    phase = np.float32(seed % 97 * 0.37)
    calm = np.float32(0.075) * np.clip(1 - footprint / np.float32(scale) * 4.0, 0.0, 1)
    slope_x = calm * np.sin(x * np.float32(2.3) + z * np.float32(1.1) + phase)
    slope_z = calm * (
        np.sin(z * np.float32(5.0) + np.float32(0.8) * np.sin(x * np.float32(1.7) + phase))
        + np.float32(0.6) * np.sin(z * np.float32(8.3) - x * np.float32(2.9) + phase)
    )
    normals = np.stack([slope_x, np.ones_like(x), slope_z], axis=1)
    return normals / np.sqrt(np.einsum("nc,nc->n", normals, normals))[:, None]
