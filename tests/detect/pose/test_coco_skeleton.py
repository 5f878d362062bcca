"""Skeletons of 17 joints: tables, drawing, conversion to OpenPose's 18 joints."""

import numpy as np
import pytest

from cn.detect.pose import coco_skeleton, skeleton
from cn.detect.pose.coco_skeleton import draw, from_openpose, to_openpose
from cn.scenes import describe, render
from tests.helpers.pifpaf_fields import OPENPOSE

# As published, from 1.
PUBLISHED_LIMBS = [
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
]  # fmt: skip

# matplotlib's tab20, RGB.
PUBLISHED_COLORS = [
    (31, 119, 180), (174, 199, 232), (255, 127, 14), (255, 187, 120), (44, 160, 44), (152, 223, 138), (214, 39, 40),
    (255, 152, 150), (148, 103, 189), (197, 176, 213), (140, 86, 75), (196, 156, 148), (227, 119, 194), (247, 182, 210),
    (127, 127, 127), (199, 199, 199), (188, 189, 34), (219, 219, 141), (23, 190, 207), (158, 218, 229),
]  # fmt: skip

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def limb(number, start, end, scores=(1.0, 1.0)):
    """A person (17, 3) with only one limb."""
    body = np.zeros((17, 3))
    for joint, place, score in zip(coco_skeleton.LIMBS[number], (start, end), scores, strict=True):
        body[joint] = (*place, score)
    return body


def colors(canvas):
    return {tuple(pixel) for pixel in canvas.reshape(-1, 3).tolist()}


def test_the_tables_are_the_published_ones():
    assert [(a + 1, b + 1) for a, b in coco_skeleton.LIMBS] == PUBLISHED_LIMBS
    assert len(coco_skeleton.JOINTS) == 17
    assert list(coco_skeleton.COLORS) == PUBLISHED_COLORS
    for a, b in coco_skeleton.LIMBS:
        first, second = (coco_skeleton.JOINTS[joint].split() for joint in (a, b))
        assert first[0] == second[0] or first[1:] == second[1:] or "nose" in first, "one side, or across the body"


@pytest.mark.parametrize("number", range(19))
def test_a_limb_is_six_pixels_wide_in_its_color_with_white_dots(number):
    canvas = draw([limb(number, (20, 50), (80, 50))], 100, 100)
    column = canvas[:, 50]
    assert np.flatnonzero(column.any(axis=1)).tolist() == [48, 49, 50, 51, 52, 53]
    assert colors(canvas) == {BLACK, WHITE, PUBLISHED_COLORS[number]}
    assert tuple(canvas[50, 20]) == tuple(canvas[50, 80]) == WHITE
    white = (canvas == 255).all(axis=2)
    assert white[:, :40].sum() == white[:, 60:].sum() == 5, "dots three pixels across"
    columns = np.flatnonzero(canvas.any(axis=(0, 2)))
    assert 16 <= columns.min() <= 18
    assert 82 <= columns.max() <= 84
    assert canvas[:, columns.min() : columns.max() + 1].any(axis=(0, 2)).all(), "no gap"


@pytest.mark.parametrize("scores", [(0.5, 1.0), (0.9, 0.2), (0.01, 0.01)])
def test_a_limb_with_a_low_score_is_dashed(scores):
    canvas = draw([limb(0, (20, 50), (80, 50), scores)], 100, 100)
    drawn = canvas[48].any(axis=1)
    assert drawn[20:80].tolist() == ([True] * 4 + [False] * 4) * 7 + [True] * 4
    assert not drawn[:20].any()
    assert not drawn[81:].any()
    assert not draw([limb(0, (20, 50), (80, 50), (0.51, 0.51))], 100, 100)[48, 20:80].any(axis=1).tolist().count(False)


def test_diagonal_dashes_have_the_line_width():
    canvas = draw([limb(0, (20, 20), (80, 80), (0.4, 0.4))], 100, 100)
    rows, columns = np.nonzero(canvas.any(axis=2))
    assert np.abs(rows - columns).max() <= 5
    solid = draw([limb(0, (20, 20), (80, 80))], 100, 100).any(axis=2).sum()
    assert 0.4 * solid < len(rows) < 0.6 * solid


@pytest.mark.parametrize("invalid", [(30, 30, 0), (np.nan, 30, 1), (30, np.inf, 1), (30, 30, -1), (30, 30, np.nan)])
def test_a_missing_joint_and_its_limbs_are_not_drawn(invalid):
    body = limb(0, (20, 50), (80, 50))
    body[15] = invalid
    canvas = draw([body], 100, 100)
    assert colors(canvas) == {BLACK, WHITE}
    assert not canvas[:, :70].any()


def test_joints_far_outside_are_harmless():
    body = limb(0, (50, 50), (1e5, 50))
    assert draw([body], 100, 100)[48:54, 50:].any(axis=2).all()
    body[:, 2] *= 0.4
    assert 6 * 24 <= draw([body], 100, 100).any(axis=2).sum() <= 7 * 24
    body[13, :2] = 1e30, -1e30
    assert draw([body], 100, 100).any()


def test_no_people_is_black_and_later_people_cover_earlier_ones():
    assert not draw(np.zeros((0, 17, 3)), 40, 50).any()
    assert draw([], 40, 50).shape == (40, 50, 3)
    across, down = limb(0, (10, 50), (90, 50)), limb(2, (50, 10), (50, 90))
    assert tuple(draw([across, down], 100, 100)[52, 52]) == coco_skeleton.COLORS[2]
    assert tuple(draw([down, across], 100, 100)[52, 52]) == coco_skeleton.COLORS[0]


def test_joints_are_converted_by_name():
    people = np.zeros((1, 17, 3))
    people[0] = np.arange(51).reshape(17, 3) + 1
    made = to_openpose(people)[0]
    for joint, name in zip(made, skeleton.JOINTS, strict=True):
        if name != "neck":
            assert joint.tolist() == people[0, coco_skeleton.JOINTS.index(name)].tolist(), name


def test_the_neck_is_the_midpoint_of_both_shoulders():
    people = np.zeros((3, 17, 3))
    people[:, 5], people[:, 6] = (10, 20, 0.5), (30, 26, 0.9)
    people[1, 6, 2] = 0
    people[2, 5] = np.nan, 0, 1
    assert to_openpose(people)[:, 1].tolist() == [[20, 23, 0.5], [0, 0, 0], [0, 0, 0]]
    assert to_openpose(np.zeros((0, 17, 3))).shape == (0, 18, 3)


def test_the_skeleton_of_a_scene_survives_the_conversion():
    view = next(view for number in range(100) if len((view := render(describe(17, number), 64)).keypoints) > 1)
    coco = from_openpose(view.keypoints)
    assert np.array_equal(coco, view.keypoints[:, list(OPENPOSE)])
    back = to_openpose(coco)
    rest = [joint for joint in range(18) if joint != 1]
    assert np.array_equal(back[:, rest], view.keypoints[:, rest].astype(np.float64))
    size = np.ptp(view.keypoints[..., 1], axis=1)
    assert (np.hypot(*(back[:, 1] - view.keypoints[:, 1]).T[:2]) < 0.05 * size).all()
