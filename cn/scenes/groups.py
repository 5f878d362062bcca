"""Groups of people who do something together: their places in the group, and hands that meet."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cn.scenes import kinds
from cn.scenes.choose_people import CHILDREN, dress, room, size_of, take_pose
from cn.scenes.geometry import Array, Rng, Vec, turn
from cn.scenes.models.skeleton import reach, skeleton
from cn.scenes.palette import Palette
from cn.scenes.roles import ROLES
from cn.scenes.scene import Draft, Member

RIGHT, LEFT = 0, 1
_HAND = 0.05
"""From the wrist to the middle of the hand, meters."""
SIDE = np.pi / 2


def group(rng: Rng, palette: Palette) -> tuple[str, Draft]:
    """A group, placed as one, and its name."""
    names = tuple(GROUPS)
    share = np.array([GROUPS[n][0] for n in names])
    name = str(rng.choice(names, p=share / share.sum()))
    members = GROUPS[name][1](rng, palette)
    spin = float(rng.normal(0, 0.12)) if name in _FACING else float(rng.uniform(-0.2, 0.2))
    middle = np.mean([m.offset for m in members], axis=0)
    turned = [
        replace(m, offset=_vec(turn(spin) @ (np.array(m.offset) - middle * (1, 0, 1))), heading=m.heading + spin)
        for m in members
    ]
    turned.sort(key=lambda m: m.offset[0])
    half = max(abs(m.offset[0]) + min(0.45, room(m.person)[0]) * m.scale for m in turned)
    height = max(m.offset[1] + room(m.person)[1] * m.scale for m in turned)
    first = turned[0]
    return name, Draft("person", {}, 0.0, first.scale, half, height, first.person, members=tuple(turned))


def _vec(row: Array) -> Vec:
    return float(row[0]), float(row[1]), float(row[2])


def _people(rng: Rng, palette: Palette, count: int, who: tuple[str, ...] = (), pose: str = "standing") -> list[Member]:
    """People in one pose who have no place yet; often all children or all grown up."""
    draw = rng.random()
    choices = who or (CHILDREN if draw < 0.2 else ("man", "woman") if draw < 0.65 else kinds.WHO)
    shared = str(rng.choice(tuple(ROLES))) if not who and draw < 0.06 else ""
    members = []
    for i in range(count):
        one = who[i] if len(who) == count else str(rng.choice(choices))
        role = shared or (str(rng.choice(tuple(ROLES))) if rng.random() < 0.08 and not who else "")
        person = take_pose(rng, dress(rng, palette, one, role), pose, palette, prop=False)
        members.append(Member(person, (0.0, 0.0, 0.0), 0.0, size_of(rng, person)))
    return members


def _to_hand(member: Member, arm: int, place: Array, elbow: Vec = (0.5, -1.0, -0.2)) -> Member:
    """`member` with the middle of a hand at a `place` of the group (meters)."""
    local = turn(member.heading).T @ (place - np.array(member.offset)) / member.scale
    shoulder = skeleton(member.person).joints[(2, 5)[arm]]
    way = local - shoulder
    wrist = local - way / np.linalg.norm(way) * _HAND
    return replace(member, person=reach(member.person, arm, wrist, elbow))


def _shoulder(member: Member, arm: int) -> Array:
    """Where a shoulder is in the group (3,), meters."""
    local = skeleton(member.person).joints[(2, 5)[arm]]
    return np.array(member.offset) + turn(member.heading) @ local * member.scale


def _meet(a: Member, arm_a: int, b: Member, arm_b: int, up: float, ahead: float = 0.0) -> tuple[Member, Member]:
    """Both with a hand at one place: between their shoulders, `up` higher and `ahead` nearer to the viewer (meters)."""
    place = (_shoulder(a, arm_a) + _shoulder(b, arm_b)) / 2 + (0, up, ahead)
    return _to_hand(a, arm_a, place), _to_hand(b, arm_b, place)


def _face(pair: list[Member], distance: float, open_to_viewer: float = 0.30) -> tuple[Member, Member]:
    """Two people who face each other, both turned a little to the viewer; `distance` in meters for grown-ups."""
    a, b = pair
    half = distance * (a.scale + b.scale) / 4
    return (
        replace(a, offset=(-half, 0.0, 0.0), heading=SIDE - open_to_viewer),
        replace(b, offset=(half, 0.0, 0.0), heading=open_to_viewer - SIDE),
    )


def _row(members: list[Member], gap: float, wave: float = 0.05) -> list[Member]:
    """Side by side, facing the viewer."""
    x, placed = 0.0, []
    for i, m in enumerate(members):
        x += gap * (m.scale + (members[i - 1].scale if i else m.scale)) / 2
        placed.append(replace(m, offset=(x, 0.0, wave * (-1) ** i)))
    return placed


def _shake(rng: Rng, palette: Palette) -> list[Member]:
    a, b = _face(_people(rng, palette, 2), 0.82)
    return list(_meet(a, RIGHT, b, RIGHT, -0.24 * min(a.scale, b.scale), 0.05))


def _high_five(rng: Rng, palette: Palette) -> list[Member]:
    a, b = _face(_people(rng, palette, 2), 0.86)
    return list(_meet(a, RIGHT, b, LEFT, 0.24 * min(a.scale, b.scale), 0.05))


def _talk(rng: Rng, palette: Palette) -> list[Member]:
    a, b = _face(_people(rng, palette, 2), float(rng.uniform(0.85, 1.1)), 0.45)
    speaker, pose = (
        replace(a, person=replace(a.person, mouth="open")),
        str(rng.choice(("shrugging", "standing", "hips"))),
    )
    speaker = replace(speaker, person=take_pose(rng, speaker.person, pose, palette))
    listening = str(rng.choice(("standing", "crossed", "thinking", "hips")))
    return [speaker, replace(b, person=take_pose(rng, b.person, listening, palette))]


def _dance(rng: Rng, palette: Palette) -> list[Member]:
    a, b = _face(_people(rng, palette, 2, pose=str(rng.choice(("standing", "walking")))), 0.78, 0.15)
    a, b = _meet(a, RIGHT, b, LEFT, -0.05, 0.12)
    return list(_meet(a, LEFT, b, RIGHT, 0.10, -0.12))


def _hug(rng: Rng, palette: Palette) -> list[Member]:
    """Side by side, the arm of one around the shoulders of the other, whose arm is around the first one's waist."""
    a, b = _row(sorted(_people(rng, palette, 2), key=lambda m: -m.scale), 0.47, 0.0)
    a, b = replace(a, heading=0.12), replace(b, heading=-0.12)
    far = np.add(_shoulder(b, LEFT), (-0.03, 0.06 * b.scale, -0.06))
    a = _to_hand(a, LEFT, far, (0.3, -0.3, -1.0))
    waist = np.add(a.offset, (-0.02, 0.95 * a.scale, -0.17))
    return [a, _to_hand(b, RIGHT, waist, (0.3, -0.3, -1.0))]


def _chain_hands(members: list[Member]) -> list[Member]:
    """Every left hand in the next one's right hand."""
    linked = list(members)
    for i in range(len(linked) - 1):
        shorter = min(linked[i].scale, linked[i + 1].scale)
        middle = (_shoulder(linked[i], LEFT) + _shoulder(linked[i + 1], RIGHT)) / 2
        lowest = max(_shoulder(linked[i], LEFT)[1] - 0.40, _shoulder(linked[i + 1], RIGHT)[1] - 0.40 * shorter)
        place = np.array((middle[0], lowest, middle[2] + 0.03))
        linked[i] = _to_hand(linked[i], LEFT, place)
        linked[i + 1] = _to_hand(linked[i + 1], RIGHT, place)
    return linked


def _hold_hands(rng: Rng, palette: Palette) -> list[Member]:
    count = int(rng.choice((2, 3, 4), p=(0.5, 0.35, 0.15)))
    return _chain_hands(_row(_people(rng, palette, count, pose=str(rng.choice(("standing", "walking")))), 0.62, 0.0))


def _parent(rng: Rng, palette: Palette) -> list[Member]:
    who = (str(rng.choice(("man", "woman"))), str(rng.choice(CHILDREN)))
    pair = _people(rng, palette, 2, who)
    return _chain_hands(_row(pair if rng.random() < 0.5 else pair[::-1], 0.62, 0.0))


def _family(rng: Rng, palette: Palette) -> list[Member]:
    children = [str(rng.choice(CHILDREN)) for _ in range(int(rng.integers(1, 3)))]
    order = ("man", *children, "woman")
    return _chain_hands(_row(_people(rng, palette, len(order), order), 0.64, 0.0))


def _ball(rng: Rng, palette: Palette) -> list[Member]:
    """One throws, the other is about to catch."""
    a, b = _face(_people(rng, palette, 2), float(rng.uniform(1.6, 2.0)), 0.25)
    thrower = take_pose(rng, a.person, "throwing", palette)
    thrower = replace(thrower, prop="flying ball")
    b = replace(b, person=take_pose(rng, b.person, "pushing", palette))
    b = replace(b, person=replace(b.person, lean=0.05, pose="catching"))
    for arm in (RIGHT, LEFT):
        goal = (0.12 * (-1, 1)[arm], 1.22, 0.42)
        b = replace(b, person=reach(b.person, arm, goal))
    return [replace(a, person=thrower), b]


def _together(pose: str, heading: float = 0.0) -> Callable[[Rng, Palette], list[Member]]:
    """Two or three do the same side by side, or one behind the other when they face the side."""

    def build(rng: Rng, palette: Palette) -> list[Member]:
        members = _row(_people(rng, palette, int(rng.integers(2, 4)), pose=pose), 0.85, 0.08)
        way = heading * (1 if rng.random() < 0.5 else -1)
        return [replace(m, heading=way + float(rng.uniform(-0.1, 0.1))) for m in members]

    return build


def _line_up(rng: Rng, palette: Palette) -> list[Member]:
    return _row(_people(rng, palette, int(rng.choice((3, 4, 5)))), 0.58)


def _choir(rng: Rng, palette: Palette) -> list[Member]:
    """Three to five who sing side by side."""
    members = _row(_people(rng, palette, int(rng.choice((3, 4, 5)))), 0.56)
    return [replace(m, person=replace(m.person, mouth="open", head_turn=0.0, head_nod=-0.12)) for m in members]


def _team(rng: Rng, palette: Palette) -> list[Member]:
    """Three to five football players in one color who cheer."""
    count, first = int(rng.choice((3, 4, 5))), dress(rng, palette, "man", "football player")
    members = []
    for _ in range(count):
        person = dress(rng, Palette(rng, ""), str(rng.choice(kinds.WHO)), "football player")
        person = replace(person, top=first.top, legs=first.legs)
        pose = str(rng.choice(("cheering", "standing", "hips", "crossed")))
        person = take_pose(rng, person, pose, palette)
        members.append(Member(person, (0.0, 0.0, 0.0), 0.0, size_of(rng, person)))
    return _row(members, 0.64)


def _queue(rng: Rng, palette: Palette) -> list[Member]:
    """Three to five, one behind the other, seen from the side."""
    members = _row(_people(rng, palette, int(rng.choice((3, 4, 5)))), 0.56, 0.02)
    way = float(rng.uniform(0.9, 1.3)) * (1 if rng.random() < 0.5 else -1)
    return [replace(m, heading=way + float(rng.uniform(-0.1, 0.1))) for m in members]


def _circle(rng: Rng, palette: Palette) -> list[Member]:
    """Four or five hand in hand, those in the front seen from behind."""
    members = _people(rng, palette, int(rng.choice((4, 5))), ("man", "woman") if rng.random() < 0.5 else CHILDREN)
    count, start = len(members), float(rng.uniform(0, 2 * np.pi))
    radius = 0.45 / np.sin(np.pi / count) * members[0].scale
    placed = []
    for i, m in enumerate(members):
        angle = start + 2 * np.pi * i / count
        offset = (float(radius * np.sin(angle) * 1.1), 0.0, float(radius * np.cos(angle)))
        placed.append(replace(m, offset=offset, heading=float(np.arctan2(-offset[0], -offset[2]))))
    for i in range(count):
        j = (i + 1) % count
        placed[i], placed[j] = _meet(placed[i], RIGHT, placed[j], LEFT, -0.22 * members[0].scale)
    return placed


def _kneel(rng: Rng, palette: Palette) -> list[Member]:
    """One kneels and offers flowers."""
    a, b = _people(rng, palette, 2, ("man", "woman") if rng.random() < 0.7 else ("woman", "man"))
    a, b = _face([a, b], 1.0)
    kneeling = replace(
        take_pose(rng, a.person, "kneeling", palette), prop="flower", prop_color=palette.take(kinds.BRIGHT)
    )
    for arm in (RIGHT, LEFT):
        kneeling = reach(kneeling, arm, (0.03 * (-1, 1)[arm], 0.86, 0.36))
    return [replace(a, person=kneeling), b]


def _duel(rng: Rng, palette: Palette) -> list[Member]:
    a, b = _face(_people(rng, palette, 2), 2.0, 0.2)
    return [replace(m, person=take_pose(rng, m.person, "fencing", palette)) for m in (a, b)]


_FACING = ("shaking hands", "high five", "talking", "playing ball", "proposing", "fencing", "dancing together")
GROUPS: dict[str, tuple[float, Callable[[Rng, Palette], list[Member]]]] = {
    "shaking hands": (1.2, _shake),
    "high five": (1.0, _high_five),
    "talking": (1.2, _talk),
    "dancing together": (1.0, _dance),
    "hugging": (1.0, _hug),
    "holding hands": (1.3, _hold_hands),
    "parent and child": (1.1, _parent),
    "family": (0.7, _family),
    "playing ball": (1.0, _ball),
    "walking together": (0.8, _together("walking", 1.0)),
    "running together": (0.7, _together("running", 1.1)),
    "waving together": (0.6, _together("waving")),
    "jumping together": (0.6, _together("jumping")),
    "in a row": (0.9, _line_up),
    "choir": (0.6, _choir),
    "team": (0.7, _team),
    "queue": (0.8, _queue),
    "circle": (0.9, _circle),
    "proposing": (0.8, _kneel),
    "fencing": (0.6, _duel),
}
"""Name → relative frequency and builder."""
