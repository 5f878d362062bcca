"""What can stand in a scene, as data: sizes, colors, and the grounds it may stand on."""

from dataclasses import dataclass

ALL = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "white", "grey", "black")
# "grey", "jumper" and the other words of the captions must stay: the bundled weights were trained with them.
BRIGHT = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "white")
WALLS = ("grey", "white", "brown", "pink", "yellow", "orange")
LEAVES = ("green", "green", "green", "orange", "red", "yellow", "pink")
TOP_HATS = ("black", "red", "blue", "purple", "green", "brown")
CATS = ("orange", "black", "white", "grey", "brown")
DOGS = ("brown", "black", "white", "grey", "orange")
LAND = ("meadow", "sand", "snow", "tiles")
ANY = (*LAND, "water")


@dataclass(frozen=True)
class Kind:
    """Half extents and height in meters, the choices of color of each part, and the grounds it may stand on."""

    half_width: float
    half_depth: float
    height: float
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    grounds: tuple[str, ...]
    big: float
    """Relative frequency among people and big things; 0: never."""
    small: float
    """Relative frequency among small things and on tables; 0: never."""
    turns: tuple[float, float] = (-0.6, 0.6)
    """Range of headings."""


KINDS: dict[str, Kind] = {
    "house": Kind(1.15, 1.0, 2.1, (("walls", ALL[:11]), ("roof", ALL)), LAND, 3.6, 0, (-0.75, 0.75)),
    "tower": Kind(0.82, 0.8, 2.75, (("walls", WALLS), ("roof", BRIGHT[:8])), LAND, 2.1, 0),
    "tree": Kind(0.95, 0.9, 2.7, (("leaves", LEAVES),), LAND, 2.8, 0, (-3, 3)),
    "fir": Kind(0.8, 0.8, 2.55, (("leaves", ("green", "green", "teal")),), ("meadow", "snow", "tiles"), 1.9, 0),
    "palm": Kind(0.95, 0.9, 2.4, (), ("sand", "water"), 2.6, 0, (-0.3, 0.3)),
    "car": Kind(1.15, 0.6, 1.2, (("body", ALL),), LAND, 3.4, 0, (0.95, 2.0)),
    "snowman": Kind(0.6, 0.5, 1.9, (("scarf", BRIGHT[:8]), ("hat", TOP_HATS)), ("snow",), 8, 0),
    "table": Kind(0.75, 0.5, 0.78, (("body", ALL),), ANY, 1.2, 0, (-0.4, 0.4)),
    "chair": Kind(0.3, 0.3, 1.02, (("body", ALL),), ANY, 1.0, 0, (-0.9, 0.9)),
    "bench": Kind(0.75, 0.3, 0.92, (("body", ALL),), ANY, 1.3, 0, (-0.5, 0.5)),
    "street lamp": Kind(0.3, 0.3, 2.45, (("body", ("black", "green", "grey", "red", "blue")),), ANY, 1.5, 0),
    "lamp": Kind(0.34, 0.34, 0.82, (("body", BRIGHT),), ANY, 0, 1.6),
    "mug": Kind(0.33, 0.25, 0.47, (("body", ALL),), ANY, 0, 2.0, (-0.5, 0.5)),
    "ball": Kind(0.3, 0.3, 0.6, (("body", ALL),), ANY, 1.0, 1.6),
    "box": Kind(0.32, 0.32, 0.66, (("body", ALL),), ANY, 0.9, 1.5, (-0.7, 0.7)),
    "cone": Kind(0.33, 0.33, 0.72, (("body", ALL),), ANY, 0.7, 1.4),
    "balloon": Kind(0.28, 0.26, 1.5, (("body", ALL),), ANY, 1.0, 0.6),
    "mushroom": Kind(0.4, 0.4, 0.97, (("cap", ALL[:11]),), ("meadow", "snow", "sand", "tiles"), 1.0, 0.9),
    "flower": Kind(0.34, 0.2, 1.25, (("petals", BRIGHT),), LAND, 0.9, 0.9, (-0.3, 0.3)),
    "rock": Kind(0.55, 0.4, 0.55, (), LAND, 0.5, 0.2),
    "boat": Kind(0.78, 0.35, 2.05, (("hull", ALL), ("sail", BRIGHT)), ("water",), 9, 0, (-0.4, 0.4)),
    "rocket": Kind(0.62, 0.62, 2.02, (("body", ALL[:11]), ("fins", BRIGHT[:8])), ANY, 1.3, 0, (-0.5, 0.5)),
    "cat": Kind(0.4, 0.35, 0.93, (("body", CATS),), ANY, 1.1, 0.8, (-0.7, 0.7)),
    "dog": Kind(0.64, 0.6, 0.98, (("body", DOGS),), ANY, 1.6, 0.6, (0.5, 1.3)),
    "book": Kind(0.36, 0.27, 0.18, (("body", ALL),), ANY, 0, 1.5, (-0.6, 0.6)),
    "plant": Kind(0.36, 0.36, 1.02, (("pot", ALL),), ANY, 0.4, 1.3),
}

TALL = ("house", "tower", "tree", "fir", "palm", "car", "rocket", "street lamp")
"""Things that may stand well behind the others."""

SEATS = ("chair", "bench", "box")
WHO = ("man", "woman", "boy", "girl")
GARMENTS = {
    "man": ("coat", "jacket", "jumper", "shirt", "shirt", "shorts"),
    "woman": ("coat", "dress", "jumper", "jacket", "dress", "skirt", "shirt", "skirt"),
    "boy": ("coat", "jacket", "jumper", "shirt", "shorts", "shorts"),
    "girl": ("coat", "dress", "dress", "jumper", "skirt", "shorts"),
}
HAIR_STYLES = {
    "man": ("short", "short", "short", "bald", "curly", "spiky", "long"),
    "woman": ("long", "long", "bob", "bun", "ponytail", "afro", "short"),
    "boy": ("short", "short", "curly", "spiky"),
    "girl": ("long", "long", "pigtails", "ponytail", "bob", "curly"),
}
TROUSERS = ("blue", "black", "grey", "brown", "white", "green", "purple")
HAIR = ("hair_black", "hair_brown", "hair_blond", "hair_ginger", "hair_grey")
SKIN = ("skin_a", "skin_b", "skin_c", "skin_d")
CHILD_SCALE = 0.78
TABLE_TOP, TABLE_SCALE = 0.755, 0.60
RAFT_TOP = 0.16
"""Height of the planks that things stand on in a lake, meters."""
