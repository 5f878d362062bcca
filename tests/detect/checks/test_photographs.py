"""Maps that are given to detectors of photographs; and drawings, logos and photographs, which are right."""

import numpy as np
import pytest

from cn.conditions import ConditionInfo
from cn.detect.checks import check_photograph
from cn.detect.lines.canny import canny
from cn.scenes import describe, render
from tests.detect.checks.test_maps import SIDE, labels, person, photograph, sphere, strokes


def rules(image) -> list[str]:
    image = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return [warning.rule for warning in check_photograph(image)]


def test_edges_of_an_edge_map():
    for name in ("astronaut", "coffee", "camera"):
        assert rules(canny(photograph(name))) == ["map of a map"]
    (warning,) = check_photograph(photograph(), ConditionInfo("canny", "canny (OpenCV)").to_text())
    assert "already, as its PNG says" in str(warning)


def test_a_damaged_description_is_no_reason_to_fail():
    assert check_photograph(photograph(), {"cn.condition": "{"}) == []


def test_skeletons_and_labels():
    for map in (person(), labels()):
        assert rules(map) == ["map of a map"]


def test_normals():
    from cn.detect.surfaces.encoding import normals_to_map

    assert rules(normals_to_map(sphere())) == ["map of a map"]


@pytest.mark.parametrize(
    "name", ["astronaut", "coffee", "rocket", "chelsea", "camera", "coins", "page", "horse", "moon"]
)
def test_photographs(name):
    image = photograph(name)
    assert rules(image.astype(np.uint8) * 255 if image.dtype == bool else image) == []


@pytest.mark.parametrize("number", range(4))
def test_scenes(number):
    assert rules(render(describe(0, number), 192).rgb) == []


def test_drawings_and_logos():
    assert rules(255 - strokes(2)) == [], "a drawing in ink"
    assert rules(strokes(8)) == [], "chalk on a blackboard"
    logo = np.zeros((SIDE, SIDE), np.uint8)
    logo[60:200, 60:100] = logo[160:200, 60:180] = 255
    assert rules(logo) == []
    assert rules(np.zeros((SIDE, SIDE), np.uint8)) == []
    flag = np.zeros((SIDE, SIDE, 3), np.uint8)
    flag[:90], flag[90:180], flag[180:] = (0, 0, 0), (221, 0, 0), (255, 206, 0)
    assert rules(flag) == []
