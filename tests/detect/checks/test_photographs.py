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
    # Full red and blue are classes of the palettes too.
    disc = np.zeros((SIDE, SIDE, 3), np.uint8)
    disc[60:200, 60:200] = (255, 0, 0)
    assert rules(disc) == []
    disc[80:120, 80:120] = (0, 0, 255)
    assert rules(disc) == []


def test_lights_and_stars_at_night():
    import cv2

    random = np.random.default_rng(0)
    stars = np.zeros((SIDE, SIDE), np.uint8)
    stars[random.integers(SIDE, size=600), random.integers(SIDE, size=600)] = 255
    assert rules(stars) == []
    fireworks = np.zeros((SIDE, SIDE, 3), np.uint8)
    for _ in range(12):
        hue, (x, y) = random.integers(180), random.integers(30, SIDE - 30, 2)
        rgb = cv2.cvtColor(np.array([[[hue, 255, 255]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0].tolist()
        for dx, dy in random.integers(-30, 31, (30, 2)):
            cv2.line(fireworks, (int(x), int(y)), (int(x + dx), int(y + dy)), rgb, 1, cv2.LINE_AA)
    assert rules(fireworks) == []


@pytest.mark.parametrize("name", ["coins", "grass", "chelsea"])
def test_photographs_in_black_and_white_dots(name):
    from PIL import Image

    dithered = Image.fromarray(photograph(name)).convert("L").convert("1")
    assert rules(np.asarray(dithered.convert("L"))) == []
