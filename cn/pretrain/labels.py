"""What is true of a rendered scene, as small arrays: what the judges of samples are trained on, and compared with.

`labels` is called by the processes that render. Cells are those of `cn.caption.scene_reader`, the other maps have a
quarter of the image's sides.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn.caption.scene_labels import (
    CELL,
    COLORS,
    GROUNDS,
    LIGHTS,
    MAX_PEOPLE,
    NOTHING,
    PARTS,
    REST,
    SIZE,
    TABLE,
    WEATHERS,
)
from cn.detect.surfaces.encoding import depth_to_map
from cn.scenes import Scene, View, raycaster
from cn.scenes.builder import Solid
from cn.scenes.classes import CLASSES
from cn.scenes.colors import LINEAR
from cn.scenes.geometry import look_at
from cn.scenes.scene import Item
from cn.scenes.scene_model import build_scene_model

Arrays = dict[str, NDArray[Any]]

CELLS = SIZE // CELL
NONE = 255
"""In cells: no thing, or no color; in maps of classes: no class."""
DENSE_STRIDE = 4
CELL_LABELS = ("cells_parts", "cells_colors", "cells_owners", "whole")
DENSE_LABELS = ("dense_depth", "dense_normals", "dense_ade20k", "dense_coco", "dense_keypoints")

PERSON_COLORS = {
    "top": "top",
    "legs": "legs",
    "hat": "hat_color",
    "accessory": "accessory_color",
    "prop": "prop_color",
    "seat": "seat_color",
}
"""Part of a person → the field of `Person` that has its color."""
MARKS = ("hill_a", "hill_b", "mountain", "mountain_warm", "snow_hill", "dune")
"""Colors that the parts of a thing are given for a moment, to see which solids take them: those of no detail."""
NUMBER_OF_PART = {name: number for number, name in enumerate(PARTS)}


def labels(scene: Scene, view: View) -> Arrays:
    """Everything: those of `cells_of`, of `whole_of` and of `dense_of`."""
    return {**cells_of(scene), "whole": whole_of(scene), **dense_of(view)}


def parts_of(item: Item) -> dict[str, str]:
    """The color of each colored part of an item, also of a person."""
    if (person := item.person) is None:
        return dict(item.colors)
    return {part: color for part, field in PERSON_COLORS.items() if (color := getattr(person, field))}


def recolored(item: Item, colors: dict[str, str]) -> Item:
    """The item with other colors of some of its parts."""
    if item.person is None:
        return replace(item, colors=tuple((part, colors.get(part, color)) for part, color in item.colors))
    changes: dict[str, Any] = {PERSON_COLORS[part]: color for part, color in colors.items()}
    return replace(item, person=replace(item.person, **changes))


def cells_of(scene: Scene) -> Arrays:
    """uint8 (CELLS, CELLS) each: the part, its color, and the number of the item (of a close-up's table: the next one),
    as seen at the centers of cells.

    A color is that of the part in the description of the scene, whatever material the model makes of it: a brown dog
    has brown fur. Which solids belong to which part shows in a copy of the scene in other colors, so no model may draw
    more random numbers for some colors than for others.
    """
    marks = [dict(zip(parts_of(item), MARKS, strict=False)) for item in scene.items]
    items = tuple(recolored(item, mark) for item, mark in zip(scene.items, marks, strict=True))
    table = None if scene.table is None else recolored(scene.table, {"body": MARKS[0]})
    solids = build_scene_model(replace(scene, items=items, table=table)).solids
    camera = look_at(np.array(scene.eye), np.array(scene.target), scene.fov, CELLS, CELLS)
    with np.errstate(all="ignore"):
        projected = raycaster.project_solids(camera, solids, CELLS, CELLS)
        _, ids = raycaster.trace(camera, projected, solids, CELLS, CELLS)
    answers = np.array([_nothing(), _nothing(), *(_answer(scene, solid, marks) for solid in solids)], np.uint8)
    found = answers[ids]
    return {name: found[..., k] for k, name in enumerate(CELL_LABELS[:3])}


def _nothing() -> tuple[int, int, int]:
    return NUMBER_OF_PART[NOTHING], NONE, NONE


def _answer(scene: Scene, solid: Solid, marks: list[dict[str, str]]) -> tuple[int, int, int]:
    """Part, color and owner of a solid in its mark's color."""
    if solid.owner < 0:
        if scene.table is None or solid.class_id != CLASSES["table"]:
            return _nothing()
        return NUMBER_OF_PART[TABLE, "body"], COLORS.index(scene.table.color("body")), len(scene.items)
    item = scene.items[solid.owner]
    marked = marks[solid.owner].items()
    part = next((part for part, mark in marked if np.array_equal(LINEAR[mark], solid.color)), REST)
    if part == REST:
        return NUMBER_OF_PART[item.kind, REST], NONE, solid.owner
    return NUMBER_OF_PART[item.kind, part], COLORS.index(parts_of(item)[part]), solid.owner


def whole_of(scene: Scene) -> NDArray[np.uint8]:
    """uint8 (4,): ground, light, weather and number of people (at most MAX_PEOPLE)."""
    # Without a raft everything floats.
    on_raft = scene.ground == "water" and any(item.position[1] > 0 for item in scene.items)
    ground = "raft" if on_raft else scene.ground
    people = sum(item.person is not None for item in scene.items)
    answers = (GROUNDS.index(ground), LIGHTS.index(scene.light), WEATHERS.index(scene.weather), min(people, MAX_PEOPLE))
    return np.array(answers, np.uint8)


def dense_of(view: View) -> Arrays:
    """Of every fourth pixel: the depth map (uint8, as in condition maps), normals (int8, 127 times), both classes
    (uint8: ADE20K's ids from 0, COCO-Stuff's, or NONE); and keypoints (MAX_PEOPLE, 18, 3) float16 in shares of the
    image's sides, with the visibility of `View`; zeros where there is no such person.
    """
    height, width = view.depth.shape
    keypoints = np.zeros((MAX_PEOPLE, 18, 3), np.float16)
    people = view.keypoints[:MAX_PEOPLE]
    keypoints[: len(people)] = people / np.array((width, height, 1))
    fourth = np.s_[DENSE_STRIDE // 2 :: DENSE_STRIDE, DENSE_STRIDE // 2 :: DENSE_STRIDE]
    return {
        "dense_depth": depth_to_map(view.depth)[fourth],
        "dense_normals": np.round(view.normals[fourth] * 127).astype(np.int8),
        "dense_ade20k": view.classes[fourth] - np.uint8(1),
        "dense_coco": view.coco[fourth],
        "dense_keypoints": keypoints,
    }
