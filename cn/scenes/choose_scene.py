"""Choose a scene: its ground and light, its people and things, their colors and poses."""

from dataclasses import replace

import numpy as np

from cn.scenes import kinds
from cn.scenes.geometry import Rng
from cn.scenes.layout import compose
from cn.scenes.models.people import Person
from cn.scenes.models.poses import POSES
from cn.scenes.scene import Draft, Item, Scene
from cn.scenes.weather import weathers_of

GROUND_NAMES = ("meadow", "sand", "snow", "tiles", "water", "street", "forest", "field", "room")
LIGHT_NAMES = ("morning", "noon", "dusk", "night")


def describe(seed: int, index: int) -> Scene:
    """Scene number `index` of the world `seed`; depends on nothing else."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    ground = str(rng.choice(GROUND_NAMES))
    light = str(rng.choice(LIGHT_NAMES))
    palette = _Palette(rng, ground)
    draw = rng.random()
    table = None
    if draw < 0.12 and ground != "water":
        drafts = _small(rng, ground, palette, (0.3, 0.45, 0.25), kinds.TABLE_SCALE)
        table = Item("table", (("body", palette.take(kinds.ALL)),), (0.0, 0.0, 0.0), 0.0, 1.0)
    elif draw < 0.25:
        drafts = _small(rng, ground, palette, (0.35, 0.40, 0.25), 1.0)
    elif draw < 0.75:
        drafts = _with_people(rng, ground, palette)
    else:
        drafts = _big(rng, ground, palette)
    scene = compose(rng, seed, index, ground, light, drafts, table)
    shares = weathers_of(ground)
    return replace(scene, weather=str(rng.choice(tuple(shares), p=tuple(shares.values()))))


class _Palette:
    """Draws colors, without repeating one in a scene while there is a choice."""

    def __init__(self, rng: Rng, ground: str) -> None:
        self.rng = rng
        self.used: set[str] = {"white"} if ground == "snow" else set()

    def take(self, choices: tuple[str, ...]) -> str:
        """One of `choices`, an unused one if there is any."""
        fresh = [c for c in choices if c not in self.used] or list(choices)
        color = str(fresh[int(self.rng.integers(len(fresh)))])
        self.used.add(color)
        return color


def _thing(rng: Rng, ground: str, kind: str, palette: _Palette, scale: float = 1.0) -> Draft:
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


def _small(rng: Rng, ground: str, palette: _Palette, counts: tuple[float, ...], scale: float) -> list[Draft]:
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


def _big(rng: Rng, ground: str, palette: _Palette) -> list[Draft]:
    """One to three big things without people."""
    weights = {n: s.big for n, s in kinds.KINDS.items()}
    names: list[str] = []
    for _ in range(1 + int(rng.choice(3, p=(0.38, 0.42, 0.20)))):
        names.append(_pick(rng, ground, weights, names))
    return [_thing(rng, ground, n, palette) for n in names]


def _with_people(rng: Rng, ground: str, palette: _Palette) -> list[Draft]:
    """One person or two, alone or with one or two things."""
    people = 1 if rng.random() < 0.8 else 2
    drafts = [_someone(rng, palette) for _ in range(people)]
    others = int(rng.choice(3, p=(0.32, 0.49, 0.19) if people == 1 else (0.55, 0.45, 0.0)))
    names: list[str] = []
    for _ in range(others):
        names.append(_pick(rng, ground, {n: s.big for n, s in kinds.KINDS.items()}, names))
    return drafts + [_thing(rng, ground, n, palette) for n in names]


def _someone(rng: Rng, palette: _Palette) -> Draft:
    """A person with clothes, pose and the way they face."""
    who = str(rng.choice(kinds.WHO))
    names = tuple(kinds.POSE_WEIGHTS)
    share = np.array([kinds.POSE_WEIGHTS[n] for n in names])
    pose = str(rng.choice(names, p=share / share.sum()))
    garment = str(rng.choice(kinds.GARMENTS[who]))
    top = palette.take(kinds.ALL)
    hat = str(rng.choice(("none", "beanie", "brim"), p=(0.58, 0.24, 0.18)))
    skin = str(rng.choice(kinds.SKIN))
    if top == "brown":
        skin = "skin_a"  # cloth must not be taken for skin
    legs = [c for c in kinds.TROUSERS if c != top and not (c == "brown" and skin in ("skin_c", "skin_d"))]
    cloth = str(rng.choice(legs))
    hair = str(rng.choice(kinds.HAIR[:4] if who in ("boy", "girl") else kinds.HAIR))
    person = Person(
        who=who,
        pose=pose,
        garment=garment,
        top=top,
        legs=cloth,
        hair=hair,
        long_hair=who in ("woman", "girl") and bool(rng.random() < 0.8),
        skin=skin,
        hat=hat,
        hat_color=palette.take(kinds.BRIGHT) if hat != "none" else "",
        mirrored=bool(rng.random() < 0.5),
        head_turn=float(rng.uniform(-0.25, 0.25)),
        prop_color=palette.take(kinds.BRIGHT) if pose in ("holding", "balloon") else "",
        seat=str(rng.choice(kinds.SEATS, p=(0.4, 0.35, 0.25))) if pose == "sitting" else "",
        seat_color=palette.take(kinds.ALL) if pose == "sitting" else "",
        wobble=tuple(float(w) for w in rng.normal(0, 0.045, 24)),
    )
    heading = _facing(rng, POSES[pose].view)
    if pose == "holding" and abs(heading) > 2:
        heading -= np.pi * np.sign(heading)  # the ball must be seen
    scale = (kinds.CHILD_SCALE if who in ("boy", "girl") else 1.0) * float(rng.uniform(0.95, 1.05))
    half_width, height = _room(person)
    return Draft("person", {}, heading, scale, half_width * scale, height * scale, person)


def _room(person: Person) -> tuple[float, float]:
    """Half width and height that a grown-up takes in this pose, meters."""
    pose = person.pose
    wide = 0.36 if pose in ("standing", "hips", "holding", "cheering") else 0.52
    if pose in ("dancing", "leaping", "pointing", "twirling"):
        wide = 0.66
    if person.seat == "bench":
        wide = 0.75
    raised = pose in ("cheering", "twirling", "dancing", "waving")
    height = {"balloon": 2.05, "sitting": 1.42, "jumping": 2.1, "leaping": 2.1}.get(pose, 1.95 if raised else 1.66)
    return wide, height


def _facing(rng: Rng, view: str) -> float:
    """A heading: mostly towards the viewer, walkers mostly from the side, some from behind."""
    sign = 1 if rng.random() < 0.5 else -1
    share = {"front": (0.57, 0.35, 0.0, 0.08), "side": (0.08, 0.42, 0.42, 0.08), "any": (0.42, 0.30, 0.13, 0.15)}[view]
    low, high = ((0.0, 0.3), (0.45, 0.95), (1.2, 1.65), (2.7, 3.14))[int(rng.choice(4, p=share))]
    return sign * float(rng.uniform(low, high))
