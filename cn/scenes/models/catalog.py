"""The model of each kind of thing that can stand in a scene."""

from collections.abc import Callable

from cn.scenes.builder import Builder, PartColors
from cn.scenes.geometry import Rng
from cn.scenes.models import buildings, figures, furniture, plants, small_objects, vehicles

Model = Callable[[Builder, PartColors, Rng], None]
"""Adds a thing to the builder, given the color name of each of its parts and a generator for small variations."""

MODELS: dict[str, Model] = {
    "house": buildings.house,
    "tower": buildings.tower,
    "tree": plants.tree,
    "fir": plants.fir,
    "palm": plants.palm,
    "car": vehicles.car,
    "snowman": figures.snowman,
    "table": furniture.table,
    "chair": furniture.chair,
    "bench": furniture.bench,
    "street lamp": furniture.street_lamp,
    "lamp": furniture.desk_lamp,
    "mug": small_objects.mug,
    "ball": small_objects.ball,
    "box": small_objects.box,
    "cone": small_objects.cone,
    "balloon": small_objects.balloon,
    "mushroom": plants.mushroom,
    "flower": plants.flower,
    "rock": plants.rock,
    "boat": vehicles.boat,
    "rocket": vehicles.rocket,
    "cat": figures.cat,
    "dog": figures.dog,
    "book": small_objects.book,
    "plant": small_objects.potted_plant,
    "fence": buildings.fence,
}
