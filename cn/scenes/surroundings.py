"""Where there is room around the main things for what surrounds them."""

import numpy as np

from cn.scenes import kinds
from cn.scenes.geometry import Rng
from cn.scenes.scene import Item, Scene


def item_width(item: Item) -> float:
    """Half the width of an item, meters."""
    return item.scale * (0.45 if item.person else kinds.KINDS[item.kind].half_width)


def back_of(scene: Scene) -> float:
    """The z of the rearmost point of all main things, meters; not above 0."""
    depths = [i.scale * (0.6 if i.person else max(kinds.KINDS[i.kind].half_depth, item_width(i))) for i in scene.items]
    table = [scene.table.position[2] - 0.6] if scene.table else []
    return min([0.0, *table, *(i.position[2] - deep for i, deep in zip(scene.items, depths, strict=True))])


def hidden(scene: Scene, x: float, z: float, half_width: float) -> bool:
    """Whether something at (x, z) overlaps a main thing as the camera sees them."""
    slope, reach = x / (scene.eye[2] - z), half_width / (scene.eye[2] - z)
    for item in scene.items:
        far = scene.eye[2] - item.position[2]
        if abs(item.position[0] / far - slope) < item_width(item) / far + reach:
            return True
    return False


def open_spot(scene: Scene, rng: Rng) -> tuple[float, float]:
    """A place on the visible ground, in the landscape's units, that no main thing covers."""
    scale = float(np.clip(scene.eye[2] / 5.5, 0.12, 1.6))
    for _ in range(8):
        z = rng.uniform(-6.0, 1.6)
        x = rng.uniform(-1, 1) * (5.5 - z) * 0.36
        gap = min(np.hypot(x * scale - i.position[0], z * scale - i.position[2]) - item_width(i) for i in scene.items)
        if gap > 0.25 * scale:
            break
    return float(x), float(z)
