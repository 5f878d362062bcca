"""Condition maps of rendered views from their exact labels, drawn by the same code as the detectors' results."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo, get, scene_kind
from cn.detect.lines.canny import HIGH, LOW, canny
from cn.detect.pose import people
from cn.detect.pose.skeleton import draw
from cn.detect.segmentation.palettes import ADE20K, paint
from cn.detect.surfaces.encoding import depth_to_map, normals_to_map

if TYPE_CHECKING:
    from cn.scenes.render import View


def condition_map(view: "View", kind: str, thresholds: tuple[float, float] = (LOW, HIGH)) -> NDArray[np.uint8]:
    """The map of one kind, uint8 (h, w, 3) RGB. `thresholds` are Canny's. UsageError for a kind that scenes lack."""
    kind = scene_kind(kind)
    if kind == "canny":
        return _three_channels(canny(view.rgb, *thresholds))
    if kind == "depth":
        return _three_channels(depth_to_map(view.depth))
    if kind == "normal":
        return normals_to_map(view.normals)
    if kind == "openpose":
        return draw(view.keypoints, *view.rgb.shape[:2])
    # Scenes number ADE20K's classes from 1, palettes from 0.
    return paint(view.classes.astype(np.int16) - 1, ADE20K)


def condition_info(kind: str, thresholds: tuple[float, float] = (LOW, HIGH)) -> ConditionInfo:
    """The metadata of a scene's map: Canny edges are detected, all other maps are exact."""
    kind = scene_kind(kind)
    convention = {"convention": get(kind).convention}
    if kind == "canny":
        return ConditionInfo(kind, "canny (OpenCV)", {"low": thresholds[0], "high": thresholds[1], **convention})
    return ConditionInfo(kind, "built-in scenes (exact)", convention)


def shows_person(view: "View") -> bool:
    """Whether the image shows a person by the paper's rule: 30 % of the 18 keypoints inside it and not hidden."""
    seen = np.where(view.keypoints[..., 2:] == 1, view.keypoints, 0)
    return people.shows_person(seen, view.rgb.shape[:2])


def _three_channels(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(gray[..., None], 3, axis=2)
