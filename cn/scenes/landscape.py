"""The surroundings of the main things: raft, hills and mountains, far trees, flowers, clouds."""

import numpy as np

from cn.scenes import kinds
from cn.scenes.builder import PLANKS, SNOWCAP, Builder
from cn.scenes.geometry import Rng
from cn.scenes.lighting import Sky
from cn.scenes.models.buildings import fence
from cn.scenes.scene import Item, Scene


def item_width(item: Item) -> float:
    """Half the width of an item, meters."""
    return item.scale * (0.45 if item.person else kinds.KINDS[item.kind].half_width)


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


def landscape(build: Builder, scene: Scene, rng: Rng, scale: float) -> None:
    """Hills or mountains on the horizon, a few far trees, small things in the grass. All sizes follow `scale`."""
    build.place((0.0, 0.0, 0.0), scale=scale)
    build.shadow = False
    hills = {
        "meadow": ("hill_a", "hill_b"),
        "sand": ("dune", "dune"),
        "snow": ("snow_hill", "snow_hill"),
        "tiles": ("hill_b", "hill_a"),
        "water": ("hill_b", "fir"),
    }[scene.ground]
    if scene.mountains:
        rock = "mountain_warm" if scene.ground == "sand" else "mountain"
        for x in np.linspace(-48, 48, 7) + rng.uniform(-6, 6, 7):
            high = rng.uniform(6, 13)
            build.frustum(
                (x, -0.5, -85), (x, high, -85), high * rng.uniform(1.0, 1.5), 0.02, rock, "mountain", pattern=SNOWCAP
            )
    for i, x in enumerate(np.linspace(-50, 50, 6) + rng.uniform(-6, 6, 6)):
        wide = rng.uniform(12, 22)
        build.ellipsoid((x, -0.6, -58 - 3 * (i % 4)), (wide, rng.uniform(2.0, 4.6), 9), hills[i % 2], "hill")
    if scene.ground in ("meadow", "snow", "tiles"):
        _far_trees(build, scene, rng, scale)
    if scene.ground == "meadow":
        _flowers(build, scene, rng)
    elif scene.ground in ("sand", "snow"):
        for _ in range(int(rng.integers(1, 4))):
            x, z = _open_spot(scene, rng)
            build.ellipsoid(
                (x, 0.0, z),
                (0.10, 0.06, 0.08),
                "stone_warm" if scene.ground == "sand" else "snow_hill",
                "rock" if scene.ground == "sand" else "earth",
            )


def _far_trees(build: Builder, scene: Scene, rng: Rng, scale: float) -> None:
    """Small trees well behind, to the sides; on paving also a fence now and then."""
    for _ in range(int(rng.integers(0, 5))):
        side = 1 if rng.random() < 0.5 else -1
        x, z = side * rng.uniform(2.5, 10.0), -rng.uniform(14, 26)
        grow = scale * rng.uniform(0.9, 1.3)
        if _hidden(scene, x * scale, z * scale, grow):
            continue  # no tree may seem to grow out of somebody's head
        build.place((x * scale, 0.0, z * scale), 0.0, grow)
        build.shadow = False
        if scene.ground == "snow" or rng.random() < 0.5:
            build.frustum((0, 0, 0), (0, 0.4, 0), 0.14, 0.12, "trunk", "tree")
            build.frustum((0, 0.3, 0), (0, 1.6, 0), 0.75, 0.05, "fir", "tree")
            build.frustum((0, 1.1, 0), (0, 2.4, 0), 0.5, 0.02, "fir", "tree")
        else:
            build.frustum((0, 0, 0), (0, 1.0, 0), 0.15, 0.12, "trunk", "tree")
            build.ellipsoid((0, 1.7, 0), (0.85, 0.9, 0.85), "leaf_dark", "tree")
    if scene.ground != "snow" and rng.random() < 0.25:
        for x in (-4.2, -2.1, 0.0, 2.1, 4.2):
            build.place((x * scale, 0.0, -7.5 * scale), 0.0, scale)
            build.shadow = False
            fence(build, {"body": "cream"}, rng)
    build.place((0.0, 0.0, 0.0), scale=scale)
    build.shadow = False


def _hidden(scene: Scene, x: float, z: float, half_width: float) -> bool:
    """Whether something at (x, z) overlaps a main thing as the camera sees them."""
    slope, reach = x / (scene.eye[2] - z), half_width / (scene.eye[2] - z)
    for item in scene.items:
        far = scene.eye[2] - item.position[2]
        if abs(item.position[0] / far - slope) < item_width(item) / far + reach:
            return True
    return False


def _flowers(build: Builder, scene: Scene, rng: Rng) -> None:
    """Tiny flowers and tufts in the grass."""
    colors = ("cream", "yellow", "pink", "red", "purple")
    first = colors[int(rng.integers(5))]
    for i in range(int(rng.integers(6, 12))):
        x, z = _open_spot(scene, rng)
        if i % 3 == 2:
            for dx in (-0.05, 0.0, 0.05):
                build.frustum((x + dx, 0, z), (x + 1.8 * dx, 0.16 - abs(dx), z), 0.022, 0.002, "leaf_dark", "grass")
            continue
        build.ellipsoid((x, 0.10, z), (0.055, 0.045, 0.055), first if i % 2 else "cream", "flower")
        build.ellipsoid((x, 0.125, z + 0.03), 0.024, "yellow" if first != "yellow" else "orange", "flower")


def _open_spot(scene: Scene, rng: Rng) -> tuple[float, float]:
    """A place on the visible ground, in the landscape's units, that no main thing covers."""
    scale = float(np.clip(scene.eye[2] / 5.5, 0.12, 1.6))
    for _ in range(8):
        z = rng.uniform(-6.0, 1.6)
        x = rng.uniform(-1, 1) * (5.5 - z) * 0.36
        gap = min(np.hypot(x * scale - i.position[0], z * scale - i.position[2]) - item_width(i) for i in scene.items)
        if gap > 0.25 * scale:
            break
    return float(x), float(z)


def make_sky(scene: Scene, rng: Rng) -> Sky:
    """Sun or moon on the side the light comes from, clouds, and stars at night."""
    side = 1 if scene.sun_turn > 0 else -1
    low, high, chance = {
        "morning": (0.08, 0.15, 0.55),
        "noon": (0.2, 0.26, 0.25),
        "dusk": (0.045, 0.10, 0.7),
        "night": (0.11, 0.17, 0.85),
    }[scene.light]
    disc = (side * float(rng.uniform(0.10, 0.27)), float(rng.uniform(low, high))) if rng.random() < chance else None
    clouds = []
    for _ in range(int(rng.integers(1, 4)) if scene.light != "night" else int(rng.integers(0, 2))):
        x, y, size = rng.uniform(-0.36, 0.36), rng.uniform(0.10, 0.21), rng.uniform(0.045, 0.08)
        clouds.append((x, y, size, size * 0.42))
        for reach in (-0.8, 0.75, 1.3)[: int(rng.integers(2, 4))]:
            clouds.append(
                (x + reach * size, y - 0.1 * size, size * rng.uniform(0.55, 0.8), size * rng.uniform(0.24, 0.34))
            )
    stars = []
    if scene.light == "night":
        stars = [(rng.uniform(-0.38, 0.38), rng.uniform(0.07, 0.36), rng.uniform(0.0028, 0.0042)) for _ in range(22)]
    return Sky(disc, np.array(clouds, np.float32).reshape(-1, 4), np.array(stars, np.float32).reshape(-1, 3))
