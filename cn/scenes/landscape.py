"""The open country around the main things: raft, hills and mountains, lake, sea, village, far trees, flowers."""

import numpy as np

from cn.scenes import kinds
from cn.scenes.backdrop import backdrop
from cn.scenes.builder import PLANKS, SNOWCAP, Builder
from cn.scenes.geometry import Rng
from cn.scenes.models.buildings import fence
from cn.scenes.scene import Scene
from cn.scenes.scenery_patterns import FOLIAGE, TOWERS, WAVES
from cn.scenes.surroundings import hidden, item_width, open_spot


def raft(build: Builder, scene: Scene) -> None:
    """A raft under everything in the lake that does not float."""
    standing = [i for i in scene.items if i.kind not in kinds.FLOATING]
    if not standing:
        return
    reach = [(item_width(i), i.position) for i in standing]
    low = min(p[0] - w for w, p in reach) - 0.25
    high = max(p[0] + w for w, p in reach) + 0.25
    back = min(p[2] - min(w, 0.7) for w, p in reach) - 0.25
    front = max(p[2] + min(w, 0.7) for w, p in reach) + 0.25
    build.place((0.0, 0.0, 0.0))
    center, half = (
        ((low + high) / 2, kinds.RAFT_TOP / 2, (back + front) / 2),
        ((high - low) / 2, kinds.RAFT_TOP / 2, (front - back) / 2),
    )
    build.box(center, half, "wood", "pier", pattern=PLANKS)
    for x in (low + 0.06, high - 0.06):
        for z in (back + 0.06, front - 0.06):
            build.frustum((x, -0.3, z), (x, kinds.RAFT_TOP + 0.16, z), 0.07, 0.07, "wood_dark", "pier")


_HILLS = {
    "meadow": ("hill_a", "hill_b"),
    "sand": ("dune", "dune"),
    "snow": ("snow_hill", "snow_hill"),
    "tiles": ("hill_b", "hill_a"),
    "water": ("hill_b", "fir"),
    "field": ("hill_autumn", "hill_b"),
}
"""Colors of the hills per ground."""
_AUTUMN = ("orange", "autumn", "yellow", "red", "autumn", "orange")


def country(build: Builder, scene: Scene, rng: Rng, scale: float) -> None:
    """Everything behind and around the main things of a ground under the open sky. All sizes follow `scale`."""
    behind = backdrop(scene)
    if behind == "mountains":
        _mountains(build, rng, "mountain_warm" if scene.ground == "sand" else "mountain")
    if behind == "sea":
        _sea(build, rng)
    else:
        _hills(build, scene, rng, low=0.5 if behind in ("city", "lake") else 1.0)
    if behind == "lake":
        middle = rng.uniform(-9, 9)
        build.frustum((middle, 0, -33), (middle, 0.04, -33), 17, 17, "lake", "water", flat=0.42)
    elif behind == "village":
        _village(build, scene, rng)
    elif behind == "city":
        _city(build, rng)
    elif behind == "cliffs":
        _cliffs(build, rng)
    if scene.ground in ("meadow", "snow", "tiles", "field"):
        _far_trees(build, scene, rng, scale)
    if scene.ground == "meadow":
        _flowers(build, scene, rng)
    elif scene.ground in ("sand", "snow", "field"):
        color, label = {
            "sand": ("stone_warm", "rock"),
            "snow": ("snow_hill", "snow"),
            "field": ("stone_warm", "rock"),
        }[scene.ground]
        for _ in range(int(rng.integers(1, 4))):
            x, z = open_spot(scene, rng)
            build.ellipsoid((x, 0.0, z), (0.10, 0.06, 0.08), color, label)


def _mountains(build: Builder, rng: Rng, rock: str) -> None:
    """A range of peaks, each with a lower one beside it."""
    for x in np.linspace(-48, 48, 7) + rng.uniform(-6, 6, 7):
        high = rng.uniform(6, 14)
        wide = high * rng.uniform(1.0, 1.5)
        build.frustum((x, -0.5, -85), (x, high, -85), wide, 0.02, rock, "mountain", pattern=SNOWCAP)
        side = x + wide * rng.uniform(0.35, 0.7)
        low = high * rng.uniform(0.45, 0.7)
        build.frustum((side, -0.5, -82), (side, low, -82), low * 1.3, 0.02, rock, "mountain")


def _hills(build: Builder, scene: Scene, rng: Rng, low: float) -> None:
    """Two rows of hills on the horizon, `low` times as high as usual."""
    colors = _HILLS[scene.ground]
    for i, x in enumerate(np.linspace(-50, 50, 6) + rng.uniform(-6, 6, 6)):
        wide = rng.uniform(12, 22)
        high = rng.uniform(2.0, 4.6) * low
        build.ellipsoid((x, -0.6, -58 - 3 * (i % 4)), (wide, high, 9), colors[i % 2], "hill")


def _sea(build: Builder, rng: Rng) -> None:
    """The sea behind a beach, with an island or a sail now and then."""
    shore = rng.uniform(-19, -10)
    build.box((0, 0.0, shore - 200), (300, 0.03, 200), "sea", "sea", pattern=WAVES)
    if rng.random() < 0.5:
        x = rng.uniform(-16, 16)
        build.ellipsoid((x, -0.5, -75), (rng.uniform(6, 12), rng.uniform(2, 4), 5), "hill_b", "hill")
    if rng.random() < 0.4:
        x, size = rng.uniform(-7, 7), rng.uniform(0.8, 1.2)
        build.frustum((x, 0.35 * size, -30), (x, 2.6 * size, -30), 0.9 * size, 0.02, "paper", "boat", flat=0.05)
        build.ellipsoid((x, 0.15, -30), (0.9 * size, 0.28 * size, 0.3), "wood_dark", "boat")


def _village(build: Builder, scene: Scene, rng: Rng) -> None:
    """A church and small houses far away."""
    walls, roofs = ("cream", "paper", "facade_b", "facade_d"), ("roof", "roof_dark", "roof")
    middle = rng.uniform(-9, 9)
    label = "house"
    z = -46.0 if scene.ground == "water" else -40.0
    if scene.ground == "water":
        build.ellipsoid((middle, -0.1, z), (15, 0.5, 6), "hill_a", "hill")
    for i in range(int(rng.integers(4, 7))):
        x = middle + (i - 2.5) * rng.uniform(2.3, 3.2)
        wide, high, away = rng.uniform(0.9, 1.3), rng.uniform(0.6, 0.9), z + rng.uniform(-3, 3)
        build.box((x, high, away), (wide, high, 0.9), walls[i % 4], label)
        gable = np.array([(wide * 0.55, -wide * 0.55, 0), (0.5, 0.5, 0), (0, 0, 1.0)])
        roof = "snow" if scene.ground == "snow" else roofs[i % 3]
        build.box((x, 2 * high, away), (1, 1, 1), roof, label, columns=gable)
        for side in (-0.45, 0.45):
            build.box((x + side * wide, high, away + 0.9), (0.16, 0.2, 0.03), "window", "window", glow=0.9)
    if rng.random() < 0.6:
        x = middle + rng.uniform(-2, 2)
        build.box((x, 1.9, z - 2), (0.6, 1.9, 0.6), "paper", "building")
        build.frustum((x, 3.8, z - 2), (x, 6.0, z - 2), 0.85, 0.02, "roof_dark", "building")


def _city(build: Builder, rng: Rng) -> None:
    """The towers of a distant city."""
    for i, x in enumerate(np.linspace(-34, 34, 14) + rng.uniform(-1.5, 1.5, 14)):
        high, wide = rng.uniform(1.6, 6.5) * (1.3 if i % 3 == 1 else 0.8), rng.uniform(1.3, 2.2)
        color = f"facade_{'efg'[int(rng.integers(3))]}"
        build.box((x, high, -62 - 4 * (i % 3)), (wide, high, 1.5), color, "building", pattern=TOWERS)


def _cliffs(build: Builder, rng: Rng) -> None:
    """Steep rocks on one side."""
    side = 1 if rng.random() < 0.5 else -1
    for i in range(5):
        x, high = side * (7.0 + 4.2 * i), rng.uniform(2.5, 4.5) + 1.1 * i
        color = ("cliff", "mountain_warm")[i % 2]
        build.frustum((x, -0.5, -40), (x + rng.uniform(-1, 1), high, -42), 4.2, 2.6, color, "mountain", flat=0.8)


def _far_trees(build: Builder, scene: Scene, rng: Rng, scale: float) -> None:
    """Small trees well behind, to the sides; on paving also a fence now and then."""
    for _ in range(int(rng.integers(5, 9) if scene.ground == "field" else rng.integers(0, 5))):
        side = 1 if rng.random() < 0.5 else -1
        x, z = side * rng.uniform(2.5, 10.0), -rng.uniform(14, 26)
        grow = scale * rng.uniform(0.9, 1.3)
        if hidden(scene, x * scale, z * scale, grow):
            continue  # no tree may seem to grow out of somebody's head
        build.place((x * scale, 0.0, z * scale), 0.0, grow)
        build.shadow = False
        if scene.ground == "snow" or (scene.ground != "field" and rng.random() < 0.5):
            build.frustum((0, 0, 0), (0, 0.4, 0), 0.14, 0.12, "trunk", "tree")
            build.frustum((0, 0.3, 0), (0, 1.6, 0), 0.75, 0.05, "fir", "tree")
            build.frustum((0, 1.1, 0), (0, 2.4, 0), 0.5, 0.02, "fir", "tree")
        else:
            color = _AUTUMN[int(rng.integers(len(_AUTUMN)))] if scene.ground == "field" else "leaf_dark"
            build.frustum((0, 0, 0), (0, 1.0, 0), 0.15, 0.12, "trunk", "tree")
            build.ellipsoid((0, 1.7, 0), (0.85, 0.9, 0.85), color, "tree", pattern=FOLIAGE)
            build.ellipsoid((0.45, 1.45, 0.1), (0.6, 0.55, 0.6), color, "tree", pattern=FOLIAGE)
    if scene.ground != "snow" and rng.random() < 0.25:
        for x in (-4.2, -2.1, 0.0, 2.1, 4.2):
            build.place((x * scale, 0.0, -7.5 * scale), 0.0, scale)
            build.shadow = False
            fence(build, {"body": "cream"}, rng)
    build.place((0.0, 0.0, 0.0), scale=scale)
    build.shadow = False


def _flowers(build: Builder, scene: Scene, rng: Rng) -> None:
    """Tiny flowers and tufts in the grass."""
    colors = ("cream", "yellow", "pink", "red", "purple")
    first = colors[int(rng.integers(5))]
    for i in range(int(rng.integers(6, 12))):
        x, z = open_spot(scene, rng)
        if i % 3 == 2:
            for dx in (-0.05, 0.0, 0.05):
                build.frustum((x + dx, 0, z), (x + 1.8 * dx, 0.16 - abs(dx), z), 0.022, 0.002, "leaf_dark", "grass")
            continue
        build.ellipsoid((x, 0.10, z), (0.055, 0.045, 0.055), first if i % 2 else "cream", "flower")
        build.ellipsoid((x, 0.125, z + 0.03), 0.024, "yellow" if first != "yellow" else "orange", "flower")
