"""Compose a scene: what stands where, in which colours and light, and how the camera frames it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import kinds as k
from .geometry import Vec
from .people import POSES, Person

GROUND_NAMES = ("meadow", "sand", "snow", "tiles", "water")
LIGHT_NAMES = ("morning", "noon", "dusk", "night")

Rng = np.random.Generator


@dataclass(frozen=True)
class Item:
    """One main thing of the scene; ``kind`` is "person" or a key of ``kinds.KINDS``."""

    kind: str
    colours: tuple[tuple[str, str], ...]
    """(part, colour name) pairs."""
    position: Vec
    heading: float
    scale: float
    person: Person | None = None

    def colour(self, part: str) -> str:
        """The colour of ``part``, or an empty string."""
        return dict(self.colours).get(part, "")


@dataclass(frozen=True)
class Scene:
    """Everything that determines a picture."""

    seed: int
    index: int
    ground: str
    light: str
    items: tuple[Item, ...]
    """From left to right."""
    table: Item | None
    """The table they stand on in a close-up."""
    eye: Vec
    target: Vec
    fov: float
    """Radians over the shorter side."""
    sun_turn: float
    """Where the light comes from, radians from the viewer's side towards +x."""
    half_width: float
    """Half the width of the group, metres."""
    mountains: bool
    """Whether there are mountains beyond the hills."""


@dataclass
class _Draft:
    """An item before it has a place."""

    kind: str
    colours: dict[str, str]
    heading: float
    scale: float
    half_width: float
    height: float
    person: Person | None = None
    z: float = 0.0
    floats: bool = False


def describe(seed: int, index: int) -> Scene:
    """Scene number ``index`` of the world ``seed``; depends on nothing else."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    ground = str(rng.choice(GROUND_NAMES))
    light = str(rng.choice(LIGHT_NAMES))
    palette = _Palette(rng, ground)
    draw = rng.random()
    table = None
    if draw < 0.12 and ground != "water":
        drafts = _small(rng, ground, palette, (0.3, 0.45, 0.25), k.TABLE_SCALE)
        table = Item("table", (("body", palette.take(k.ALL)),), (0.0, 0.0, 0.0), 0.0, 1.0)
    elif draw < 0.25:
        drafts = _small(rng, ground, palette, (0.35, 0.40, 0.25), 1.0)
    elif draw < 0.75:
        drafts = _with_people(rng, ground, palette)
    else:
        drafts = _big(rng, ground, palette)
    return _compose(rng, seed, index, ground, light, drafts, table)


class _Palette:
    """Hands out colours, without repeating one in a scene while there is a choice."""

    def __init__(self, rng: Rng, ground: str) -> None:
        self.rng = rng
        self.used: set[str] = {"white"} if ground == "snow" else set()

    def take(self, choices: tuple[str, ...]) -> str:
        fresh = [c for c in choices if c not in self.used] or list(choices)
        colour = str(fresh[int(self.rng.integers(len(fresh)))])
        self.used.add(colour)
        return colour


def _thing(rng: Rng, kind: str, palette: _Palette, scale: float = 1.0) -> _Draft:
    spec = k.KINDS[kind]
    colours = {part: palette.take(choices) for part, choices in spec.parts}
    if kind == "box" and rng.random() < 0.5:
        colours["ribbon"] = palette.take(("white", "yellow", "red", "pink", "blue", "green"))
    heading = float(rng.uniform(*spec.turns))
    if kind in ("car", "dog") and rng.random() < 0.5:
        heading = -heading
    turned = abs(np.sin(heading)) * spec.half_depth + abs(np.cos(heading)) * spec.half_width
    if kind in ("car", "dog"):
        turned = spec.half_width
    grow = scale * float(rng.uniform(0.92, 1.1))
    return _Draft(kind, colours, heading, grow, turned * grow, spec.height * grow, floats=kind == "boat")


def _pick(rng: Rng, ground: str, weights: dict[str, float], taken: list[str]) -> str:
    names = [n for n, w in weights.items() if w > 0 and ground in k.KINDS[n].grounds and n not in taken]
    share = np.array([weights[n] for n in names])
    return str(rng.choice(names, p=share / share.sum()))


def _small(rng: Rng, ground: str, palette: _Palette, counts: tuple[float, ...], scale: float) -> list[_Draft]:
    """One to three small things."""
    weights = {n: s.small for n, s in k.KINDS.items()}
    if scale < 1:
        weights |= {"rock": 0, "balloon": 0, "dog": 0}
    if rng.random() < 0.15:  # a set of one shape in several colours
        kind = _pick(rng, ground, weights | {"book": 0, "rock": 0}, [])
        return [_thing(rng, kind, palette, scale) for _ in range(int(rng.integers(2, 4)))]
    names: list[str] = []
    for _ in range(1 + int(rng.choice(len(counts), p=counts))):
        names.append(_pick(rng, ground, weights, names))
    return [_thing(rng, n, palette, scale) for n in names]


def _big(rng: Rng, ground: str, palette: _Palette) -> list[_Draft]:
    """One to three big things without people."""
    weights = {n: s.big for n, s in k.KINDS.items()}
    names: list[str] = []
    for _ in range(1 + int(rng.choice(3, p=(0.38, 0.42, 0.20)))):
        names.append(_pick(rng, ground, weights, names))
    return [_thing(rng, n, palette) for n in names]


def _with_people(rng: Rng, ground: str, palette: _Palette) -> list[_Draft]:
    """One person or two, alone or with one or two things."""
    people = 1 if rng.random() < 0.8 else 2
    drafts = [_someone(rng, palette) for _ in range(people)]
    others = int(rng.choice(3, p=(0.32, 0.49, 0.19) if people == 1 else (0.55, 0.45, 0.0)))
    names: list[str] = []
    for _ in range(others):
        names.append(_pick(rng, ground, {n: s.big for n, s in k.KINDS.items()}, names))
    return drafts + [_thing(rng, n, palette) for n in names]


def _someone(rng: Rng, palette: _Palette) -> _Draft:
    """A person with clothes, pose and the way they face."""
    who = str(rng.choice(k.WHO))
    names = tuple(k.POSE_WEIGHTS)
    share = np.array([k.POSE_WEIGHTS[n] for n in names])
    pose = str(rng.choice(names, p=share / share.sum()))
    garment = str(rng.choice(k.GARMENTS[who]))
    top = palette.take(k.ALL)
    hat = str(rng.choice(("none", "beanie", "brim"), p=(0.58, 0.24, 0.18)))
    skin = str(rng.choice(k.SKIN))
    if top == "brown":
        skin = "skin_a"  # cloth must not be taken for skin
    legs = [c for c in k.TROUSERS if c != top and not (c == "brown" and skin in ("skin_c", "skin_d"))]
    person = Person(
        who, pose, garment, top, str(rng.choice(legs)), str(rng.choice(k.HAIR[:4] if who in ("boy", "girl") else k.HAIR)),
        who in ("woman", "girl") and rng.random() < 0.8, skin, hat,
        palette.take(k.BRIGHT) if hat != "none" else "", bool(rng.random() < 0.5), float(rng.uniform(-0.25, 0.25)),
        palette.take(k.BRIGHT) if pose in ("holding", "balloon") else "",
        str(rng.choice(k.SEATS, p=(0.4, 0.35, 0.25))) if pose == "sitting" else "",
        palette.take(k.ALL) if pose == "sitting" else "",
        tuple(float(w) for w in rng.normal(0, 0.045, 24)),
    )  # fmt: skip
    heading = _facing(rng, POSES[pose].view)
    if pose == "holding" and abs(heading) > 2:
        heading -= np.pi * np.sign(heading)  # the ball must be seen
    scale = (k.CHILD_SCALE if who in ("boy", "girl") else 1.0) * float(rng.uniform(0.95, 1.05))
    raised = pose in ("cheering", "jumping", "leaping", "twirling", "dancing", "waving")
    wide = 0.36 if pose in ("standing", "hips", "holding", "cheering") else 0.52
    if pose in ("dancing", "leaping", "pointing", "twirling"):
        wide = 0.66
    if person.seat == "bench":
        wide = 0.75
    height = {"balloon": 2.05, "sitting": 1.42}.get(pose, 1.95 if raised else 1.66)
    if pose in ("jumping", "leaping"):
        height = 2.1
    return _Draft("person", {}, heading, scale, wide * scale, height * scale, person)


def _facing(rng: Rng, view: str) -> float:
    """A heading: mostly towards the viewer, walkers mostly from the side, some from behind."""
    sign = 1 if rng.random() < 0.5 else -1
    share = {"front": (0.57, 0.35, 0.0, 0.08), "side": (0.08, 0.42, 0.42, 0.08), "any": (0.42, 0.30, 0.13, 0.15)}[view]
    low, high = ((0.0, 0.3), (0.45, 0.95), (1.2, 1.65), (2.7, 3.14))[int(rng.choice(4, p=share))]
    return sign * float(rng.uniform(low, high))


def _compose(rng: Rng, seed: int, index: int, ground: str, light: str, drafts: list[_Draft], table: Item | None) -> Scene:
    """Give every draft a place and set up the camera."""
    order = _keep_large([drafts[i] for i in rng.permutation(len(drafts))])
    fov = float(np.radians(rng.uniform(36, 42)))
    half_view = np.tan(fov / 2)
    base = k.TABLE_TOP if table else (k.RAFT_TOP if ground == "water" else 0.0)
    unit_size = max(d.height for d in order)
    _set_back(rng, order, table is not None)
    gaps = [float(rng.uniform(0.06, 0.18)) * min(unit_size, 1.6) for _ in order]
    fill = float(rng.uniform(0.55, 0.72) if unit_size > 1.3 * (order[0].scale) else rng.uniform(0.40, 0.55))
    bulge = 0.3 * max((d.half_width for d in order if not d.person), default=0.0)  # what comes towards the camera
    distance = 3.0 * unit_size
    for _ in range(4):
        left, spots = 0.0, list[float]()
        for i, d in enumerate(order):
            shrink = distance / (distance - d.z)
            if i:
                left += _gap(order[i - 1], d, gaps[i])
            spots.append(left + d.half_width * shrink)
            left += 2 * d.half_width * shrink
        total = max(left, 0.80 if table else 0.3 * unit_size)
        top = max((d.height + (0 if d.floats else base * (table is None))) * distance / (distance - d.z) for d in order)
        distance = max(total / (2 * half_view * (0.70 if table else 0.86)), top / (2 * half_view * fill)) + bulge
    shift = left / 2 + float(rng.uniform(-0.04, 0.04)) * total
    items = []
    for d, spot in zip(order, spots, strict=True):
        x = (spot - shift) * (distance - d.z) / distance
        y = 0.0 if d.floats else base
        items.append(Item(d.kind, tuple(d.colours.items()), (float(x), y, float(d.z)), d.heading, d.scale, d.person))
    has_person = any(d.person for d in order)
    pitch = np.radians(rng.uniform(5, 11) if has_person else rng.uniform(7, 13))
    aim = base + top * float(rng.uniform(0.50, 0.58))
    if table:
        aim = base + top * 0.06
    eye = (0.0, float(aim + distance * np.tan(pitch)), float(distance))
    span = {"morning": (35, 70), "noon": (25, 75), "dusk": (45, 80), "night": (35, 80)}[light]
    turn = float(np.radians(rng.uniform(*span))) * (1 if rng.random() < 0.5 else -1)
    if table:
        table = Item("table", table.colours, (0.0, 0.0, min(d.z for d in order) * 0.5), 0.0, (total / 2 + 0.08) / 0.72)
    return Scene(seed, index, ground, light, tuple(items), table, eye, (0.0, float(aim), 0.0), fov, turn, total / 2,
                 bool(rng.random() < 0.45))  # fmt: skip


def _keep_large(order: list[_Draft]) -> list[_Draft]:
    """Leave out the last things until the group is not so wide that everybody in it would be tiny."""
    kept = list(order)
    while len(kept) > 1:
        wide = sum(2 * d.half_width for d in kept)
        shortest = min([d.height for d in kept if d.person] or [max(d.height for d in kept)])
        if shortest > 0.45 * wide:
            break
        spare = [d for d in kept if not d.person] or kept
        kept.remove(spare[-1])
    return kept


def _set_back(rng: Rng, order: list[_Draft], tabletop: bool) -> None:
    """Choose how far back each stands: tall things behind, small ones a little in front."""
    tallest = max(d.height for d in order)
    for d in order:
        if len(order) == 1:
            d.z = 0.0
        elif tabletop:
            d.z = float(rng.uniform(-0.10, 0.06))
        elif d.kind in k.TALL and any(o.kind not in k.TALL for o in order):
            d.z = -float(rng.uniform(0.9, 1.9))
        elif d.floats:
            d.z = -float(rng.uniform(1.3, 2.0))
        elif d.height < 0.65 * tallest:
            d.z = float(rng.uniform(-0.05, 0.30))
        else:
            d.z = float(rng.uniform(-0.25, 0.12)) * min(1.0, tallest)


def _gap(left: _Draft, right: _Draft, gap: float) -> float:
    """Free width between two neighbours; one well behind the other may be covered a little."""
    if abs(left.z - right.z) > 0.8 and not (left.floats or right.floats):
        return gap - 0.42 * min(left.half_width, right.half_width, 0.6)
    return gap
