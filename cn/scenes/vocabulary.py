"""The words of the captions: synonyms for people, clothes, poses, grounds and lights, as data.

What people do is in `people_words`, the words of things are in `thing_words`. The bundled text encoder was trained on
exactly these words, so their spelling ("grey", "chequered") must stay.
"""

from cn.scenes.thing_words import OF_A_PART as OF_A_PART
from cn.scenes.thing_words import PLURAL as PLURAL
from cn.scenes.thing_words import THINGS as THINGS

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
    "sand": ("on sand", "on the sand", "on sand", "on a sandy beach", "on sandy ground"),
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
    "street": ("on the street", "on a street", "on the road", "in a street", "in town", "on the asphalt"),
    "forest": ("in the forest", "in the woods", "in a forest", "on the forest floor", "in the wood"),
    "field": ("on a field in autumn", "on a bare field", "on a ploughed field", "on fallen leaves", "in autumn"),
    "room": ("in a room", "indoors", "on a wooden floor", "in a room with a window", "inside a house"),
}
PLACE: dict[str, tuple[str, ...]] = {
    "meadow": ("a meadow", "a grassy field", "a green meadow"),
    "sand": ("a sandy beach", "a sandy place"),
    "snow": ("a snowy field", "a snowy landscape", "a snow-covered field"),
    "tiles": ("a tiled floor", "a chequered floor"),
    "raft": ("a wooden jetty", "a raft on a lake"),
    "water": ("a lake", "calm water", "the sea"),
    "street": ("a street", "a road in town", "a city street"),
    "forest": ("a forest", "the woods"),
    "field": ("a field in autumn", "a bare field", "an autumn landscape"),
    "room": ("a room", "a room with a wooden floor"),
}
BACKDROP: dict[str, tuple[str, ...]] = {
    "mountains": ("mountains in the distance", "mountains behind"),
    "hills": ("hills in the distance",),
    "lake": ("a lake in the distance",),
    "village": ("a village in the distance", "houses in the distance"),
    "sea": ("the sea in the distance", "the sea behind"),
    "cliffs": ("cliffs in the distance",),
    "city": ("a city in the distance",),
    "houses": ("houses in the background", "a row of houses behind"),
    "trees": ("trees all around", "trees behind"),
    "wall": ("a window in the wall behind",),
}
"""What `backdrop.backdrop` names."""
WEATHER: dict[str, tuple[str, ...]] = {
    "clear": ("",),
    "cloudy": ("under a cloudy sky", "under heavy clouds", "on a cloudy day", "on a dull day", "on an overcast day"),
    "fog": ("in fog", "in the fog", "in thick fog", "in mist", "on a foggy day", "on a misty day"),
    "rain": ("in the rain", "in the rain", "in pouring rain", "on a rainy day", "while it rains"),
    "snowfall": ("in falling snow", "while it snows", "in a snowfall", "as snow falls", "with snow falling"),
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
# In a room and under clouds nothing may be said of the sun, the moon, the stars or a clear sky.
LIGHT_PLAIN: dict[str, tuple[str, ...]] = {
    "morning": ("in the morning", "in the morning", "early in the morning"),
    "noon": ("at noon", "by day", "in daylight", "at midday"),
    "dusk": ("at dusk", "in the evening", "in the evening light"),
    "night": ("at night", "at night", "after dark"),
}
MOOD_PLAIN: dict[str, tuple[str, ...]] = {
    "morning": ("a morning scene", "a gentle morning scene"),
    "noon": ("a daytime scene", "a scene by day"),
    "dusk": ("a dusk scene", "an evening scene"),
    "night": ("a night scene", "a quiet night scene"),
}
