"""Named colors and the few fixed materials, as data. Values are sRGB; the renderer works in linear light."""

import numpy as np

# The names are words of the captions ("grey"), and must stay: the bundled weights were trained with them.
NAMED: dict[str, str] = {
    "red": "#d9302b",
    "orange": "#fb8517",
    "yellow": "#fbd030",
    "green": "#3fa845",
    "teal": "#16a79d",
    "blue": "#2d6ae0",
    "purple": "#7f45c0",
    "pink": "#f585b4",
    "brown": "#7a4828",
    "white": "#f6f3ec",
    "grey": "#8e949c",
    "black": "#36353d",
}
"""The twelve colors that a caption may name, easy to tell apart."""

MATERIALS: dict[str, str] = {
    "skin_a": "#f7cda8",
    "skin_b": "#e8ad80",
    "skin_c": "#b9784e",
    "skin_d": "#8c5738",
    "hair_black": "#2b2321",
    "hair_brown": "#6b3f22",
    "hair_blond": "#e2b552",
    "hair_ginger": "#c8602a",
    "hair_grey": "#b9b4ae",
    "eye": "#241c1c",
    "mouth": "#a33d3a",
    "cheek": "#ee9a88",
    "cheek_dark": "#a85f45",
    "mouth_open": "#6e2020",
    "eye_white": "#fdfdfb",
    "iris_brown": "#4a2c1a",
    "iris_blue": "#2f62a8",
    "iris_green": "#3a7a4a",
    "straw": "#e3c477",
    "gold": "#f2c230",
    "steel": "#b4bac4",
    "wig": "#e0422e",
    "wood": "#a9733f",
    "wood_dark": "#7a4d2a",
    "leaf": "#57a83c",
    "leaf_dark": "#2f7d46",
    "fir": "#2c7350",
    "palm": "#5fb04a",
    "trunk": "#80542f",
    "stone": "#9a9a9c",
    "stone_warm": "#b3a08b",
    "metal": "#5b616b",
    "dark": "#33343c",
    "tyre": "#2d2e34",
    "hub": "#c9ccd1",
    "glass": "#a9d3ea",
    "cream": "#f7ead0",
    "snow": "#f4f7fb",
    "carrot": "#f0812a",
    "coal": "#2a2a30",
    "hill_a": "#7fb35a",
    "hill_b": "#5d9a58",
    "dune": "#e0c182",
    "mountain": "#7d8796",
    "mountain_warm": "#9a8478",
    "snow_hill": "#e6eef6",
    "fur_brown": "#8d5833",
    "fur_black": "#3a3638",
    "fur_white": "#efe8dd",
    "fur_ginger": "#f08c32",
    "stalk": "#4f9a45",
    "bulb": "#ffe2a0",
    "window": "#ffd98a",
    "paper": "#fbf7ea",
    "hill_autumn": "#b98d4e",
    "autumn": "#c9762f",
    "lake": "#5fa9cf",
    "sea": "#2f8fb5",
    "cliff": "#b58f6f",
    "roof": "#b5533c",
    "roof_dark": "#6d5a58",
    "pavement": "#b9b4aa",
    "kerb": "#d3cfc6",
    "facade_a": "#d9b48c",
    "facade_b": "#e6d9c2",
    "facade_c": "#c98a72",
    "facade_d": "#b9c4c9",
    "facade_e": "#8f9cab",
    "facade_f": "#a9a29b",
    "facade_g": "#76879c",
    "wall_a": "#efe3cd",
    "wall_b": "#b9d0dc",
    "wall_c": "#c3d0b4",
    "wall_d": "#e3b9a2",
    "wall_e": "#d6d2d6",
    "bark": "#6a4a33",
    "bark_pale": "#a8977f",
    "pine": "#2b6a45",
    "moss": "#5c8a3f",
}
"""Colors that no caption names."""


def linear(name: str) -> np.ndarray:
    """A named color or material as linear RGB (3,), 0 to 1."""
    code = NAMED.get(name) or MATERIALS[name]
    srgb = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


LINEAR: dict[str, np.ndarray] = {name: linear(name) for name in (*NAMED, *MATERIALS)}
