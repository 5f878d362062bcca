"""The one table of ADE20K classes that the scenes use: word → id, 1 to 150 (the palette's index plus one; 0 is none).

ADE20K has no snow: a snowy ground is `earth` (14). A mug is a `pot`, a snowman a `sculpture`, a balloon a
`ball`, toys without a class of their own (cone, rocket) are a `plaything`, a palm is a `palm` and any other tree
a `tree`, a raft is a `pier`.
"""

CLASSES: dict[str, int] = {
    "building": 2,
    "sky": 3,
    "floor": 4,
    "tree": 5,
    "window": 9,
    "grass": 10,
    "person": 13,
    "earth": 14,
    "door": 15,
    "table": 16,
    "mountain": 17,
    "plant": 18,
    "chair": 20,
    "car": 21,
    "water": 22,
    "house": 26,
    "sea": 27,
    "fence": 33,
    "rock": 35,
    "lamp": 37,
    "box": 42,
    "sand": 47,
    "flower": 67,
    "book": 68,
    "hill": 69,
    "bench": 70,
    "palm": 73,
    "boat": 77,
    "tower": 85,
    "streetlight": 88,
    "plaything": 109,
    "ball": 120,
    "pot": 126,
    "animal": 127,
    "sculpture": 133,
    "pier": 141,
}
