"""What people wear over their clothes: scarves, aprons, capes, ties, and what belongs to a role."""

from collections.abc import Callable

import numpy as np

from cn.scenes.builder import Builder
from cn.scenes.geometry import Array
from cn.scenes.models.skeleton import CHEST, Person, Skeleton

At = Callable[[float, float, float], Array]
"""A place in the torso's frame, measured from the pelvis."""
Ring = Callable[..., None]
"""A belt around the torso: its height, radius, color and half its width (meters)."""


def build_outfit(build: Builder, person: Person, bones: Skeleton) -> None:
    """Accessory and parts of the role's dress."""
    facing = tuple(bones.torso[:, 2])

    def at(x: float, y: float, z: float) -> Array:
        """A place in the torso's frame, measured from the pelvis."""
        return bones.pelvis + bones.torso @ (x, y, z)

    def ring(y: float, radius: float, color: str, half: float = 0.02) -> None:
        """A belt around the torso."""
        build.frustum(at(0, y - half, 0), at(0, y + half, 0), radius, radius, color, "person", flat=0.86, facing=facing)

    color = person.accessory_color
    if person.accessory == "scarf":
        build.frustum(at(0, CHEST - 0.01, 0.0), at(0, CHEST + 0.075, 0.005), 0.125, 0.108, color, "person")
        build.capsule(at(0.06, CHEST - 0.02, 0.11), at(0.09, 0.17, 0.145), 0.045, 0.052, color, "person", flat=0.6)
    elif person.accessory == "apron":
        for (y0, y1), (r0, r1) in (((-0.24, 0.12), (0.175, 0.150)), ((0.11, 0.33), (0.115, 0.098))):
            foot, top = at(0, y0, 0.056), at(0, y1, 0.056)
            build.frustum(foot, top, r0, r1, color, "person", flat=0.104 / r0, facing=facing)
        ring(0.11, 0.158, color, 0.014)
    elif person.accessory == "cape":
        drop = float(np.clip(bones.pelvis[1] - 0.18, 0.05, 0.62))
        foot, top = at(0, -drop, -0.20), at(0, CHEST + 0.01, -0.055)
        build.frustum(foot, top, 0.30, 0.15, color, "person", flat=0.22, facing=facing)
        build.capsule(at(-0.10, CHEST, 0.0), at(0.10, CHEST, 0.0), 0.078, 0.078, color, "person")
    elif person.accessory == "tie":
        build.capsule(at(0, CHEST - 0.07, 0.128), at(0, 0.18, 0.137), 0.018, 0.034, color, "person", flat=0.5)
        build.ellipsoid(at(0, CHEST - 0.05, 0.12), 0.028, color, "person")
    elif person.accessory == "bow tie":
        for side in (-1, 1):
            start, end = at(side * 0.085, CHEST - 0.03, 0.115), at(0, CHEST - 0.03, 0.125)
            build.frustum(start, end, 0.050, 0.014, color, "person")
    if person.role in ROLE_PARTS:
        ROLE_PARTS[person.role](build, person, at, ring)


def _knight(build: Builder, person: Person, at: At, ring: Ring) -> None:
    """Shoulder plates, a belt and a tabard."""
    for side in (-1, 1):
        build.ellipsoid(at(side * 0.185, CHEST - 0.03, 0.0), (0.095, 0.075, 0.09), "steel", "person")
    build.ellipsoid(at(0, 0.27, 0.045), (0.14, 0.15, 0.108), "steel", "person")
    ring(0.06, 0.166, "trunk", 0.024)


def _astronaut(build: Builder, person: Person, at: At, ring: Ring) -> None:
    """A control box on the chest, stripes and the pack on the back."""
    build.ellipsoid(at(0, 0.22, -0.16), (0.15, 0.20, 0.11), "steel", "person")
    build.box(at(0, 0.24, 0.135), (0.075, 0.05, 0.03), "steel", "person")
    for x, color in ((-0.035, "red"), (0.0, "gold"), (0.035, "iris_blue")):
        build.ellipsoid(at(x, 0.245, 0.168), 0.015, color, "person")
    ring(0.02, 0.168, "orange")


def _farmer(build: Builder, person: Person, at: At, ring: Ring) -> None:
    """Dungarees: a bib with braces over the shirt."""
    build.ellipsoid(at(0, 0.16, 0.062), (0.115, 0.155, 0.094), person.legs, "person")
    ring(0.0, 0.160, person.legs, 0.075)
    for side in (-1, 1):
        build.capsule(
            at(side * 0.075, 0.24, 0.128), at(side * 0.085, CHEST - 0.01, 0.075), 0.02, 0.02, person.legs, "person"
        )
        build.ellipsoid(at(side * 0.075, 0.25, 0.143), 0.017, "gold", "person")


def _officer(build: Builder, person: Person, at: At, ring: Ring) -> None:
    """A belt with a buckle and a badge."""
    ring(0.03, 0.163, "dark", 0.022)
    build.ellipsoid(at(0, 0.03, 0.142), (0.03, 0.024, 0.012), "gold", "person")
    build.ellipsoid(at(0.075, 0.30, 0.130), (0.032, 0.036, 0.014), "gold", "person")


def _firefighter(build: Builder, person: Person, at: At, ring: Ring) -> None:
    """Reflecting bands."""
    for y, radius in ((0.05, 0.163), (0.24, 0.166)):
        ring(y, radius, "hub" if person.top in ("yellow", "orange") else "gold", 0.022)


def _royal(build: Builder, person: Person, at: At, ring: Ring) -> None:
    """An ermine collar and a golden belt."""
    build.ellipsoid(at(0, CHEST - 0.02, 0.0), (0.215, 0.062, 0.155), "cream", "person")
    ring(0.08, 0.163, "gold", 0.022)
    build.ellipsoid(at(0, CHEST - 0.13, 0.135), 0.032, "gold", "person")


def _clown(build: Builder, person: Person, at: At, ring: Ring) -> None:
    """A ruff and big buttons."""
    build.ellipsoid(at(0, CHEST + 0.005, 0.0), (0.20, 0.042, 0.19), "cream", "person")
    for y in (0.08, 0.20, 0.32):
        build.ellipsoid(at(0, y, 0.128), 0.034, "cream", "person")


def _wizard(build: Builder, person: Person, at: At, ring: Ring) -> None:
    """A golden belt."""
    ring(0.06, 0.163, "gold", 0.022)


def _pirate(build: Builder, person: Person, at: At, ring: Ring) -> None:
    """A wide belt with a buckle."""
    ring(0.04, 0.163, "dark", 0.032)
    build.box(at(0, 0.04, 0.142), (0.035, 0.03, 0.01), "gold", "person")


def _ballerina(build: Builder, person: Person, at: At, ring: Ring) -> None:
    """A tutu."""
    build.ellipsoid(at(0, -0.01, 0), (0.150, 0.125, 0.125), person.top, "person")
    build.frustum(at(0, -0.05, 0), at(0, 0.0, 0), 0.40, 0.30, person.top, "person")
    build.frustum(at(0, 0.0, 0), at(0, 0.05, 0), 0.34, 0.15, person.top, "person")


def _doctor(build: Builder, person: Person, at: At, ring: Ring) -> None:
    """A stethoscope."""
    for side in (-1, 1):
        build.capsule(at(side * 0.075, CHEST, 0.07), at(side * 0.02, 0.26, 0.140), 0.011, 0.011, "dark", "person")
    build.ellipsoid(at(0.0, 0.24, 0.142), (0.026, 0.026, 0.014), "steel", "person")


def _hero(build: Builder, person: Person, at: At, ring: Ring) -> None:
    """An emblem and a belt."""
    build.ellipsoid(at(0, 0.27, 0.128), (0.062, 0.05, 0.014), "gold", "person")
    ring(0.03, 0.163, "gold", 0.022)


ROLE_PARTS: dict[str, Callable[[Builder, Person, At, Ring], None]] = {
    "knight": _knight,
    "astronaut": _astronaut,
    "farmer": _farmer,
    "police officer": _officer,
    "firefighter": _firefighter,
    "king": _royal,
    "queen": _royal,
    "clown": _clown,
    "wizard": _wizard,
    "pirate": _pirate,
    "ballerina": _ballerina,
    "doctor": _doctor,
    "superhero": _hero,
}
"""Role → builder of its parts; a cook has none but hat and apron."""
