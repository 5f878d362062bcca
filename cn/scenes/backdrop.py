"""What lies behind the main things: a property of the scene, so that the image and the caption agree."""

import numpy as np

from cn.scenes.scene import Scene

BACKDROPS: dict[str, dict[str, float]] = {
    "meadow": {"hills": 0.45, "lake": 0.25, "village": 0.30},
    "sand": {"hills": 0.30, "sea": 0.50, "cliffs": 0.20},
    "snow": {"hills": 0.65, "village": 0.35},
    "tiles": {"hills": 0.55, "city": 0.45},
    "water": {"hills": 0.65, "village": 0.35},
    "field": {"hills": 0.55, "village": 0.45},
    "street": {"houses": 0.65, "city": 0.35},
    "forest": {"trees": 1.0},
    "room": {"wall": 1.0},
}
"""Per ground, what may lie behind, with shares."""


def backdrop(scene: Scene) -> str:
    """What lies behind the main things of `scene`: "mountains" or a name in `BACKDROPS`."""
    choices = BACKDROPS[scene.ground]
    if scene.mountains and "hills" in choices:
        return "mountains"
    draw = np.random.default_rng(np.random.SeedSequence([scene.seed, scene.index, 4])).random()
    for name, share in choices.items():
        draw -= share
        if draw < 0:
            return name
    return next(iter(choices))
