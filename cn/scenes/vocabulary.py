"""The words of the captions: synonyms for people, clothes, poses, things, grounds and lights, as data.

What people do is in `people_words`. In THINGS, {part} is the color of that part, with its article after "with" or
"in"; {part_bare} is always without. The bundled text encoder was
trained on exactly these words, so their spelling ("grey", "chequered") must stay.
"""

WHO: dict[str, tuple[str, ...]] = {
    "man": ("man", "man", "man", "man", "person", "figure", "gentleman"),
    "woman": ("woman", "woman", "woman", "woman", "person", "figure", "lady"),
    "boy": ("boy", "boy", "boy", "boy", "child", "little boy", "kid"),
    "girl": ("girl", "girl", "girl", "girl", "child", "little girl", "kid"),
}
PRONOUN = {
    "man": "him",
    "gentleman": "him",
    "boy": "him",
    "little boy": "him",
    "woman": "her",
    "lady": "her",
    "girl": "her",
    "little girl": "her",
}

GARMENT: dict[str, tuple[str, ...]] = {
    "coat": ("coat", "coat", "long coat"),
    "jacket": ("jacket",),
    "jumper": ("jumper", "sweater", "pullover"),
    "dress": ("dress", "dress", "long dress"),
    "shirt": ("shirt", "T-shirt", "top"),
    "robe": ("robe", "long robe"),
}
HAT: dict[str, tuple[str, ...]] = {
    "beanie": ("hat", "woolly hat", "beanie"),
    "brim": ("hat", "sun hat"),
    "cap": ("cap", "cap", "baseball cap"),
    "peaked": ("cap", "peaked cap"),
    "top hat": ("top hat", "hat"),
    "party": ("party hat", "pointed hat"),
    "bow": ("bow", "hair bow"),
    "crown": ("crown", "golden crown"),
    "straw": ("straw hat",),
    "toque": ("chef's hat",),
    "pointed": ("pointed hat", "pointed hat", "hat"),
    "helmet": ("helmet",),
    "knight helmet": ("helmet",),
    "space helmet": ("helmet", "space helmet"),
    "pirate": ("pirate hat", "hat"),
}
HAIR = {
    "hair_black": "black hair",
    "hair_brown": "brown hair",
    "hair_blond": "blond hair",
    "hair_ginger": "red hair",
    "hair_grey": "grey hair",
    "wig": "red hair",
}
TROUSERS = ("trousers", "trousers", "pants")

SEAT = {"chair": ("chair",), "bench": ("bench", "park bench"), "box": ("box", "cube")}

THINGS: dict[str, tuple[str, ...]] = {
    "house": (
        "{walls} house with {roof} roof",
        "{walls} house with {roof} roof",
        "small {walls} house with {roof} roof",
        "{walls} cottage with {roof} roof",
    ),
    "tower": ("{walls} tower with {roof} roof", "{walls} castle tower with {roof} roof"),
    "tree": ("{leaves} tree", "tree with {leaves_bare} leaves", "{leaves} leafy tree"),
    "fir": ("{leaves} fir tree", "{leaves} fir", "{leaves} pine tree"),
    "palm": ("palm tree", "palm", "leaning palm tree"),
    "car": ("{body} car", "{body} car", "little {body} car", "{body} toy car"),
    "snowman": (
        "snowman with {scarf} scarf and {hat} hat",
        "snowman with {scarf} scarf and {hat} hat",
        "snowman in {hat} hat and {scarf} scarf",
    ),
    "table": ("{body} table", "{body} wooden table"),
    "chair": ("{body} chair", "empty {body} chair"),
    "bench": ("{body} bench", "{body} park bench"),
    "street lamp": ("{body} street lamp", "{body} lamp post", "{body} street light"),
    "lamp": ("{body} lamp", "lamp with {body} shade", "{body} table lamp"),
    "mug": ("{body} mug", "{body} cup", "{body} mug of cocoa"),
    "ball": ("{body} ball",),
    "box": ("{body} box", "{body} cube"),
    "cone": ("{body} cone",),
    "gift": (
        "{body} box with {ribbon} ribbon",
        "{body} present with {ribbon} ribbon",
        "{body} gift box with {ribbon} bow",
    ),
    "balloon": ("{body} balloon", "{body} balloon on a string"),
    "mushroom": ("{cap} mushroom", "mushroom with {cap} cap", "{cap} toadstool"),
    "flower": ("{petals} flower", "big {petals} flower", "flower with {petals_bare} petals"),
    "rock": ("rock", "grey rock", "boulder"),
    "boat": (
        "{hull} boat with {sail} sail",
        "{hull} sailing boat with {sail} sail",
        "little {hull} boat with {sail} sail",
    ),
    "rocket": (
        "{body} rocket with {fins_bare} fins",
        "{body} toy rocket with {fins_bare} fins",
        "{body} and {fins_bare} rocket",
    ),
    "cat": ("{body} cat", "{body} cat", "{body} kitten"),
    "dog": ("{body} dog", "{body} dog", "{body} puppy"),
    "book": ("{body} book",),
    "plant": ("green plant in {pot} pot", "potted plant in {pot} pot", "plant in {pot} flowerpot"),
}
PLURAL = {"box": "boxes"}

GROUND: dict[str, tuple[str, ...]] = {
    "meadow": (
        "on grass",
        "on the grass",
        "on a meadow",
        "in a meadow",
        "on a green meadow",
        "in a grassy field",
        "on a lawn",
    ),
    "sand": ("on sand", "on the sand", "on sand", "on a sandy beach", "in the desert", "on sandy ground"),
    "snow": ("on snow", "in the snow", "on snow", "on a snowy field", "in fresh snow", "on snowy ground"),
    "tiles": ("on tiles", "on a tiled floor", "on a chequered floor", "on checkered tiles", "on a checkerboard floor"),
    "raft": (
        "on a wooden jetty",
        "on a jetty by the water",
        "on a raft on a lake",
        "on a wooden raft on the water",
        "on a wooden deck over the water",
        "on a pier on the lake",
    ),
    "water": ("on water", "on the water", "on a lake", "on calm water", "at sea"),
}
PLACE: dict[str, tuple[str, ...]] = {
    "meadow": ("a meadow", "a grassy field", "a green meadow"),
    "sand": ("a sandy beach", "a sandy place", "a desert"),
    "snow": ("a snowy field", "a snowy landscape", "a snow-covered field"),
    "tiles": ("a tiled floor", "a chequered floor"),
    "raft": ("a wooden jetty", "a raft on a lake"),
    "water": ("a lake", "calm water", "the sea"),
}
LIGHT: dict[str, tuple[str, ...]] = {
    "morning": (
        "in the morning",
        "in the morning",
        "in the morning light",
        "on a soft morning",
        "early in the morning",
        "at sunrise",
    ),
    "noon": (
        "at noon",
        "by day",
        "in daylight",
        "on a sunny day",
        "in bright daylight",
        "under a clear blue sky",
        "at midday",
    ),
    "dusk": (
        "at dusk",
        "at dusk",
        "in the evening light",
        "at sunset",
        "in the evening",
        "under an orange evening sky",
    ),
    "night": ("at night", "at night", "by moonlight", "under the moon", "on a clear night", "on a starry night"),
}
MOOD: dict[str, tuple[str, ...]] = {
    "morning": ("a morning scene", "a gentle morning scene", "morning light"),
    "noon": ("a sunny scene", "a bright daytime scene", "daylight"),
    "dusk": ("a dusk scene", "an evening scene", "a warm sunset scene"),
    "night": ("a night scene", "a quiet night scene", "night"),
}
