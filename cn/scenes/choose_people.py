"""Choose people: who they are, their faces and clothes, and how they pose."""

from dataclasses import replace

import numpy as np

from cn.scenes import kinds
from cn.scenes.geometry import Rng, Vec
from cn.scenes.models.poses import POSES
from cn.scenes.models.skeleton import HEAD_RADIUS, Person, skeleton
from cn.scenes.palette import Palette
from cn.scenes.roles import ROLES, Role
from cn.scenes.scene import Draft

POSING = "posing"
"""The name of a pose that is drawn at random."""
CHILDREN = ("boy", "girl")


PORTRAIT_POSES = ("standing", "standing", "hips", "thinking", "saluting", "crossed")


def someone(rng: Rng, palette: Palette, framing: str = "whole") -> Draft:
    """A person with clothes, pose and the way they face; `framing` is that of the scene."""
    person = dress(
        rng, palette, str(rng.choice(kinds.WHO)), str(rng.choice(tuple(ROLES))) if rng.random() < 0.2 else ""
    )
    names = tuple(n for n, p in POSES.items() if p.upper or framing == "whole")
    names = PORTRAIT_POSES if framing == "portrait" else names
    share = np.array([POSES[n].weight for n in names])
    favorite = ROLES[person.role].prop if person.role else ""
    draw = rng.random()
    if favorite in names and draw < 0.4:
        person = take_pose(rng, person, favorite, palette)
    elif draw < 0.75 or framing != "whole":
        person = take_pose(rng, person, str(rng.choice(names, p=share / share.sum())), palette)
    else:
        person = random_pose(rng, person)
    view = POSES[person.pose].view if person.pose in POSES else "any"
    heading = facing(rng, view)
    if person.prop == "football" and abs(heading) < 0.5:
        heading += 0.6 * np.sign(heading)  # a ball ahead would leave the image
    if framing != "whole":
        heading *= 0.4 if abs(heading) < 2 else 0.1
    if person.prop and view == "front" and abs(heading) > 2:
        heading -= np.pi * np.sign(heading)  # what is held must be seen
    scale = size_of(rng, person)
    half_width, height = room(person)
    return Draft("person", {}, float(heading), scale, half_width * scale, height * scale, person, framing=framing)


def size_of(rng: Rng, person: Person) -> float:
    """The scale of a person."""
    return (kinds.CHILD_SCALE if person.who in CHILDREN else 1.0) * float(rng.uniform(0.95, 1.05))


def dress(rng: Rng, palette: Palette, who: str, role: str = "") -> Person:
    """A person in clothes, who stands still; a `role` decides on most of them."""
    part = ROLES[role] if role else None
    if part and who not in part.who:
        who = str(rng.choice(part.who))
    garment = part.garment if part else str(rng.choice(kinds.GARMENTS[who]))
    top = palette.take(part.top if part else kinds.ALL)
    skin = "skin_a" if top == "brown" else str(rng.choice(kinds.SKIN))  # cloth must not be taken for skin
    cloths = part.legs if part else kinds.ALL if garment == "skirt" else kinds.TROUSERS
    legs = [c for c in cloths if (part or c != top) and not (c == "brown" and skin in ("skin_c", "skin_d"))]
    hat, hat_color = _hat(rng, palette, part, who)
    accessory, accessory_color = _accessory(rng, palette, part, garment)
    patterns = ("plain", "stripes", "dots", "checks")
    shares = (0.6, 0.16, 0.12, 0.12) if garment in ("dress", "shirt", "jumper", "skirt", "shorts") else (1, 0, 0, 0)
    beards = part.beard if part else ("", "", "", "beard", "moustache")
    styles = kinds.HAIR_STYLES[who]
    if hat in ("space helmet", "knight helmet", "toque", "helmet"):
        styles = tuple(s for s in styles if s in ("short", "bald", "bob", "long")) or ("short",)
    cloth = str(rng.choice(legs)) if legs else top
    shoes = tuple(c for c in ("dark", "dark", "black", "brown", "white", "red", "blue") if c not in (top, cloth))
    return Person(
        who=who,
        pose="standing",
        bones=_bones(POSES["standing"].right_arm, POSES["standing"].left_arm, *(((0.1, -1.0, 0.0),) * 2,) * 2),
        garment=garment,
        top=top,
        legs=cloth,
        hair=part.hair if part and part.hair else str(rng.choice(kinds.HAIR[:4] if who in CHILDREN else kinds.HAIR)),
        hair_style="curly" if role == "clown" else str(rng.choice(styles)),
        skin=skin,
        hat=hat,
        hat_color=hat_color,
        head_turn=float(rng.uniform(-0.3, 0.3)),
        head_nod=float(rng.normal(0, 0.06)),
        role=role,
        pattern=part.pattern if part else str(rng.choice(patterns, p=shares)),
        accessory=accessory,
        accessory_color=accessory_color,
        shoes=part.shoes if part else str(rng.choice(shoes)),
        mouth=str(rng.choice(("smile", "open", "neutral"), p=(0.55, 0.2, 0.25))),
        beard=str(rng.choice(beards)) if who == "man" else "",
        glasses=str(rng.choice(("dark", "red", "blue"))) if rng.random() < (0.15 if not part else 0.05) else "",
        eyes=str(rng.choice(("iris_brown", "iris_brown", "iris_blue", "iris_green"))),
    )


def _hat(rng: Rng, palette: Palette, part: Role | None, who: str) -> tuple[str, str]:
    """A hat and the name of its color, which a straw hat and a crown have not."""
    if part:
        return part.hat, palette.take(part.hat_color) if part.hat_color else ""
    hats = ("none", "beanie", "brim", "cap", "top hat", "party", "bow")
    share = (
        (0.52, 0.16, 0.11, 0.13, 0.03, 0.05, 0.0)
        if who in ("man", "boy")
        else (0.52, 0.16, 0.14, 0.07, 0.0, 0.04, 0.07)
    )
    hat = str(rng.choice(hats, p=share))
    return hat, palette.take(kinds.BRIGHT) if hat != "none" else ""


def _accessory(rng: Rng, palette: Palette, part: Role | None, garment: str) -> tuple[str, str]:
    """Something worn over the clothes and its color."""
    if part:
        return part.accessory, palette.take(part.accessory_color) if part.accessory else ""
    if garment in ("coat", "jacket", "jumper") and rng.random() < 0.22:
        return "scarf", palette.take(kinds.BRIGHT)
    draw = rng.random()
    if garment == "shirt" and draw < 0.2:
        return str(rng.choice(("tie", "bow tie", "apron"))), palette.take(kinds.BRIGHT)
    return "", ""


def _bones(*limbs: tuple[Vec, Vec]) -> tuple[float, ...]:
    """The 24 numbers of right arm, left arm, right leg and left leg, given as (outward, up, forward)."""
    rows = np.array(limbs, np.float64)
    rows[[0, 2], :, 0] *= -1  # outward is -x on the right
    return tuple(float(v) for v in rows.ravel())


def take_pose(rng: Rng, person: Person, name: str, palette: Palette, prop: bool = True) -> Person:
    """`person` in a named pose, mirrored in half of the cases, every joint a little different each time."""
    pose = POSES[name]
    mirrored = bool(rng.random() < 0.5)
    limbs = [pose.right_arm, pose.left_arm, pose.right_leg, pose.left_leg]
    if mirrored:
        limbs = [limbs[1], limbs[0], limbs[3], limbs[2]]
    rows = np.array(limbs, np.float64)
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    spread = np.array((0.10, 0.12, 0.06, 0.05)).reshape(2, 2).repeat(2, axis=0)[..., None]
    rows += rng.normal(0, 1, rows.shape) * spread * pose.loose
    seat = str(rng.choice(kinds.SEATS, p=(0.4, 0.35, 0.25))) if name == "sitting" else ""
    held = pose.prop if prop else ""
    if name in ("handstand", "cartwheel", "lying", "sleeping") and not person.role:
        person = replace(person, hat="none", hat_color="")  # it would be in the ground
    return replace(
        person,
        pose=name,
        bones=_bones(*((tuple(limb[0]), tuple(limb[1])) for limb in rows)),
        mirrored=mirrored,
        lean=pose.lean + float(rng.normal(0, 0.04)) * pose.loose,
        pitch=pose.pitch,
        roll=-pose.roll if mirrored else pose.roll,
        lift=pose.lift * float(rng.uniform(0.7, 1.3)),
        head_nod=person.head_nod + pose.nod,
        prop=held,
        prop_color=palette.take(kinds.BRIGHT) if held else "",
        seat=seat,
        seat_color=palette.take(kinds.ALL) if seat else "",
    )


def random_pose(rng: Rng, person: Person) -> Person:
    """`person` with joint angles drawn from what a body can do, standing on a foot or both."""
    for _ in range(8):
        arms = [_random_arm(rng) for _ in range(2)]
        squat = float(rng.uniform(0.5, 1.5)) if rng.random() < 0.25 else 0.0
        stance = _random_leg(rng, True, squat)
        other = _random_leg(rng, rng.random() < 0.5, squat)
        legs = [stance, other] if rng.random() < 0.5 else [other, stance]
        lean = float(rng.normal(0.06, 0.16))
        posed = replace(person, pose=POSING, bones=_bones(*arms, *legs), lean=lean)
        if _is_free(posed):
            break
    return posed


def _random_arm(rng: Rng) -> tuple[Vec, Vec]:
    """An upper arm anywhere but across the body or far back, and an elbow bent by 0 to 140 degrees."""
    up, forward = rng.uniform(-1, 1), rng.uniform(-0.5, 1)
    upper = np.array((rng.uniform(0.05, 1), up * 1.2, forward))
    upper /= np.linalg.norm(upper)
    towards = np.array((rng.uniform(-0.8, 0.5), rng.uniform(-0.3, 1), rng.uniform(0, 1)))
    aside = towards - upper * (upper @ towards)
    angle = rng.uniform(0, 2.4) * rng.uniform(0.3, 1)
    lower = np.cos(angle) * upper + np.sin(angle) * aside / np.linalg.norm(aside)
    return _vec(upper), _vec(lower)


def _random_leg(rng: Rng, standing: bool, squat: float = 0.0) -> tuple[Vec, Vec]:
    """A thigh and a shin; a leg that is not `standing` may be raised far, and the knee only bends backwards.

    `squat` (radians) raises the thigh of a standing leg, with the knee bent as far.
    """
    bend = squat + float(rng.uniform(0, 0.7 if standing else 1.7)) * float(rng.random())
    swing = bend * float(rng.uniform(0.5, 0.8)) if standing else float(rng.uniform(-0.6, 1.7))
    spread = float(rng.uniform(0, 0.32 if standing else 0.8))
    thigh = np.array((np.sin(spread), -np.cos(spread) * np.cos(swing), np.cos(spread) * np.sin(swing)))
    shin = np.array(
        (np.sin(spread) * 0.6, -np.cos(spread) * np.cos(swing - bend), np.cos(spread) * np.sin(swing - bend))
    )
    return _vec(thigh), _vec(shin)


def _vec(row: np.ndarray) -> Vec:
    return float(row[0]), float(row[1]), float(row[2])


def _is_free(person: Person) -> bool:
    """Whether the hands are outside of head and trunk."""
    bones = skeleton(person)
    for joint in (3, 4, 6, 7):
        point = bones.joints[joint]
        if np.linalg.norm(point - bones.head_center) < HEAD_RADIUS + 0.07:
            return False
        local = bones.torso.T @ (point - bones.pelvis)
        if -0.1 < local[1] < 0.45 and abs(local[0]) < 0.17 and abs(local[2]) < 0.17:
            return False
    return True


def room(person: Person) -> tuple[float, float]:
    """Half width and height that a grown-up takes in this pose, meters, from the skeleton."""
    joints = skeleton(person).joints
    reach = float(np.abs(joints[:, [0, 2]]).max())
    wide = POSES[person.pose].width if person.pose in POSES else 0.36
    half = max(0.34, min(reach + 0.10, max(wide, reach)))
    if person.pose in ("lying", "sleeping"):
        half = reach + 0.28
    if person.seat == "bench":
        half = 0.75
    if person.prop == "football":
        half = reach + 0.42
    if person.prop in ("umbrella", "sword"):
        half = max(half, 0.75)
    top = float(joints[[0, 14, 15, 16, 17, 4, 7, 10, 13], 1].max()) + 0.10
    head = float(joints[[0, 16, 17], 1].max()) + HEAD_RADIUS
    tall = {"toque": 0.19, "pointed": 0.34, "party": 0.25, "crown": 0.12, "top hat": 0.18}.get(person.hat, 0.03)
    above = {"balloon": 1.05, "umbrella": 0.95, "box": 0.3, "handball": 0.2}.get(person.prop, 0.0)
    hand = float(joints[[4, 7], 1].max()) if person.prop in ("balloon", "umbrella", "handball") else head
    return half, max(top, head + tall, hand + above)


def facing(rng: Rng, view: str) -> float:
    """A heading: mostly towards the viewer, walkers mostly from the side, some from behind."""
    sign = 1 if rng.random() < 0.5 else -1
    if view in ("lying", "asleep"):  # along the image; who sleeps on the right side faces the viewer
        turned = float(rng.uniform(1.2, 1.9)) if view == "lying" else float(rng.uniform(-0.3, 0.3))
        return sign * turned
    share = {"front": (0.60, 0.34, 0.0, 0.06), "side": (0.06, 0.47, 0.41, 0.06), "any": (0.42, 0.33, 0.13, 0.12)}[view]
    low, high = ((0.0, 0.3), (0.45, 0.95), (1.2, 1.65), (2.7, 3.14))[int(rng.choice(4, p=share))]
    return sign * float(rng.uniform(low, high))
