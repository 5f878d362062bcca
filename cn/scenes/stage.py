"""From a scene to its solids: the things themselves, the landscape around them, the sky above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import kinds as k
from .clay import Clay, Solid
from .geometry import Array, turn
from .landscape import hang_sky, landscape, raft
from .light import Sky
from .people import SEAT_HEIGHT, build_person
from .scene import Item, Scene
from .things import BUILDERS, balloon_head

Rng = np.random.Generator


@dataclass(frozen=True)
class Posed:
    """A person's key points in the world (18, 3) and how deep each may lie inside the visible surface (18,)."""

    owner: int
    joints: Array
    reach: Array


@dataclass(frozen=True)
class Stage:
    """A scene, modeled."""

    solids: list[Solid]
    is_person: Array
    """Per id (see ``caster``): belongs to a person's body."""
    people: list[Posed]
    blobs: list[tuple[float, float, float, float]]
    """Soft contact shade on the ground: x, z, radius, strength."""
    lamps: list[tuple[float, float, float, float]]
    """Warm lights: x, y, z, reach in meters."""
    sky: Sky
    center: tuple[float, float, float]
    radius: float
    """The ball that the shadow map covers."""
    scale: float
    """Size of the patterns: 1 for people a few meters away."""


def set_stage(scene: Scene) -> Stage:
    """Model everything of ``scene``."""
    rng = np.random.default_rng(np.random.SeedSequence([scene.seed, scene.index, 1]))
    scale = float(np.clip(scene.eye[2] / 5.5, 0.12, 1.6))
    clay, people = Clay(), []
    blobs: list[tuple[float, float, float, float]] = []
    lamps: list[tuple[float, float, float, float]] = []
    for owner, item in enumerate(scene.items):
        clay.place(item.position, item.heading, item.scale, owner)
        if item.person is not None:
            people.append(_person(clay, item, owner))
        else:
            BUILDERS[item.kind](clay, dict(item.colors), rng)
        _light_up(item, lamps)
        if item.position[1] == 0 and scene.ground != "water":
            wide = 0.36 if item.person else max(k.KINDS[item.kind].half_width, k.KINDS[item.kind].half_depth) * 0.95
            blobs.append((item.position[0], item.position[2], wide * item.scale * 1.15, 0.36))
            blobs.append((item.position[0], item.position[2], wide * item.scale * 0.55, 0.34))
    if scene.table is not None:
        clay.place(scene.table.position, 0.0, 1.0)
        clay.basis = np.diag([scene.table.scale, 1.0, 1.0])
        BUILDERS["table"](clay, dict(scene.table.colors), rng)
        blobs.append((0.0, scene.table.position[2], 0.8, 0.35))
    main = len(clay.solids)
    if scene.ground == "water":
        raft(clay, scene)
    landscape(clay, scene, rng, scale)
    is_person = np.zeros(len(clay.solids) + 2, bool)
    is_person[2 : main + 2] = [s.class_id == 13 for s in clay.solids[:main]]
    tall = max(_height(item) + item.position[1] for item in scene.items)
    radius = float(np.clip(1.25 * scene.half_width + 0.9 * tall, 0.4, 9.0)) + (0.4 if scene.table else 0.0)
    return Stage(
        clay.solids,
        is_person,
        people,
        blobs,
        lamps,
        hang_sky(scene, rng),
        (0.0, tall * 0.35, -0.25 * scale),
        radius,
        scale,
    )


def _height(item: Item) -> float:
    """How tall an item is, meters."""
    return item.scale * (2.0 if item.person else k.KINDS[item.kind].height)


def _person(clay: Clay, item: Item, owner: int) -> Posed:
    """Model a person with seat and prop."""
    person = item.person
    assert person is not None
    joints = build_person(clay, person)
    rng = np.random.default_rng(0)
    if person.seat:
        paint = {"body": person.seat_color}
        if person.seat == "box":
            clay.box(
                (0, (SEAT_HEIGHT - 0.02) / 2, -0.02), (0.30, (SEAT_HEIGHT - 0.02) / 2, 0.24), person.seat_color, "box"
            )
        else:
            BUILDERS[person.seat](clay, paint, rng)
    local = (joints - clay.position) @ np.linalg.inv(clay.basis).T
    if person.pose == "holding":
        middle = (local[4] + local[7]) / 2
        clay.ball(np.add(middle, (0, 0.10, 0.10)), 0.19, person.prop_color, "ball")
    elif person.pose == "balloon":
        hand = local[7] if person.mirrored else local[4]
        clay.limb(hand, np.add(hand, (0, 0.50, 0.0)), 0.011, 0.011, "paper", "ball")
        balloon_head(clay, (float(hand[0]), float(hand[1]) + 0.80, float(hand[2])), person.prop_color)
    reach = np.full(18, 0.21)
    reach[[0, 14, 15, 16, 17]] = 0.07
    return Posed(owner, joints, reach * item.scale)


def _light_up(item: Item, lamps: list[tuple[float, float, float, float]]) -> None:
    """Where an item shines after dark."""
    x, y, z = item.position
    s = item.scale
    ahead = turn(item.heading) @ (0, 0, s)
    if item.kind == "street lamp":
        lamps.append((x, y + 2.1 * s, z, 3.4 * s))
    elif item.kind == "lamp":
        lamps.append((x, y + 0.45 * s, z, 2.4 * s))
    elif item.kind in ("house", "tower"):
        lamps.append((x + 1.5 * ahead[0], y + 0.7 * s, z + 1.5 * ahead[2], 1.8 * s))
    elif item.kind == "car":
        lamps.append((x + 1.7 * ahead[0], y + 0.4 * s, z + 1.7 * ahead[2], 1.3 * s))
