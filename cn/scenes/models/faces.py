"""Heads of people: face, hair, beard, glasses and hats, in the head's own frame (x to the person's left, z ahead)."""

from collections.abc import Callable

from cn.scenes.builder import Builder
from cn.scenes.geometry import Array, tilt, turn
from cn.scenes.models.skeleton import HEAD_RADIUS, Person, Skeleton

At = Callable[[float, float, float], Array]
"""A place in the head's frame, in the person's coordinates."""
R = HEAD_RADIUS


def build_head(build: Builder, person: Person, bones: Skeleton) -> None:
    """Everything above the neck."""
    center, head = bones.head_center, bones.head

    def at(x: float, y: float, z: float) -> Array:
        return center + head @ (x, y, z)

    build.ellipsoid(center, (R * 0.97, R, R * 0.95), person.skin, "person", rotation=head)
    for side in (-1, 1):
        build.ellipsoid(at(side * 0.184, -0.01, 0.0), (0.027, 0.045, 0.038), person.skin, "person", rotation=head)
    _hair(build, person, head, at)
    _hat(build, person, head, at)
    build.shadow = False  # too small to matter, and shadows take time
    _face(build, person, head, at)
    build.shadow = True


def _face(build: Builder, person: Person, head: Array, at: At) -> None:
    """Eyes, brows, nose, cheeks, mouth, beard and glasses."""
    asleep = person.pose == "sleeping"
    cheek = "cheek" if person.skin in ("skin_a", "skin_b") else "cheek_dark"
    brow = "hair_grey" if person.hair == "hair_grey" else "hair_black" if person.hair == "wig" else person.hair
    for side in (-1, 1):
        if person.glasses:
            frame = (0.050, 0.050, 0.010)
            build.ellipsoid(at(side * 0.067, 0.026, 0.160), frame, person.glasses, "person", rotation=head)
            build.capsule(
                at(side * 0.11, 0.03, 0.15), at(side * 0.186, 0.02, 0.0), 0.008, 0.008, person.glasses, "person"
            )
        if asleep:
            build.capsule(at(side * 0.042, 0.02, 0.168), at(side * 0.09, 0.02, 0.156), 0.008, 0.008, "eye", "person")
        else:
            build.ellipsoid(at(side * 0.067, 0.027, 0.160), (0.037, 0.038, 0.017), "eye_white", "person", rotation=head)
            iris = (0.0225, 0.027, 0.010)
            build.ellipsoid(at(side * 0.064, 0.026, 0.1705), iris, person.eyes, "person", rotation=head)
            build.ellipsoid(at(side * 0.064, 0.026, 0.177), (0.012, 0.014, 0.0065), "eye", "person", rotation=head)
            build.ellipsoid(at(side * 0.064 + 0.008, 0.036, 0.180), 0.0055, "eye_white", "person")
        lift = 0.012 if person.mouth == "open" else 0.0
        build.capsule(
            at(side * 0.036, 0.080 + lift, 0.160), at(side * 0.102, 0.082 + lift, 0.138), 0.0105, 0.008, brow, "person"
        )
        on_skin = head @ turn(side * 0.62) @ tilt(0.25)
        build.ellipsoid(at(side * 0.105, -0.048, 0.136), (0.032, 0.023, 0.009), cheek, "person", rotation=on_skin)
    if person.glasses:
        build.capsule(at(-0.02, 0.034, 0.174), at(0.02, 0.034, 0.174), 0.007, 0.007, person.glasses, "person")
    if person.role == "clown":
        build.ellipsoid(at(0, -0.02, 0.195), 0.036, "red", "person")
    else:
        build.ellipsoid(at(0, -0.022, 0.180), (0.024, 0.026, 0.028), person.skin, "person", rotation=head)
    _mouth(build, person, head, at)
    if person.beard:
        for side in (-1, 1):
            build.capsule(at(0, -0.052, 0.172), at(side * 0.055, -0.066, 0.152), 0.016, 0.010, person.hair, "person")
    if person.beard == "beard":
        build.ellipsoid(at(0, -0.138, 0.062), (0.135, 0.088, 0.108), person.hair, "person", rotation=head)
        for side in (-1, 1):
            build.capsule(
                at(side * 0.168, -0.03, 0.05), at(side * 0.11, -0.13, 0.08), 0.022, 0.04, person.hair, "person"
            )
    elif person.beard == "long beard":
        build.capsule(at(0, -0.12, 0.075), at(0, -0.34, 0.12), 0.115, 0.03, person.hair, "person", flat=0.8)


def _mouth(build: Builder, person: Person, head: Array, at: At) -> None:
    """A smile, an open mouth or a straight line."""
    if person.mouth == "open":
        build.ellipsoid(at(0, -0.086, 0.154), (0.040, 0.027, 0.014), "mouth_open", "person", rotation=head)
        build.ellipsoid(at(0, -0.074, 0.163), (0.027, 0.009, 0.007), "eye_white", "person", rotation=head)
    elif person.mouth == "neutral":
        build.capsule(at(-0.033, -0.084, 0.161), at(0.033, -0.084, 0.161), 0.0095, 0.0095, "mouth", "person")
    else:
        for side in (-1, 1):
            corner = at(side * 0.029, -0.085, 0.160)
            build.capsule(at(0, -0.091, 0.160), corner, 0.0095, 0.009, "mouth", "person")
            build.capsule(corner, at(side * 0.052, -0.068, 0.156), 0.009, 0.007, "mouth", "person")


def _hair(build: Builder, person: Person, head: Array, at: At) -> None:
    """The hair's cap and what its style adds."""
    style, color = person.hair_style, person.hair
    if style == "bald":
        return
    build.ellipsoid(at(0, 0.046, -0.043), (R * 1.05, R * 1.0, R * 0.98), color, "person", rotation=head)
    if style == "long":
        build.ellipsoid(at(0, -0.10, -0.092), (0.168, 0.20, 0.105), color, "person", rotation=head)
        for side in (-1, 1):
            build.capsule(at(side * 0.165, 0.05, 0.03), at(side * 0.165, -0.20, 0.0), 0.045, 0.04, color, "person")
    elif style == "bob":
        for side in (-1, 1):
            build.capsule(at(side * 0.165, 0.04, 0.03), at(side * 0.155, -0.10, 0.02), 0.05, 0.055, color, "person")
        build.ellipsoid(at(0, -0.05, -0.08), (0.18, 0.13, 0.11), color, "person", rotation=head)
    elif style == "bun" and person.hat in ("none", "bow", "crown"):
        build.ellipsoid(at(0, 0.225, -0.09), 0.085, color, "person")
    elif style == "ponytail":
        build.ellipsoid(at(0, 0.10, -0.20), 0.06, color, "person")
        build.capsule(at(0, 0.10, -0.24), at(0.05, -0.20, -0.30), 0.062, 0.03, color, "person")
    elif style == "pigtails":
        for side in (-1, 1):
            build.capsule(at(side * 0.19, 0.05, -0.03), at(side * 0.27, -0.16, -0.02), 0.055, 0.035, color, "person")
    elif style in ("curly", "afro"):
        swell = 0.075 if style == "curly" else 0.10
        for x, y, z in _CURLS if person.hat in ("none", "bow", "crown") else _CURLS[3:10]:
            build.ellipsoid(at(x * 0.17, 0.05 + y * 0.15, -0.03 + z * 0.15), swell, color, "person")
    elif style == "spiky" and person.hat == "none":
        for x, z in ((-0.09, 0.05), (0.0, 0.08), (0.09, 0.05), (-0.05, -0.06), (0.06, -0.06)):
            build.frustum(at(x * 0.7, 0.11, z * 0.7), at(x * 1.5, 0.28, z * 1.2), 0.085, 0.006, color, "person")
    if style in ("short", "bun", "ponytail", "pigtails") and person.hat in ("none", "bow"):  # a parting
        build.ellipsoid(at(0.03, 0.158, 0.055), (0.12, 0.06, 0.10), color, "person", rotation=head)


_CURLS = (
    (0, 1, 0.3), (0.6, 0.8, 0.4), (-0.6, 0.8, 0.4), (1, 0.3, 0.1), (-1, 0.3, 0.1), (0.95, -0.4, -0.2),
    (-0.95, -0.4, -0.2), (0, 0.6, -0.9), (0.6, 0, -0.9), (-0.6, 0, -0.9), (0.3, 0.85, 0.75), (-0.3, 0.85, 0.75),
)  # fmt: skip


def _hat(build: Builder, person: Person, head: Array, at: At) -> None:
    """Whatever is on the head."""
    hat, color, up = person.hat, person.hat_color or "straw", head[:, 1]
    base = at(0, 0.106, -0.01)

    def disc(radius: float, y: float = 0.106) -> None:
        build.frustum(at(0, y, -0.01), at(0, y + 0.028, -0.01), radius, radius * 0.96, color, "person")

    if hat == "beanie":
        build.ellipsoid(at(0, 0.100, -0.018), (R * 1.09, 0.152, R * 1.07), color, "person", rotation=head)
        build.ellipsoid(at(0, 0.265, -0.013), 0.056, "cream", "person")
    elif hat in ("brim", "straw"):
        disc(0.30)
        build.frustum(base, base + up * 0.180, 0.188, 0.152, color, "person")
        if hat == "straw":
            build.frustum(base + up * 0.03, base + up * 0.07, 0.190, 0.184, "trunk", "person")
    elif hat in ("cap", "peaked"):
        build.ellipsoid(at(0, 0.095, -0.035), (R * 1.08, 0.158, R * 1.06), color, "person", rotation=head)
        visor = color if hat == "cap" else "dark"
        build.ellipsoid(at(0, 0.098, 0.175), (0.125, 0.016, 0.115), visor, "person", rotation=head)
        if hat == "peaked":
            build.ellipsoid(at(0, 0.20, 0.0), (0.225, 0.045, 0.215), color, "person", rotation=head)
            build.ellipsoid(at(0, 0.155, 0.178), (0.036, 0.036, 0.014), "gold", "person", rotation=head)
    elif hat == "helmet":
        build.ellipsoid(at(0, 0.115, -0.045), (R * 1.14, 0.145, R * 1.12), color, "person", rotation=head)
        build.ellipsoid(at(0, 0.112, 0.0), (0.255, 0.022, 0.275), color, "person", rotation=head)
        build.capsule(at(0, 0.22, 0.13), at(0, 0.22, -0.17), 0.028, 0.028, color, "person")
        build.ellipsoid(at(0, 0.165, 0.165), (0.045, 0.05, 0.018), "gold", "person", rotation=head)
    elif hat == "knight helmet":
        build.ellipsoid(at(0, 0.045, -0.05), (R * 1.14, R * 1.16, R * 1.08), color, "person", rotation=head)
        build.capsule(at(0, 0.24, 0.0), at(0, 0.31, -0.22), 0.035, 0.055, person.accessory_color or "red", "person")
        build.ellipsoid(at(0, 0.125, 0.115), (0.17, 0.05, 0.075), color, "person", rotation=head)
    elif hat == "space helmet":
        build.ellipsoid(at(0, 0.02, -0.085), (R * 1.34, R * 1.34, R * 1.22), color, "person", rotation=head)
        build.frustum(at(0, -0.225, 0.0), at(0, -0.165, 0.0), 0.185, 0.175, "steel", "person")
    elif hat == "crown":
        build.frustum(at(0, 0.12, -0.01), at(0, 0.20, -0.01), 0.165, 0.180, "gold", "person")
        for x, z in ((0, 1), (0.87, 0.5), (-0.87, 0.5), (0.87, -0.5), (-0.87, -0.5), (0, -1)):
            tip = at(x * 0.185, 0.30, z * 0.185 - 0.01)
            build.frustum(at(x * 0.160, 0.18, z * 0.160 - 0.01), tip, 0.055, 0.008, "gold", "person")
        build.ellipsoid(at(0, 0.165, 0.17), 0.028, "red", "person")
    elif hat == "pointed":
        disc(0.31, 0.10)
        build.frustum(base, at(0.03, 0.54, -0.05), 0.185, 0.012, color, "person")
        build.frustum(base + up * 0.03, base + up * 0.075, 0.184, 0.168, "gold", "person")
    elif hat == "toque":
        build.frustum(at(0, 0.10, -0.01), at(0, 0.22, -0.01), 0.175, 0.18, color, "person")
        for x, z in ((-0.09, 0.05), (0.09, 0.05), (0.0, -0.09)):
            build.ellipsoid(at(x, 0.285, z), (0.15, 0.10, 0.14), color, "person", rotation=head)
    elif hat == "top hat":
        disc(0.265)
        build.frustum(base, base + up * 0.27, 0.172, 0.185, color, "person")
    elif hat == "party":
        build.frustum(at(0, 0.15, 0), at(0, 0.42, -0.03), 0.115, 0.008, color, "person")
        build.ellipsoid(at(0, 0.42, -0.03), 0.035, "cream", "person")
    elif hat == "pirate":
        build.ellipsoid(at(0, 0.13, 0.0), (0.31, 0.075, 0.16), color, "person", rotation=head)
        build.ellipsoid(at(0, 0.17, -0.02), (0.19, 0.12, 0.17), color, "person", rotation=head)
        build.ellipsoid(at(0, 0.175, 0.14), (0.04, 0.04, 0.02), "eye_white", "person", rotation=head)
    elif hat == "bow":
        for side in (-1, 1):
            build.frustum(
                at(side * 0.13 + 0.06, 0.22, 0.04), at(0.06, 0.195, 0.05), 0.065, 0.02, color, "person", flat=0.5
            )
        build.ellipsoid(at(0.06, 0.20, 0.05), 0.028, color, "person")
