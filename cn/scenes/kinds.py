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
COATS = ("brown", "black", "white", "grey", "orange")
PATCHED = ("white", "white", "black", "brown")
PIGS = ("pink", "pink", "pink", "brown", "black")
ELEPHANTS = ("grey", "grey", "grey", "brown", "pink")
BEARS = ("brown", "brown", "white", "black")
FOXES = ("orange", "orange", "orange", "white", "grey")
HENS = ("white", "brown", "orange", "black")
DUCKS = ("yellow", "white", "brown", "grey")
OWLS = ("brown", "grey", "white", "orange")
SHELLS = ("green", "brown", "orange", "teal", "purple")
STONES = ("grey", "white", "brown", "pink")
IRON = ("black", "green", "grey", "red", "blue")
WOODS = ("brown", "white", "red", "black", "blue", "green")
BLOSSOMS = ("pink", "red", "yellow", "white", "orange")
BODY = (("body", ALL),)
BRIGHT_BODY = (("body", BRIGHT),)

# Grounds, by what fits on them.
GREEN = ("meadow", "forest", "field")
FARM = ("meadow", "field", "snow")
PLAINS = ("meadow", "sand", "field")
BARE = (*FARM, "sand")
WILD = (*FARM, "forest")
NATURE = (*BARE, "forest")
SITES = (*BARE, "street")
PAVED = ("tiles", "street")
OPEN = (*BARE, *PAVED)
LAND = (*OPEN, "forest")
ANY = (*LAND, "room", "water")


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
    long: bool = False
    """Its nose points to +z and it is seen from the side, turned either way; `half_width` is half its length."""


_DRIVES, _WALKS = ((0.85, 1.95), True), ((0.55, 1.35), True)

KINDS: dict[str, Kind] = {
    # buildings and landmarks
    "house": Kind(1.15, 1.0, 2.35, (("walls", ALL[:11]), ("roof", ALL)), SITES, 3.6, 0, (-0.75, 0.75)),
    "tower": Kind(0.82, 0.8, 2.75, (("walls", WALLS), ("roof", BRIGHT[:8])), (*SITES, "forest"), 1.8, 0),
    "church": Kind(0.8, 1.3, 3.0, (("walls", WALLS), ("roof", ALL)), (*SITES, "tiles"), 1.7, 0, (-0.9, 0.9)),
    "castle": Kind(1.4, 0.95, 2.65, (("walls", WALLS), ("roof", BRIGHT[:8])), SITES, 1.8, 0, (-0.5, 0.5)),
    "barn": Kind(1.1, 1.0, 1.85, (("walls", ALL[:11]), ("roof", ALL)), FARM, 2.0, 0, (-0.8, 0.8)),
    "lighthouse": Kind(0.6, 0.6, 2.75, (("bands", BRIGHT[:8]),), ("sand", "water", "meadow"), 2.2, 0, (-0.3, 0.3)),
    "windmill": Kind(1.0, 0.7, 2.8, (("walls", WALLS), ("roof", BRIGHT[:8])), FARM, 2.2, 0),
    "tent": Kind(1.05, 1.0, 1.65, BRIGHT_BODY, NATURE, 1.7, 0),
    "bridge": Kind(1.3, 0.9, 1.05, BODY, GREEN, 3.2, 0, (-0.45, 0.45)),
    "well": Kind(0.75, 0.65, 1.78, (("roof", ALL),), ("meadow", "sand", "tiles", "field"), 1.3, 0),
    "fountain": Kind(1.02, 1.02, 1.66, (("basin", STONES),), ("tiles", "meadow", "street"), 2.0, 0),
    "statue": Kind(0.5, 0.46, 2.25, (("body", (*STONES, "black", "green")),), ("tiles", "meadow", "street"), 1.8, 0),
    "signpost": Kind(0.75, 0.2, 1.86, BODY, LAND, 1.0, 0, (-0.5, 0.5)),
    "street lamp": Kind(0.3, 0.3, 2.45, (("body", IRON),), (*OPEN, "water"), 1.5, 0),
    "campfire": Kind(0.6, 0.6, 0.92, (), NATURE, 1.2, 0.4),
    # plants
    "tree": Kind(0.95, 0.9, 2.7, (("leaves", LEAVES),), (*WILD, *PAVED), 2.8, 0, (-3, 3)),
    "fir": Kind(0.8, 0.8, 2.55, (("leaves", ("green", "green", "teal")),), WILD, 1.9, 0),
    "palm": Kind(0.95, 0.9, 2.4, (), ("sand", "water"), 2.6, 0, (-0.3, 0.3)),
    "cactus": Kind(0.6, 0.25, 1.68, (("flowers", BLOSSOMS),), ("sand",), 2.4, 0.8),
    "sunflower": Kind(0.48, 0.25, 1.95, (), ("meadow", "field"), 2.2, 0.4, (-0.3, 0.3)),
    "bush": Kind(0.75, 0.6, 0.95, (("flowers", BRIGHT),), (*GREEN, *PAVED), 1.2, 0.3, (-3, 3)),
    "mushroom": Kind(0.4, 0.4, 0.97, (("cap", ALL[:11]),), WILD, 1.0, 0.9),
    "flower": Kind(
        0.34, 0.2, 1.25, (("petals", BRIGHT),), ("meadow", "field", "forest", "tiles"), 0.9, 0.9, (-0.3, 0.3)
    ),
    "rock": Kind(0.55, 0.4, 0.55, (), NATURE, 0.5, 0.2),
    "log": Kind(0.8, 0.3, 0.7, (), WILD, 0.9, 0.2, (-0.9, 0.9)),
    "pumpkin": Kind(0.38, 0.38, 0.68, (), (*GREEN, *PAVED, "room"), 0.8, 1.1, (-0.4, 0.4)),
    # vehicles
    "car": Kind(1.15, 0.6, 1.2, BODY, OPEN, 3.4, 0, (0.95, 2.0), True),
    "van": Kind(1.2, 0.6, 1.45, BODY, OPEN, 1.5, 0, *_DRIVES),
    "bus": Kind(1.65, 0.6, 1.47, BODY, ("street", "tiles", "meadow", "snow"), 1.9, 0, *_DRIVES),
    "truck": Kind(1.62, 0.6, 1.72, (("cab", ALL), ("load", ALL)), OPEN, 1.8, 0, *_DRIVES),
    "tractor": Kind(1.1, 0.6, 1.52, (("body", ALL[:9]),), (*FARM, "street"), 1.8, 0, *_DRIVES),
    "train": Kind(1.5, 0.6, 1.75, (("body", ALL), ("trim", ALL[:3])), BARE, 1.6, 0, *_DRIVES),
    "bicycle": Kind(0.95, 0.25, 1.1, BODY, (*GREEN, *PAVED), 1.5, 0, (1.25, 1.9), True),
    "airplane": Kind(
        1.3,
        1.2,
        1.4,
        (("body", ALL), ("wings", BRIGHT)),
        ("meadow", "sand", "snow", "street"),
        1.7,
        0,
        (0.3, 0.9),
        True,
    ),
    "hot-air balloon": Kind(0.9, 0.9, 3.3, BRIGHT_BODY, BARE, 1.8, 0),
    "boat": Kind(0.78, 0.35, 2.05, (("hull", ALL), ("sail", BRIGHT)), ("water",), 9, 0, (-0.4, 0.4)),
    "rocket": Kind(0.62, 0.62, 2.02, (("body", ALL[:11]), ("fins", BRIGHT[:8])), ANY, 1.2, 0, (-0.5, 0.5)),
    # animals
    "cat": Kind(0.4, 0.35, 0.93, (("body", CATS),), ANY, 1.2, 0.8, (-0.7, 0.7)),
    "dog": Kind(0.64, 0.6, 0.98, (("body", DOGS),), ANY, 1.6, 0.6, (0.5, 1.3), True),
    "horse": Kind(1.0, 0.4, 1.82, (("body", COATS),), BARE, 1.7, 0, *_WALKS),
    "zebra": Kind(1.0, 0.4, 1.82, (), PLAINS, 1.2, 0, *_WALKS),
    "cow": Kind(1.05, 0.4, 1.45, (("body", PATCHED),), FARM, 1.7, 0, *_WALKS),
    "sheep": Kind(0.65, 0.4, 1.08, (("body", PATCHED),), FARM, 1.5, 0.3, *_WALKS),
    "pig": Kind(0.75, 0.35, 0.86, (("body", PIGS),), ("meadow", "field"), 1.5, 0.3, *_WALKS),
    "giraffe": Kind(0.95, 0.4, 2.7, (), PLAINS, 1.6, 0, (0.5, 1.3), True),
    "elephant": Kind(1.2, 0.6, 1.6, (("body", ELEPHANTS),), PLAINS, 1.7, 0, (0.4, 1.2), True),
    "bear": Kind(0.95, 0.45, 1.26, (("body", BEARS),), ("meadow", "snow", "forest"), 1.7, 0, (0.35, 1.1), True),
    "fox": Kind(0.9, 0.4, 1.02, (("body", FOXES),), WILD, 1.4, 0.3, *_WALKS),
    "rabbit": Kind(0.35, 0.35, 1.18, (("body", CATS[1:]),), (*GREEN, "snow", "room", "tiles"), 1.0, 0.9),
    "turtle": Kind(
        0.7, 0.5, 0.6, (("shell", SHELLS),), ("meadow", "sand", "water", "tiles"), 0.6, 0.8, (0.4, 1.2), True
    ),
    "chicken": Kind(0.45, 0.3, 0.99, (("body", HENS),), ("meadow", "field", "street"), 1.1, 0.8, (0.5, 1.3), True),
    "duck": Kind(0.45, 0.3, 0.77, (("body", DUCKS),), ("meadow", "water"), 1.0, 1.0, (0.5, 1.3), True),
    "owl": Kind(0.3, 0.3, 1.3, (("body", OWLS),), WILD, 1.1, 0.5, (-0.5, 0.5)),
    "bird": Kind(0.42, 0.3, 0.72, (("body", BRIGHT[:8]),), ANY, 0.5, 1.0, (0.4, 1.2), True),
    "penguin": Kind(0.42, 0.3, 1.22, (("scarf", BRIGHT[:8]),), ("snow",), 2.2, 1.2, (-0.5, 0.5)),
    "snowman": Kind(0.6, 0.5, 1.9, (("scarf", BRIGHT[:8]), ("hat", TOP_HATS)), ("snow",), 7, 0),
    # furniture
    "table": Kind(0.75, 0.5, 0.78, BODY, ANY, 1.2, 0, (-0.4, 0.4)),
    "chair": Kind(0.3, 0.3, 1.02, BODY, ANY, 1.0, 0, (-0.9, 0.9)),
    "bench": Kind(0.75, 0.3, 0.92, BODY, (*LAND, "water"), 1.3, 0, (-0.5, 0.5)),
    "sofa": Kind(1.05, 0.45, 1.05, (("body", ALL), ("cushions", BRIGHT)), ("room", "tiles"), 2.4, 0, (-0.5, 0.5)),
    "bed": Kind(1.15, 0.6, 1.08, (("blanket", ALL),), ("room", "tiles"), 2.0, 0, (-0.55, 0.35)),
    "bookshelf": Kind(0.62, 0.22, 1.82, (("body", WOODS),), ("room", "tiles"), 2.2, 0, (-0.4, 0.4)),
    "clock": Kind(0.32, 0.25, 1.95, (("body", WOODS),), ("room", "tiles"), 1.7, 0, (-0.4, 0.4)),
    "umbrella": Kind(0.98, 0.98, 1.96, BRIGHT_BODY, ("sand", "meadow", "tiles", "water"), 1.7, 0, (-3, 3)),
    "ladder": Kind(0.36, 0.42, 1.6, BODY, ("room", "meadow", "field", *PAVED), 0.8, 0, (-0.8, 0.8)),
    "lamp": Kind(0.34, 0.34, 0.82, BRIGHT_BODY, ANY, 0, 1.4),
    # small things
    "mug": Kind(0.33, 0.25, 0.47, BODY, ANY, 0, 1.6, (-0.5, 0.5)),
    "teapot": Kind(0.5, 0.3, 0.63, BODY, ANY, 0, 1.3, (-0.4, 0.4)),
    "bottle": Kind(0.18, 0.18, 0.87, BODY, ANY, 0, 1.1),
    "bowl": Kind(0.47, 0.47, 0.62, (("bowl", ALL),), ANY, 0, 1.2, (-0.3, 0.3)),
    "apple": Kind(0.28, 0.28, 0.58, (("body", ("red", "green", "yellow")),), ANY, 0, 1.0, (-0.5, 0.5)),
    "cake": Kind(0.44, 0.44, 0.72, (("frosting", BRIGHT),), ANY, 0, 1.2),
    "candle": Kind(0.3, 0.26, 0.86, BODY, ANY, 0, 1.1, (-0.5, 0.5)),
    "lantern": Kind(0.26, 0.26, 0.85, BODY, ANY, 0.5, 1.1),
    "vase": Kind(0.42, 0.25, 1.2, (("vase", ALL), ("petals", BRIGHT)), ANY, 0.4, 1.4, (-0.3, 0.3)),
    "plant": Kind(0.36, 0.36, 1.02, (("pot", ALL),), ANY, 0.4, 1.2),
    "book": Kind(0.36, 0.27, 0.18, BODY, ANY, 0, 1.3, (-0.6, 0.6)),
    "ball": Kind(0.3, 0.3, 0.6, BODY, ANY, 1.0, 1.4),
    "box": Kind(0.32, 0.32, 0.66, BODY, ANY, 0.9, 1.4, (-0.7, 0.7)),
    "cone": Kind(0.33, 0.33, 0.72, BODY, ANY, 0.7, 1.0),
    "balloon": Kind(0.28, 0.26, 1.5, BODY, ANY, 1.0, 0.6),
    "kite": Kind(0.8, 0.25, 2.35, (("body", BRIGHT), ("tail", BRIGHT)), BARE, 1.4, 0, (-0.4, 0.4)),
    "teddy bear": Kind(0.38, 0.42, 1.04, (("body", COATS), ("bow", BRIGHT[:8])), ANY, 0.7, 1.3, (-0.5, 0.5)),
    "robot": Kind(0.58, 0.25, 1.7, BODY, ANY, 1.1, 0.7, (-0.5, 0.5)),
    "drum": Kind(0.39, 0.39, 0.6, BODY, ANY, 0.4, 1.1),
    "guitar": Kind(0.4, 0.4, 1.9, BODY, ANY, 1.0, 0.3, (-0.5, 0.5)),
    "crate": Kind(0.4, 0.4, 0.65, (), ANY, 0.5, 0.4, (-0.7, 0.7)),
    "barrel": Kind(0.38, 0.38, 0.93, (("body", ("brown", "brown", *ALL)),), (*LAND, "water"), 0.9, 0.4),
    "bucket": Kind(0.34, 0.33, 0.82, BODY, (*LAND, "water"), 0.5, 0.9, (-0.5, 0.5)),
    "suitcase": Kind(0.46, 0.16, 0.73, BODY, ANY, 0.9, 0.9, (-0.6, 0.6)),
    "backpack": Kind(0.38, 0.28, 0.84, BODY, ANY, 0.8, 0.9, (-0.6, 0.6)),
    "sandcastle": Kind(0.66, 0.62, 1.28, (("flag", BRIGHT),), ("sand",), 1.6, 1.4, (-0.4, 0.4)),
}

TALL = (
    *("house", "tower", "church", "castle", "barn", "lighthouse", "windmill", "tent", "fountain", "street lamp"),
    *("tree", "fir", "palm", "car", "van", "bus", "truck", "tractor", "train", "airplane", "hot-air balloon", "rocket"),
    *("giraffe", "elephant", "bookshelf"),
)
"""Things that may stand well behind the others."""

FLOATING = ("boat", "duck")
"""Things that are in the water itself when the ground is water."""

NOT_ON_TABLES = (
    *(
        "rock",
        "balloon",
        "dog",
        "campfire",
        "cactus",
        "sunflower",
        "bush",
        "log",
        "sheep",
        "pig",
        "fox",
        "chicken",
        "owl",
    ),
    *("penguin", "robot", "guitar", "crate", "barrel", "bucket", "suitcase", "backpack", "sandcastle"),
)

LAMPS: dict[str, tuple[float, float, float]] = {
    "street lamp": (2.1, 0.0, 3.4),
    "lamp": (0.45, 0.0, 2.4),
    "lantern": (0.35, 0.0, 2.0),
    "candle": (0.75, 0.0, 1.8),
    "campfire": (0.6, 0.0, 3.2),
    "lighthouse": (2.2, 0.0, 2.6),
    "cake": (0.8, 0.0, 1.4),
    **dict.fromkeys(("house", "tower", "church", "castle", "barn", "windmill"), (0.7, 1.5, 1.8)),
    **dict.fromkeys(("car", "van", "bus", "truck", "train"), (0.4, 1.7, 1.3)),
}
"""What shines after dark: height, distance in front and reach of its light, meters."""

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
