"""Choose a scene: its ground and light, its people and things, their colors and poses."""

from dataclasses import replace

import numpy as np

from cn.scenes import kinds
from cn.scenes.choose_people import someone
from cn.scenes.geometry import Rng
from cn.scenes.groups import group
from cn.scenes.layout import compose
from cn.scenes.palette import Palette
from cn.scenes.scene import Draft, Item, Scene
from cn.scenes.weather import weathers_of

GROUND_NAMES = ("meadow", "sand", "snow", "tiles", "water", "street", "forest", "field", "room")
LIGHT_NAMES = ("morning", "noon", "dusk", "night")


def describe(seed: int, index: int) -> Scene:
    """Scene number `index` of the world `seed`; depends on nothing else."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    ground = str(rng.choice(GROUND_NAMES))
    light = str(rng.choice(LIGHT_NAMES))
    palette = Palette(rng, ground)
    draw = rng.random()
    table, together = None, ""
    if draw < 0.12 and ground != "water":
        drafts = _small(rng, ground, palette, (0.3, 0.45, 0.25), kinds.TABLE_SCALE)
        table = Item("table", (("body", palette.take(kinds.ALL)),), (0.0, 0.0, 0.0), 0.0, 1.0)
    elif draw < 0.25:
        drafts = _small(rng, ground, palette, (0.35, 0.40, 0.25), 1.0)
    elif draw < 0.75:
        together, drafts = _with_people(rng, ground, palette)
    else:
        drafts = _big(rng, ground, palette)
    scene = compose(rng, seed, index, ground, light, drafts, table, together)
    shares = weathers_of(ground)
    return replace(scene, weather=str(rng.choice(tuple(shares), p=tuple(shares.values()))))


def _thing(rng: Rng, ground: str, kind: str, palette: Palette, scale: float = 1.0) -> Draft:
    """A thing in colors of its own, turned and sized at random."""
    spec = kinds.KINDS[kind]
    colors = {part: palette.take(choices) for part, choices in spec.parts}
    if kind == "box" and rng.random() < 0.5:
        colors["ribbon"] = palette.take(("white", "yellow", "red", "pink", "blue", "green"))
    heading = float(rng.uniform(*spec.turns))
    turned = abs(np.sin(heading)) * spec.half_depth + abs(np.cos(heading)) * spec.half_width
    if spec.long:
        turned = spec.half_width
        heading *= 1 if rng.random() < 0.5 else -1
    grow = scale * float(rng.uniform(0.92, 1.1))
    floats = ground == "water" and kind in kinds.FLOATING
    return Draft(kind, colors, heading, grow, turned * grow, spec.height * grow, floats=floats)


def _pick(rng: Rng, ground: str, weights: dict[str, float], taken: list[str]) -> str:
    """One kind that belongs on `ground` and is not taken yet, by weight."""
    names = [n for n, w in weights.items() if w > 0 and ground in kinds.KINDS[n].grounds and n not in taken]
    share = np.array([weights[n] for n in names])
    return str(rng.choice(names, p=share / share.sum()))


def _small(rng: Rng, ground: str, palette: Palette, counts: tuple[float, ...], scale: float) -> list[Draft]:
    """One to three small things."""
    weights = {n: s.small for n, s in kinds.KINDS.items()}
    if scale < 1:
        weights |= dict.fromkeys(kinds.NOT_ON_TABLES, 0.0)
    if rng.random() < 0.15:  # a set of one shape in several colors
        plain = {n: w for n, w in weights.items() if len(kinds.KINDS[n].parts) == 1 and n != "book"}
        kind = _pick(rng, ground, plain, [])
        return [_thing(rng, ground, kind, palette, scale) for _ in range(int(rng.integers(2, 4)))]
    names: list[str] = []
    for _ in range(1 + int(rng.choice(len(counts), p=counts))):
        names.append(_pick(rng, ground, weights, names))
    return [_thing(rng, ground, n, palette, scale) for n in names]


def _big(rng: Rng, ground: str, palette: Palette) -> list[Draft]:
    """One to three big things without people."""
    weights = {n: s.big for n, s in kinds.KINDS.items()}
    names: list[str] = []
    for _ in range(1 + int(rng.choice(3, p=(0.38, 0.42, 0.20)))):
        names.append(_pick(rng, ground, weights, names))
    return [_thing(rng, ground, n, palette) for n in names]


def _with_people(rng: Rng, ground: str, palette: Palette) -> tuple[str, list[Draft]]:
    """The name of a group, if the people are one, and people with things: one, two, a portrait or a group."""
    draw = rng.random()
    name, framing = "", "whole"
    if draw < 0.36:
        name, together = group(rng, palette)
        people = [together]
        counts = (0.62, 0.38, 0.0)
    elif draw < 0.56:
        framing = "portrait" if rng.random() < 0.55 else "half"
        people = [someone(rng, palette, framing)]
        counts = (0.55, 0.45, 0.0)
    else:
        people = [someone(rng, palette) for _ in range(1 if rng.random() < 0.85 else 2)]
        counts = (0.32, 0.49, 0.19) if len(people) == 1 else (0.55, 0.45, 0.0)
    weights = {n: s.big for n, s in kinds.KINDS.items() if framing == "whole" or n in kinds.TALL}
    names: list[str] = []
    for _ in range(int(rng.choice(3, p=counts))):
        if any(w > 0 and ground in kinds.KINDS[n].grounds and n not in names for n, w in weights.items()):
            names.append(_pick(rng, ground, weights, names))
    return name, people + [_thing(rng, ground, n, palette) for n in names]
