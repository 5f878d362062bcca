"""Roles of people with clothes by which they are recognized, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Role:
    """Garment, the choices of colors, and everything else that belongs to a role."""

    who: tuple[str, ...]
    garment: str
    top: tuple[str, ...]
    legs: tuple[str, ...]
    hat: str = "none"
    hat_color: tuple[str, ...] = ()
    accessory: str = ""
    accessory_color: tuple[str, ...] = ()
    pattern: str = "plain"
    beard: tuple[str, ...] = ("",)
    prop: str = ""
    """A pose of `POSES` that the role likes."""
    hair: str = ""
    shoes: str = "dark"


ADULTS = ("man", "woman")
EVERYONE = ("man", "woman", "boy", "girl")
ROLES: dict[str, Role] = {
    "cook": Role(ADULTS, "shirt", ("white", "white", "grey"), ("black", "grey"), "toque", ("white",), "apron",
                 ("white", "red", "blue", "green"), beard=("", "moustache")),
    "knight": Role(ADULTS, "coat", ("grey",), ("grey", "black"), "knight helmet", ("grey",), "cape",
                   ("red", "blue", "purple", "green"), prop="fencing"),
    "wizard": Role(("man",), "robe", ("purple", "blue", "teal", "green", "red"), ("black",), "pointed",
                   ("purple", "blue", "teal", "green", "red"), pattern="dots", beard=("long beard",), hair="hair_grey"),
    "witch": Role(("woman", "girl"), "robe", ("black", "purple", "green"), ("black",), "pointed",
                  ("black", "purple", "green"), hair="hair_ginger"),
    "astronaut": Role(EVERYONE, "jacket", ("white", "orange"), (), "space helmet", ("white",)),
    "farmer": Role(ADULTS, "shirt", ("red", "orange", "green", "yellow"), ("blue",), "straw", (), pattern="checks",
                   beard=("", "beard"), shoes="brown"),
    "police officer": Role(ADULTS, "jacket", ("blue",), ("blue", "black"), "peaked", ("blue", "black"), "tie",
                           ("black",), prop="saluting"),
    "firefighter": Role(ADULTS, "coat", ("yellow", "red", "orange"), ("black", "grey"), "helmet", ("red", "yellow"),
                        shoes="black"),
    "king": Role(("man",), "robe", ("red", "purple", "blue", "green"), ("white",), "crown", (), "cape",
                 ("red", "purple", "blue"), beard=("beard", "moustache")),
    "queen": Role(("woman",), "robe", ("red", "purple", "blue", "pink", "green"), ("white",), "crown", (), "cape",
                  ("red", "purple", "blue")),
    "clown": Role(EVERYONE, "jacket", ("yellow", "orange", "green", "purple", "blue", "pink"),
                  ("red", "green", "blue", "purple"), "party", ("green", "blue", "purple", "yellow"), pattern="dots",
                  hair="wig", shoes="red"),
    "pirate": Role(EVERYONE, "shirt", ("red", "blue", "black"), ("black", "brown", "grey"), "pirate", ("black",),
                   pattern="stripes", beard=("", "beard"), prop="telescope"),
    "ballerina": Role(("woman", "girl"), "dress", ("pink", "white", "purple", "teal", "red"), ("white",), "none",
                      prop="twirling", shoes="pink"),
    "doctor": Role(ADULTS, "coat", ("white",), ("blue", "teal", "grey", "green")),
    "superhero": Role(EVERYONE, "jumper", ("blue", "red", "green", "purple", "teal"), (), "none", (), "cape",
                      ("red", "yellow", "blue", "purple", "orange"), prop="flexing", shoes="red"),
    "football player": Role(EVERYONE, "shorts", ("red", "blue", "yellow", "green", "orange"),
                            ("white", "black", "blue"), prop="kicking", shoes="black"),
}  # fmt: skip
"""Name → role. No choice of colors for the legs: those of the top."""
