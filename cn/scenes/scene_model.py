"""From a scene description to its solids: its items, the landscape around them, and the sky."""

from dataclasses import dataclass

import numpy as np

from cn.scenes import kinds
from cn.scenes.builder import Builder, Solid
from cn.scenes.classes import CLASSES
from cn.scenes.enclosed import forest, room, street
from cn.scenes.geometry import Array, turn
from cn.scenes.landscape import country, raft
from cn.scenes.models.catalog import MODELS
from cn.scenes.models.people import build_person
from cn.scenes.models.props import build_prop
from cn.scenes.models.skeleton import SEAT_HEIGHT
from cn.scenes.scene import Item, Scene
from cn.scenes.sky import Sky, make_sky

_PERSON_HEIGHT = 2.0
"""The assumed height of every person of scale 1, meters."""
_HEAD_KEYPOINTS = [0, 14, 15, 16, 17]
"""Nose, eyes and ears; all numbers are those of OpenPose's 18 keypoints."""
_SURROUNDINGS = {"street": street, "forest": forest, "room": room}
"""What builds the surroundings of a ground; that of the others is `country`."""
_BODY_REACH, _HEAD_REACH = 0.21, 0.07
"""How far a keypoint may lie behind the visible surface of a person of scale 1, meters."""


@dataclass(frozen=True)
class PosedPerson:
    """A person's keypoints in the world (18, 3) and how far behind the visible surface each may lie (meters) (18,)."""

    owner: int
    joints: Array
    reach: Array


@dataclass(frozen=True)
class SceneModel:
    """All solids of a scene, with what shading needs."""

    solids: list[Solid]
    is_person: Array
    """Per id (see `raycaster`): belongs to a person's body."""
    people: list[PosedPerson]
    contact_shadows: list[tuple[float, float, float, float]]
    """Soft contact shadows on the ground: x, z, radius, strength."""
    lamps: list[tuple[float, float, float, float]]
    """Warm lights: x, y, z, reach in meters."""
    sky: Sky
    center: tuple[float, float, float]
    radius: float
    """Center and radius (meters) of the sphere that the shadow map covers."""
    scale: float
    """Scale of the surface patterns: 1 for people a few meters away."""


def build_scene_model(scene: Scene) -> SceneModel:
    """Build the solids of everything in `scene`."""
    rng = np.random.default_rng(np.random.SeedSequence([scene.seed, scene.index, 1]))
    scale = float(np.clip(scene.eye[2] / 5.5, 0.12, 1.6))
    build, people = Builder(), []
    contact_shadows: list[tuple[float, float, float, float]] = []
    lamps: list[tuple[float, float, float, float]] = []
    for owner, item in enumerate(scene.items):
        build.place(item.position, item.heading, item.scale, owner)
        if item.person is not None:
            people.append(_person(build, item, owner))
        else:
            MODELS[item.kind](build, dict(item.colors), rng)
        _add_lamps(item, lamps)
        if item.position[1] == 0 and scene.ground != "water":
            wide = (
                0.36
                if item.person
                else max(kinds.KINDS[item.kind].half_width, kinds.KINDS[item.kind].half_depth) * 0.95
            )
            contact_shadows.append((item.position[0], item.position[2], wide * item.scale * 1.15, 0.36))
            contact_shadows.append((item.position[0], item.position[2], wide * item.scale * 0.55, 0.34))
    if scene.table is not None:
        build.place(scene.table.position, 0.0, 1.0)
        build.basis = np.diag([scene.table.scale, 1.0, 1.0])
        MODELS["table"](build, dict(scene.table.colors), rng)
        contact_shadows.append((0.0, scene.table.position[2], 0.8, 0.35))
    main = len(build.solids)
    if scene.ground == "water":
        raft(build, scene)
    build.place((0.0, 0.0, 0.0), scale=scale)
    build.shadow = False
    _SURROUNDINGS.get(scene.ground, country)(build, scene, rng, scale)
    is_person = np.zeros(len(build.solids) + 2, bool)
    is_person[2 : main + 2] = [s.class_id == CLASSES["person"] for s in build.solids[:main]]
    tall = max(_height(item) + item.position[1] for item in scene.items)
    radius = float(np.clip(1.25 * scene.half_width + 0.9 * tall, 0.4, 9.0)) + (0.4 if scene.table else 0.0)
    return SceneModel(
        build.solids,
        is_person,
        people,
        contact_shadows,
        lamps,
        make_sky(scene, rng),
        (0.0, tall * 0.35, -0.25 * scale),
        radius,
        scale,
    )


def _height(item: Item) -> float:
    """How tall an item is, meters."""
    return item.scale * (_PERSON_HEIGHT if item.person else kinds.KINDS[item.kind].height)


def _person(build: Builder, item: Item, owner: int) -> PosedPerson:
    """Build a person with seat and prop."""
    person = item.person
    assert person is not None
    joints = build_person(build, person)
    rng = np.random.default_rng(0)
    if person.seat:
        colors = {"body": person.seat_color}
        if person.seat == "box":
            build.box(
                (0, (SEAT_HEIGHT - 0.02) / 2, -0.02), (0.30, (SEAT_HEIGHT - 0.02) / 2, 0.24), person.seat_color, "box"
            )
        else:
            MODELS[person.seat](build, colors, rng)
    build_prop(build, person)
    reach = np.full(len(joints), _BODY_REACH)
    reach[_HEAD_KEYPOINTS] = _HEAD_REACH
    return PosedPerson(owner, joints, reach * item.scale)


def _add_lamps(item: Item, lamps: list[tuple[float, float, float, float]]) -> None:
    """Append the lamps of an item that shines after dark."""
    if item.kind in kinds.LAMPS:
        x, y, z = item.position
        height, before, reach = kinds.LAMPS[item.kind]
        ahead = turn(item.heading) @ (0, 0, before * item.scale)
        lamps.append((x + ahead[0], y + height * item.scale, z + ahead[2], reach * item.scale))
