"""Every kind of thing: it can be seen, named and placed, and its solids have classes in both tables."""

import numpy as np
import pytest

from cn.scenes import Scene, caption, describe, kinds, render
from cn.scenes.builder import Builder
from cn.scenes.choose_scene import GROUND_NAMES
from cn.scenes.classes import CLASSES, COCO, LABELS
from cn.scenes.colors import NAMED
from cn.scenes.models.catalog import MODELS
from cn.scenes.scene import Item
from cn.scenes.thing_words import OF_A_PART, PLURAL, THINGS

PLANNED_GROUNDS = {"street", "forest", "field", "room"}
"""Grounds that `kinds` knows whether or not scenes have them yet."""


def alone(kind: str, heading: float, colors: int, ground: str = "tiles") -> Scene:
    """One thing in the middle of the image, in the first or the last color of every part."""
    spec = kinds.KINDS[kind]
    parts = tuple((part, choices[colors]) for part, choices in spec.parts)
    far = 2.2 * max(spec.height, 2 * spec.half_width)
    eye, target = (0.0, 0.5 * spec.height + 0.25 * far, far), (0.0, 0.5 * spec.height, 0.0)
    item = Item(kind, parts, (0.0, 0.0, 0.0), heading, 1.0)
    return Scene(3, 5, ground, "noon", (item,), None, eye, target, 0.7, 0.6, spec.half_width, False)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_kind_is_seen_in_any_color(kind: str):
    spec = kinds.KINDS[kind]
    views = [render(alone(kind, heading, end), 48) for heading, end in zip(spec.turns, (0, -1), strict=True)]
    for view in views:
        depth = view.depth[np.isfinite(view.depth) & (view.classes != CLASSES["floor"])]
        own = depth < 3.4 * max(spec.height, 2 * spec.half_width)
        assert own.sum() > 48 * 48 * 0.015
    if spec.parts:
        assert np.abs(views[0].rgb.astype(int) - views[1].rgb).max() > 40


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_kind_fits_the_room_it_claims(kind: str):
    """Its solids lie within its half extents and height, in every variation, and are few enough to be quick."""
    spec = kinds.KINDS[kind]
    for seed in range(6):
        build = Builder()
        MODELS[kind](build, {part: choices[0] for part, choices in spec.parts}, np.random.default_rng(seed))
        middles = np.array([s.matrix[:, 3] for s in build.solids])
        across = spec.half_depth if spec.long else spec.half_width
        along = spec.half_width if spec.long else max(spec.half_depth, spec.half_width)
        assert np.abs(middles[:, 0]).max() < 1.1 * max(across, 0.5 * along)
        assert np.abs(middles[:, 2]).max() < 1.1 * along
        assert middles[:, 1].max() < spec.height
        assert 0 < len(build.solids) <= 75


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_kind_has_words_for_all_its_parts(kind: str):
    parts = {part: f"<{part}>" for part, _ in kinds.KINDS[kind].parts}
    for phrase in THINGS[kind]:
        text = phrase.format(**parts, **{f"{part}_bare": word for part, word in parts.items()})
        assert all(word in text for word in parts.values())
        assert not {*NAMED} & {*text.split()} or kind in ("rock", "plant")


def test_tables_speak_of_kinds_that_exist():
    assert {*THINGS} == {*kinds.KINDS, "gift"}
    assert {*MODELS} == {*kinds.KINDS, "fence"}
    for names in (PLURAL, OF_A_PART, kinds.TALL, kinds.FLOATING, kinds.NOT_ON_TABLES, kinds.LAMPS, kinds.SEATS):
        assert {*names} <= {*kinds.KINDS}
    grounds = {g for spec in kinds.KINDS.values() for g in spec.grounds}
    assert {*GROUND_NAMES} <= grounds <= {*GROUND_NAMES, *PLANNED_GROUNDS}
    colors = {c for spec in kinds.KINDS.values() for _, choices in spec.parts for c in choices}
    assert colors <= {*NAMED}
    assert {*CLASSES} == {*COCO} == {*LABELS}


@pytest.mark.parametrize("ground", [*GROUND_NAMES, *sorted(PLANNED_GROUNDS)])
def test_every_ground_has_enough_to_choose_from(ground: str):
    here = [spec for spec in kinds.KINDS.values() if ground in spec.grounds]
    assert sum(spec.big > 0 for spec in here) >= 8
    assert sum(spec.small > 0 for spec in here) >= 8


def test_things_stand_where_they_belong():
    for scene in (describe(8, i) for i in range(300)):
        for item in scene.items:
            assert item.person or scene.ground in kinds.KINDS[item.kind].grounds
            if item.kind == "duck" and scene.ground == "water":
                assert item.position[1] == 0


@pytest.mark.parametrize(
    ("kind", "ade", "coco"),
    [("horse", "animal", "horse"), ("bus", "bus", "bus"), ("sofa", "sofa", "sofa"), ("teapot", "teapot", "teapot")],
)
def test_the_middle_of_a_thing_has_its_classes(kind: str, ade: str, coco: str):
    view = render(alone(kind, kinds.KINDS[kind].turns[0], 0), 48)
    seen = (view.classes == CLASSES[ade]) & (view.coco == COCO[coco])
    assert seen.mean() > 0.05
    assert seen[20:28, 20:28].any()


def test_what_has_the_color_of_a_part_is_not_called_by_it():
    base = alone("well", 0.0, 0, "meadow")
    red, blue = (Item("well", (("roof", c),), (x, 0.0, 0.0), 0.0, 1.0) for c, x in (("red", -1.0), ("blue", 1.0)))
    for index in range(30):
        scene = Scene(3, index, "meadow", "noon", (red, blue), None, base.eye, base.target, 0.7, 0.6, 2.0, False)
        assert "wells" not in caption(scene)
        assert "red well" not in caption(scene)
