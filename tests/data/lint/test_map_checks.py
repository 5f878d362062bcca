"""Maps that are wrong by themselves, in ways that only lint looks for."""

import cv2
import numpy as np
import pytest

from cn.conditions import ConditionInfo
from cn.data.lint.depth_checks import Directions, coarse, truncation
from cn.data.lint.map_checks import map_fault
from cn.detect.checks import MapFacts
from cn.detect.pose.skeleton import JOINTS, LIMBS, draw
from cn.detect.segmentation.palettes import ADE20K, paint
from tests.data.lint.planted import person

SIZE = 256


def gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.int64).astype(np.uint8)[..., None], 3, axis=2)


def room() -> np.ndarray:
    """Depth as measured, 0..1: a floor, a ball and a far wall."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    depth = np.where(y > 0.4, 0.2 + 0.8 * (y - 0.4) / 0.6, 0.15 + 0.05 * x)
    inside = np.hypot(x - 0.6, y - 0.5) / 0.22
    return np.where(inside < 1, 0.6 + 0.25 * np.sqrt(np.clip(1 - inside**2, 0, 1)), depth)


RIGHT, FULL = room() * 255, room() * 65535

TRUNCATED = {
    "low byte of 16 bits": FULL.astype(int) % 256,
    "low byte of millimeters": (room() * 5000).astype(int) % 256,
    "low byte of 10 bits": (room() * 1023).astype(int) % 256,
    "high byte of millimeters, stretched": (room() * 5000).astype(int) // 256 * (255 / 19),
    "clipped by Pillow, convert('L')": np.minimum(room() * 600, 255),
}


@pytest.mark.parametrize("how", TRUNCATED)
def test_16_bits_that_were_cut_to_8_are_recognized(how):
    assert truncation(gray(RIGHT)) is None
    assert truncation(gray(TRUNCATED[how])) is not None


def test_right_depth_of_few_bits_or_with_sharp_outlines_is_not_accused():
    boxes = np.zeros((SIZE, SIZE))
    for number in range(1, 12):
        boxes[number * 9 :: 40, number * 17 : number * 17 + 60] = (number * 53) % 256
    assert truncation(gray(boxes)) is None
    assert truncation(gray(255 * (room() > 0.5))) is None
    assert truncation(gray(cv2.GaussianBlur(RIGHT, (0, 0), 6))) is None
    assert truncation(gray(RIGHT)[:4, :4]) is None


def test_a_depth_map_of_the_opposite_direction_stands_out_in_its_set():
    right, sky = Directions(), Directions()
    rng = np.random.default_rng(0)
    maps = [gray(np.clip(RIGHT * rng.uniform(0.7, 1) + rng.normal(0, 10, (SIZE, SIZE)), 0, 255)) for _ in range(40)]
    for number, map in enumerate(maps):
        right.add(coarse(255 - map if number == 17 else map))
        sky.add(coarse(255 - map))
    assert right.opposed().tolist() == [17]
    assert right.inverted_share() == pytest.approx(1 / 40)
    assert sky.inverted_share() == 1.0, "a whole set can be inverted"


def test_sets_that_are_small_or_mixed_say_nothing():
    rng = np.random.default_rng(0)
    small, mixed = Directions(), Directions()
    for number in range(60):
        if number < 10:
            small.add(coarse(gray(RIGHT)))
        mixed.add(coarse(gray(rng.uniform(0, 255, (SIZE, SIZE)))))
    assert small.inverted_share() is None
    assert small.opposed().size == mixed.opposed().size == 0


@pytest.mark.parametrize("style", ["released", "v1.1"])
@pytest.mark.parametrize("upside_down", [False, True])
def test_skeletons_of_reversed_channels_and_mirrored_ones(style, upside_down):
    map = draw(person(SIZE, np.random.default_rng(1))[None], SIZE, SIZE, style)
    if upside_down:
        map = np.ascontiguousarray(map[::-1, ::-1])
    assert rule(map, "openpose") is None
    assert rule(np.ascontiguousarray(map[..., ::-1]), "openpose") == "reversed-channels"
    assert rule(np.ascontiguousarray(map[:, ::-1]), "openpose") == "mirrored"


def test_somebody_from_behind_has_no_face_and_is_not_mirrored():
    map = draw(person(SIZE, np.random.default_rng(1), behind=True)[None], SIZE, SIZE)
    assert rule(map, "openpose") is None
    assert rule(np.ascontiguousarray(map[:, ::-1]), "openpose") is None, "from behind, nothing says so"


def test_exact_skeletons_that_show_hidden_points_are_not_mirrored():
    points = person(SIZE, np.random.default_rng(1))
    points[:, 0] = SIZE - points[:, 0]
    map = draw(points[None], SIZE, SIZE)
    exact = ConditionInfo("openpose", "built-in scenes (exact)")
    assert rule(map, "openpose") == "mirrored"
    assert map_fault(map, "openpose", exact, MapFacts()) is None


def test_limbs_have_the_joints_of_openpose():
    """The order that the rules rely on: neck to shoulders, neck to nose, nose to eyes."""
    names = [(JOINTS[start], JOINTS[end]) for start, end in LIMBS]
    assert names[0] == ("neck", "right shoulder")
    assert names[12:14] == [("neck", "nose"), ("nose", "right eye")]


def test_normals_of_a_floor_with_red_and_blue_exchanged():
    """Little of it faces left: `check_map` is silent."""
    normals = np.zeros((SIZE, SIZE, 3))
    normals[...] = (0.0, 0.8, 0.6)
    normals[100:170, 100:170] = (-0.8, 0.0, 0.6)
    map = np.round((normals + 1) * 127.5).astype(np.uint8)
    assert rule(map, "normal") is None
    assert rule(np.ascontiguousarray(map[..., ::-1]), "normal") == "reversed-channels"


def test_one_patch_of_another_color_is_off_the_palette():
    ids = np.zeros((SIZE, SIZE), int)
    ids[:, 128:] = 4
    map = paint(ids, ADE20K)
    assert rule(map, "ade20k") is None
    map[:10, :10] = (1, 2, 3)
    fault = map_fault(map, "ade20k", None, MapFacts())
    assert fault is not None
    assert fault[0] == "off-palette"
    assert "0.15 %" in fault[1]
    assert map_fault(paint(ids, ADE20K), "ade20k", None, MapFacts("JPEG")) is not None, "JPEG is no format for labels"


@pytest.mark.parametrize(("kind", "pixels"), [("canny", 31), ("hed", 31), ("openpose", 15)])
def test_near_empty_is_less_than_a_line_across_an_eighth(kind, pixels):
    map = np.zeros((SIZE, SIZE, 3), np.uint8)
    map[100, 20 : 20 + pixels] = 255
    assert rule(map, kind) == "near-empty"
    map[100, 20 : 20 + pixels + 1] = 255
    assert rule(map, kind) != "near-empty"


def test_depth_whose_range_an_outlier_takes_up():
    map = np.full((SIZE, SIZE, 3), 9, np.uint8)
    map[5:8, 5:8] = 255
    assert rule(map, "depth") == "near-empty"
    assert rule(gray(np.linspace(100, 106, SIZE)[None].repeat(SIZE, 0)), "depth") == "near-empty"


def rule(map: np.ndarray, kind: str) -> str | None:
    fault = map_fault(map, kind, None, MapFacts())
    return None if fault is None else fault[0]


def test_a_detected_drawing_of_a_dense_texture_is_no_photograph():
    """Soft lines on nearly all of the map; without the note of the detector it may as well be one."""
    rng = np.random.default_rng(0)
    map = gray(rng.integers(60, 200, (SIZE, SIZE)))
    info = ConditionInfo("lineart", "darker than its surroundings")
    found = map_fault(map, "lineart", None, MapFacts())
    assert found is not None
    assert found[0] == "photograph"
    assert map_fault(map, "lineart", info, MapFacts()) is None
