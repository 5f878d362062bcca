"""Condition maps of rendered views, of all kinds, drawn by the same code as the detectors' results.

Depth, normals, classes and poses are exact: the renderer knows them. Canny edges are detected in the image. The other
maps of lines are drawn from the exact boundaries of things and the edges of the image (`cn.data.scene_maps`).
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo, get
from cn.data.scene_maps.boundaries import boundaries_of
from cn.data.scene_maps.line_drawing import LineDrawing, line_drawing
from cn.data.scene_maps.random_choices import PARAMETERS, Parameters, random_parameters, random_scribble
from cn.data.scene_maps.soft_edges import SoftEdges, soft_edges
from cn.data.scene_maps.straight_lines import StraightLines, straight_lines
from cn.detect.lines.canny import HIGH, LOW, canny, random_thresholds
from cn.detect.lines.hough import draw_lines, lsd_lines
from cn.detect.lines.lineart import standard_lineart
from cn.detect.lines.scribble import released_scribble, scale_of
from cn.detect.lines.scribble_augmentation import augmented_scribble
from cn.detect.lines.soft_edge_gradient import gradient_soft_edge
from cn.detect.pose import coco_skeleton, people, skeleton
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF, paint
from cn.detect.surfaces.encoding import depth_to_map, normals_to_map

if TYPE_CHECKING:
    from cn.scenes.render import View

Gray = NDArray[np.uint8]

EXACT, FROM_EDGES = "built-in scenes (exact)", "built-in scenes (from exact boundaries and edges)"
"""What makes a map: its labels alone, or its labels and its image. Exact skeletons show hidden points, too."""

METHODS = {"hough": "lsd", "hed": "gradient", "lineart": "standard"}
"""The methods of `cn detect` without weights, which make some of the training maps."""


def condition_map(view: "View", kind: str, thresholds: tuple[float, float] = (LOW, HIGH)) -> NDArray[np.uint8]:
    """The map of one kind, uint8 (h, w, 3) RGB, without random choices. `thresholds` are Canny's.

    UsageError for an unknown kind. Several maps of one view share its boundaries (`boundaries_of`).
    """
    kind = get(kind).kind
    if kind == "canny":
        return _three_channels(canny(view.rgb, *thresholds))
    if kind == "scribble":
        return _three_channels(released_scribble(soft_edges(boundaries_of(view)), scale_of(view.rgb.shape)))
    if kind in PARAMETERS:
        return _three_channels(_line_map(view, PARAMETERS[kind]()))
    return _exact_map(view, kind)


def training_map(view: "View", kind: str, seed: int, number: int) -> NDArray[np.uint8]:
    """The map of one kind, uint8 (h, w, 3) RGB, with the random choices of training data for scene `number` of `seed`.

    As the paper has it (§3.5): random thresholds for Canny edges; random thresholds, masking, morphology and
    non-maximum suppression for scribbles. The other maps of lines vary in width, strength and in what they leave out,
    and some are those of `cn detect` without weights. Maps of other kinds are those of `condition_map`. A pure function
    of its arguments; `training_info` has the choices.
    """
    kind = get(kind).kind
    if kind == "canny":
        return condition_map(view, kind, random_thresholds(seed, str(number)))
    if kind == "scribble":
        edges, augmentation = random_scribble(seed, number)
        soft = soft_edges(boundaries_of(view), edges)
        return _three_channels(augmented_scribble(soft, augmentation.scaled(scale_of(soft.shape))))
    if kind in PARAMETERS:
        parameters = random_parameters(kind, seed, number)
        return _three_channels(_detected(view, kind) if parameters is None else _line_map(view, parameters))
    return _exact_map(view, kind)


def condition_info(kind: str, thresholds: tuple[float, float] = (LOW, HIGH)) -> ConditionInfo:
    """The metadata of `condition_map`: what is exact, what is detected, and what is drawn from both."""
    kind = get(kind).kind
    if kind == "canny":
        return _info(kind, "canny (OpenCV)", {"low": thresholds[0], "high": thresholds[1]})
    return _info(kind, FROM_EDGES if kind == "scribble" or kind in PARAMETERS else EXACT, {})


def training_info(kind: str, seed: int, number: int) -> ConditionInfo:
    """The metadata of `training_map`, with its random choices."""
    kind = get(kind).kind
    if kind == "canny":
        return condition_info(kind, random_thresholds(seed, str(number)))
    if kind == "scribble":
        edges, augmentation = random_scribble(seed, number)
        return _info(kind, FROM_EDGES, {"edges": edges.record(), "augmentation": augmentation.record()})
    if kind in PARAMETERS:
        parameters = random_parameters(kind, seed, number)
        if parameters is None:
            return _info(kind, f"{METHODS[kind]} (without weights)", {"method": METHODS[kind]})
        return _info(kind, FROM_EDGES, {"drawing": parameters.record()})
    return condition_info(kind)


def shows_person(view: "View") -> bool:
    """Whether the image shows a person by the paper's rule: 30 % of the 18 keypoints inside it and not hidden."""
    seen = np.where(view.keypoints[..., 2:] == 1, view.keypoints, 0)
    return people.shows_person(seen, view.rgb.shape[:2])


def _exact_map(view: "View", kind: str) -> NDArray[np.uint8]:
    """Depth, normals, classes or poses."""
    if kind == "depth":
        return _three_channels(depth_to_map(view.depth))
    if kind == "normal":
        return normals_to_map(view.normals)
    if kind == "openpose":
        return skeleton.draw(view.keypoints, *view.rgb.shape[:2])
    if kind == "openpifpaf":
        return coco_skeleton.draw(coco_skeleton.from_openpose(view.keypoints), *view.rgb.shape[:2])
    if kind == "coco":
        return paint(view.coco, COCO_STUFF)
    # Scenes number ADE20K's classes from 1, palettes from 0.
    return paint(view.classes.astype(np.int16) - 1, ADE20K)


def _line_map(view: "View", parameters: Parameters) -> Gray:
    """Lines that are drawn with these parameters, (h, w)."""
    boundaries = boundaries_of(view)
    match parameters:
        case SoftEdges():
            return soft_edges(boundaries, parameters)
        case StraightLines():
            return draw_lines(straight_lines(view, boundaries, parameters), boundaries.contrast.shape)
        case LineDrawing():
            return line_drawing(boundaries, parameters)


def _detected(view: "View", kind: str) -> Gray:
    """What the method without weights finds in the image, (h, w)."""
    if kind == "hough":
        return draw_lines(lsd_lines(view.rgb), view.rgb.shape[:2])
    return gradient_soft_edge(view.rgb) if kind == "hed" else standard_lineart(view.rgb)


def _info(kind: str, maker: str, settings: dict[str, Any]) -> ConditionInfo:
    return ConditionInfo(kind, maker, settings | {"convention": get(kind).convention})


def _three_channels(gray: Gray) -> NDArray[np.uint8]:
    return np.repeat(gray[..., None], 3, axis=2)
