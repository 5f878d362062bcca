"""Surroundings that are near: a street with house fronts, a forest, a room."""

import numpy as np

from cn.scenes.backdrop import backdrop
from cn.scenes.builder import FADE, Builder
from cn.scenes.geometry import Rng, Vec
from cn.scenes.ground import KERB
from cn.scenes.scene import Scene
from cn.scenes.scenery_patterns import FACADE, FOLDS, FOLIAGE, PICTURE, THICKET, TOWERS, WINDOW_VIEW
from cn.scenes.surroundings import back_of, hidden

_FRONTS = ("facade_a", "facade_b", "facade_c", "facade_d", "wall_c", "wall_d", "facade_f")
_WALLS = ("wall_a", "wall_b", "wall_c", "wall_d", "wall_e")


def street(build: Builder, scene: Scene, rng: Rng, scale: float) -> None:
    """A pavement behind the road, young trees on it, and house fronts or the towers of a city."""
    kerb = min(KERB, back_of(scene) / scale - 0.25)
    build.box((0, 0.04, kerb - 12), (60, 0.07, 12), "pavement", "sidewalk")
    build.box((0, 0.045, kerb), (60, 0.08, 0.09), "kerb", "sidewalk")
    x = -34.0 + rng.uniform(-3, 0)
    last = ""
    while x < 34:
        wide, high = rng.uniform(2.0, 3.3), rng.uniform(2.6, 4.6)
        color = str(rng.choice([c for c in _FRONTS if c != last]))
        last = color
        z = kerb - 20 - rng.uniform(0, 0.6)
        build.box((x + wide, high, z - 2), (wide, high, 2), color, "building", pattern=FACADE)
        if rng.random() < 0.6:
            rise = rng.uniform(0.5, 1.0)
            gable = np.array([(wide / 2, -wide / 2, 0), (rise / 2, rise / 2, 0), (0, 0, 2.1)])
            roof = "roof" if rng.random() < 0.7 else "roof_dark"
            build.box((x + wide, 2 * high, z - 2), (1, 1, 1), roof, "building", columns=gable)
        else:
            build.box((x + wide, 2 * high, z - 2), (wide + 0.15, 0.15, 2.15), "kerb", "building")
        x += 2 * wide
    if backdrop(scene) == "city":
        for i, x in enumerate(np.linspace(-40, 40, 9) + rng.uniform(-3, 3, 9)):
            high = rng.uniform(5.0, 11.0)
            color = f"facade_{'efg'[i % 3]}"
            build.box((x, high, -55 - 5 * (i % 2)), (2.4, high, 2), color, "building", pattern=TOWERS)
    for x in np.arange(-14, 15, 4.6) + rng.uniform(-0.5, 0.5):
        z = kerb - 6.5
        if hidden(scene, x * scale, z * scale, 0.9 * scale):
            continue
        build.frustum((x, 0.1, z), (x, 1.6, z), 0.11, 0.09, "bark", "tree")
        build.ellipsoid((x, 2.25, z), (0.85, 0.95, 0.85), "leaf", "tree", pattern=FOLIAGE)


def forest(build: Builder, scene: Scene, rng: Rng, scale: float) -> None:
    """Rows of trunks with crowns, close behind and on both sides, ferns and stones."""
    back = back_of(scene) / scale
    build.box((0, 3.4, back - 40), (80, 3.6, 1), "pine", "tree", pattern=THICKET)
    for x in np.linspace(-24, 24, 11) + rng.uniform(-1.2, 1.2, 11):
        high, color = rng.uniform(1.8, 3.4), ("pine", "leaf_dark", "moss")[int(rng.integers(3))]
        build.ellipsoid((x, 6.6, back - 40), (3.2, high, 2.0), color, "tree", pattern=FOLIAGE)
    pines = rng.random() < 0.5
    for row, (z, count, reach) in enumerate(((-1.6, 6, 8.0), (-5.0, 9, 13.0), (-10, 11, 19.0), (-18, 13, 27.0))):
        for x in np.linspace(-reach, reach, count) + rng.uniform(-0.7, 0.7, count):
            away = back + z + rng.uniform(-1.2, 0.6)
            thick = rng.uniform(0.15, 0.28)
            if row < 2 and hidden(scene, x * scale, away * scale, (0.9 if row == 0 else 0.3) * scale):
                continue
            _tall_tree(build, float(x), float(away), thick, pines != (rng.random() < 0.25), rng)
    for _ in range(int(rng.integers(5, 9))):
        side = 1 if rng.random() < 0.5 else -1
        x, z = side * rng.uniform(0.4, 4.0), back - rng.uniform(0.2, 3.0)
        if not hidden(scene, x * scale, z * scale, 0.4 * scale):
            _fern(build, float(x), float(z), rng)


def _tall_tree(build: Builder, x: float, z: float, thick: float, pine: bool, rng: Rng) -> None:
    """One tree of the forest, higher than the image."""
    lean = rng.uniform(-0.25, 0.25)
    first, bark = rng.uniform(1.7, 2.8), "bark" if pine else "bark_pale"
    build.frustum((x, -0.1, z), (x + lean, first + 1.7, z), thick, 0.6 * thick, bark, "tree")
    build.frustum((x, -0.1, z), (x, 0.45, z), 1.5 * thick, thick, bark, "tree")
    if pine:
        for k in range(4):
            low = first + 1.15 * k
            tip = (x + lean / 3, low + 1.9, z)
            build.frustum((x, low, z), tip, 1.35 - 0.22 * k, 0.05, "pine", "tree", pattern=FADE)
        return
    color = ("leaf", "leaf_dark", "moss")[int(rng.integers(3))]
    build.ellipsoid((x + lean, first + 1.7, z), (1.3, 1.15, 1.2), color, "tree", pattern=FOLIAGE)
    build.ellipsoid((x - 0.7, first + 1.1, z + 0.3), (0.8, 0.65, 0.8), color, "tree", pattern=FOLIAGE)


def _fern(build: Builder, x: float, z: float, rng: Rng) -> None:
    """A tuft of fronds."""
    for turn in rng.uniform(0, 0.8) + np.arange(5) * 1.25:
        tip = (x + 0.36 * np.cos(turn), 0.30, z + 0.30 * np.sin(turn))
        build.frustum((x, 0.0, z), tip, 0.055, 0.01, "moss", "bush", flat=0.3)


def room(build: Builder, scene: Scene, rng: Rng, scale: float) -> None:
    """A wall with skirting board, a window with curtains, a picture or a shelf of books."""
    z = min(back_of(scene) / scale - 0.7, -2.2)
    wall = _WALLS[int(rng.integers(len(_WALLS)))]
    build.box((0, 10, z - 0.5), (60, 10.2, 0.5), wall, "wall")
    build.box((0, 0.09, z + 0.02), (60, 0.09, 0.03), "paper", "wall")
    side = 1 if rng.random() < 0.5 else -1
    eyes = max(1.65, scene.eye[1] / scale)
    _window(build, (side * rng.uniform(0.9, 1.5), eyes + 0.1, z), scene)
    if rng.random() < 0.75:
        _picture(build, (-side * rng.uniform(0.7, 1.3), eyes, z), rng)
    if rng.random() < 0.6:
        _picture(build, (-side * rng.uniform(2.1, 2.6), eyes, z), rng)
    if rng.random() < 0.4:
        _bookshelf(build, -side * rng.uniform(2.3, 3.0), z, rng)


def _window(build: Builder, center: Vec, scene: Scene) -> None:
    """A window with a cross, a sill and curtains."""
    x, y, z = center
    color = ("red", "teal", "cream", "wall_b", "orange")[scene.index % 5]
    day = scene.light in ("morning", "noon")
    build.box((x, y, z), (0.66, 0.72, 0.03), "paper", "window")
    build.box((x, y, z), (0.58, 0.64, 0.045), "glass", "window", pattern=WINDOW_VIEW, glow=1.4 * day)
    build.box((x, y, z), (0.022, 0.64, 0.06), "paper", "window")
    build.box((x, y + 0.05, z), (0.58, 0.022, 0.06), "paper", "window")
    build.box((x, y - 0.75, z + 0.06), (0.76, 0.03, 0.10), "paper", "window")
    for end in (-1, 1):
        build.box((x + end * 0.80, y - 0.05, z + 0.09), (0.19, 0.86, 0.04), color, "curtain", pattern=FOLDS)
    build.capsule((x - 1.1, y + 0.83, z + 0.10), (x + 1.1, y + 0.83, z + 0.10), 0.022, 0.022, "wood_dark", "curtain")


def _picture(build: Builder, center: Vec, rng: Rng) -> None:
    """A framed landscape."""
    wide, high = rng.uniform(0.28, 0.48), rng.uniform(0.24, 0.36)
    center = (center[0], center[1] + rng.uniform(-0.1, 0.1), center[2])
    frame = ("wood", "wood_dark", "dark", "paper")[int(rng.integers(4))]
    color = ("teal", "blue", "green", "orange", "purple")[int(rng.integers(5))]
    build.box(center, (wide + 0.05, high + 0.05, 0.03), frame, "painting")
    build.box(center, (wide, high, 0.04), color, "painting", pattern=PICTURE)


def _bookshelf(build: Builder, x: float, z: float, rng: Rng) -> None:
    """Shelves of books against the wall."""
    build.box((x, 0.95, z + 0.12), (0.55, 0.95, 0.16), "wood_dark", "bookcase")
    for level in (0.45, 0.95, 1.45):
        build.box((x, level, z + 0.2), (0.50, 0.20, 0.09), "dark", "bookcase")
        left = x - 0.47
        while left < x + 0.40:
            wide, high = rng.uniform(0.03, 0.06), rng.uniform(0.12, 0.18)
            color = ("red", "teal", "cream", "blue", "orange", "green", "brown")[int(rng.integers(7))]
            build.box((left + wide, level - 0.18 + high, z + 0.25), (0.9 * wide, high, 0.06), color, "book")
            left += 2 * wide
