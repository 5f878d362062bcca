"""Skeletons, against the published constants of OpenPose and a plain implementation."""

import colorsys

import cv2
import numpy as np
import pytest

from cn.detect.pose import skeleton
from tests.golden.make_detectors_pose import FILE, hands_to_draw

# OpenPose's joint pairs as published (from 1), without the two that are never drawn.
PUBLISHED_LIMBS = [
    [2, 3], [2, 6], [3, 4], [4, 5], [6, 7], [7, 8], [2, 9], [9, 10], [10, 11], [2, 12], [12, 13], [13, 14],
    [2, 1], [1, 15], [15, 17], [1, 16], [16, 18],
]  # fmt: skip


# RGB, as published.
PUBLISHED_COLORS = [
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85),
]  # fmt: skip


def person() -> np.ndarray:
    """A standing person in a 256×256 image, (18, 3)."""
    points = [
        (128, 40), (128, 70), (100, 70), (85, 105), (80, 140), (156, 70), (170, 100), (190, 70), (110, 140),
        (108, 185), (105, 235), (146, 140), (150, 185), (150, 235), (122, 34), (134, 34), (114, 38), (142, 38),
    ]  # fmt: skip
    return np.array([(x, y, 1.0) for x, y in points])


def alone(*joints: int) -> np.ndarray:
    """The person with only these joints."""
    body = person()
    body[[joint for joint in range(18) if joint not in joints], 2] = 0
    return body


def test_faces_are_white_dots_of_radius_3_drawn_last():
    """draw_facepose of ControlNet 1.1: a filled circle for each point, none in the first row or column."""
    face = np.zeros((70, 3))
    face[0], face[5], face[69] = (100.9, 50.2, 0.5), (0.5, 20, 1), (30, 40, 1)
    expected = np.zeros((200, 200, 3), np.uint8)
    for center in ((100, 50), (30, 40)):
        cv2.circle(expected, center, 3, (255, 255, 255), thickness=-1)
    for style in ("released", "v1.1"):
        nobody = np.zeros((1, 18, 3))
        assert np.array_equal(skeleton.draw(nobody, 200, 200, style, faces=face[None]), expected)
        body = np.zeros((1, 18, 3))
        body[0, 0] = (100, 50, 1)
        drawn = skeleton.draw(body, 200, 200, style, faces=face[None])
        assert (drawn[50, 98:103] == 255).all(), "over the joint"
        assert drawn[50, 96].tolist() == [255, 0, 0]


def test_the_tables_are_the_published_ones():
    assert [[a + 1, b + 1] for a, b in skeleton.LIMBS] == PUBLISHED_LIMBS
    assert list(skeleton.COLORS) == PUBLISHED_COLORS
    assert len(skeleton.JOINTS) == 18


@pytest.mark.parametrize("joint", range(18))
def test_a_joint_is_a_disc_of_radius_4_in_its_color(joint):
    canvas = skeleton.draw([alone(joint)], 256, 256)
    x, y = person()[joint, :2].astype(int)
    rows, columns = np.nonzero(canvas.any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (y - 4, y + 4, x - 4, x + 4)
    assert {tuple(pixel) for pixel in canvas[rows, columns].tolist()} == {PUBLISHED_COLORS[joint]}
    distance = np.hypot(rows - y, columns - x)
    assert distance.max() < 4.6
    assert 45 <= len(rows) <= 69


@pytest.mark.parametrize("limb", range(17))
def test_a_limb_is_an_ellipse_at_60_percent_between_its_joints(limb):
    start, end = skeleton.LIMBS[limb]
    canvas = skeleton.draw([alone(start, end)], 256, 256)
    a, b = person()[start, :2], person()[end, :2]
    middle = ((a + b) / 2).astype(int)
    expected = [round(0.6 * channel) for channel in skeleton.COLORS[limb]]
    if np.hypot(*(a - b)) > 20:
        # Between distant joints the pixel in the middle belongs to the limb only.
        assert canvas[middle[1], middle[0]].tolist() == expected
    # A joint's own disc is visible with 40 %.
    blended = 0.4 * np.array(skeleton.COLORS[end]) + 0.6 * np.array(skeleton.COLORS[limb])
    inside = (b + 3 * (a - b) / np.hypot(*(a - b))).astype(int)
    assert np.abs(canvas[inside[1], inside[0]].astype(int) - blended).max() <= 1


def test_the_width_of_a_limb_is_8_and_its_length_that_between_the_joints():
    body = alone(1, 2)
    body[1, :2], body[2, :2] = (200, 100), (100, 100)
    canvas = skeleton.draw([body], 200, 300)
    column = np.flatnonzero(canvas[:, 150].any(axis=1))
    assert (column.min(), column.max()) == (96, 104)
    row = np.flatnonzero(canvas[100].any(axis=1))
    assert (row.min(), row.max()) == (96, 204)


def plain_drawing(people: np.ndarray, height: int, width: int) -> np.ndarray:
    """The published drawing step by step: all joints, then limb by limb a filled ellipse with opacity 0.6."""
    canvas = np.zeros((height, width, 3), np.uint8)
    for joint in range(18):
        for body in people:
            if body[joint, 2] > 0:
                cv2.circle(canvas, tuple(body[joint, :2].astype(int).tolist()), 4, PUBLISHED_COLORS[joint], -1)
    for number, (a, b) in enumerate(PUBLISHED_LIMBS):
        for body in people:
            if body[a - 1, 2] > 0 and body[b - 1, 2] > 0:
                over = cv2.fillConvexPoly(canvas.copy(), plain_limb(body, a, b), PUBLISHED_COLORS[number])
                canvas = cv2.addWeighted(canvas, 0.4, over, 0.6, 0)
    return canvas


def plain_limb(body: np.ndarray, a: int, b: int) -> np.ndarray:
    """The ellipse between two joints (from 1), 8 pixels wide."""
    ends = body[[a - 1, b - 1], :2]
    center = ends.mean(axis=0).astype(int).tolist()
    dx, dy = ends[0] - ends[1]
    axes = (int(np.sqrt(dx**2 + dy**2) / 2), 4)
    return cv2.ellipse2Poly(center, axes, int(np.degrees(np.arctan2(dy, dx))), 0, 360, 1)


def plain_newer_drawing(people: np.ndarray, height: int, width: int) -> np.ndarray:
    """The drawing of version 1.1: person by person, opaque limbs at 0.6 of their color, joints on top."""
    canvas = np.zeros((height, width, 3), np.uint8)
    for body in people:
        for number, (a, b) in enumerate(PUBLISHED_LIMBS):
            if body[a - 1, 2] > 0 and body[b - 1, 2] > 0:
                color = [int(channel * 0.6) for channel in PUBLISHED_COLORS[number]]
                cv2.fillConvexPoly(canvas, plain_limb(body, a, b), color)
        for joint in range(18):
            if body[joint, 2] > 0:
                cv2.circle(canvas, tuple(body[joint, :2].astype(int).tolist()), 4, PUBLISHED_COLORS[joint], -1)
    return canvas


@pytest.mark.parametrize(("style", "plain"), [("released", plain_drawing), ("v1.1", plain_newer_drawing)])
@pytest.mark.parametrize("seed", range(6))
def test_crossing_people_are_drawn_pixel_for_pixel_as_published(seed, style, plain):
    rng = np.random.default_rng(seed)
    # With joints outside of each border, near and far.
    people = np.dstack([rng.uniform(-20, 276, (3, 18, 2)), rng.integers(0, 3, (3, 18, 1))])
    people[0, :4, :2] = rng.uniform(-900, 1200, (4, 2))
    assert np.array_equal(skeleton.draw(people, 256, 256, style), plain(people, 256, 256))


def test_the_style_of_version_1_1():
    canvas = skeleton.draw([person()], 256, 256, style="v1.1")
    for joint, (x, y) in enumerate(person()[:, :2].astype(int)):
        if joint not in (0, 14, 15, 16, 17):
            # Joints are on top at full brightness; on the head they overlap.
            assert tuple(canvas[y, x]) == skeleton.COLORS[joint]
    middle = ((person()[8, :2] + person()[9, :2]) / 2).astype(int)
    assert canvas[middle[1], middle[0]].tolist() == [int(0.6 * channel) for channel in skeleton.COLORS[7]]


def test_no_people_missing_points_and_points_outside():
    assert not skeleton.draw(np.zeros((0, 18, 3)), 40, 50).any()
    assert skeleton.draw([], 40, 50).shape == (40, 50, 3)
    unseen = person()
    unseen[:, 2] = 0
    assert not skeleton.draw([unseen], 256, 256).any()
    undefined = person()
    undefined[5] = (np.nan, np.inf, 1)
    without = person()
    without[5, 2] = 0
    assert np.array_equal(skeleton.draw([undefined], 256, 256), skeleton.draw([without], 256, 256))
    for farther in (1000, -1000, 1e5):
        outside = person()
        outside[:, :2] += farther
        assert not skeleton.draw([outside], 256, 256).any()


@pytest.mark.parametrize("style", ["released", "v1.1"])
@pytest.mark.parametrize("value", [1e6, -1e12, 1e300, np.inf, np.nan])
def test_points_with_absurd_coordinates_are_not_drawn(value, style):
    without = person()
    without[5, 2] = 0
    hands = np.zeros((1, 2, 21, 3))
    hands[0, 0, :3] = [(50, 50, 1), (60, 50, 1), (70, value, 1)]
    fewer = hands.copy()
    fewer[0, 0, 2] = 0
    for column in (0, 1):
        odd = person()
        odd[5, column] = value
        drawn = skeleton.draw([odd], 256, 256, style, hands)
        assert np.array_equal(drawn, skeleton.draw([without], 256, 256, style, fewer))


def hand(seed: int = 0, missing: tuple[int, ...] = ()) -> np.ndarray:
    """A hand (21, 3) with points anywhere in an image of 160×128."""
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.uniform(5, 155, 21), rng.uniform(5, 123, 21), np.ones(21)])
    points[list(missing), 2] = 0
    return points


def plain_hands(hands: list[np.ndarray]) -> np.ndarray:
    """The published drawing step by step, with colors computed from hues."""
    edges = [[0, 1], [1, 2], [2, 3], [3, 4], [0, 5], [5, 6], [6, 7], [7, 8], [0, 9], [9, 10], [10, 11], [11, 12],
             [0, 13], [13, 14], [14, 15], [15, 16], [0, 17], [17, 18], [18, 19], [19, 20]]  # fmt: skip
    canvas = np.zeros((128, 160, 3), np.uint8)
    for points in hands:
        for number, (a, b) in enumerate(edges):
            if points[a, 2] > 0 and points[b, 2] > 0:
                ends = points[[a, b], :2].astype(int).tolist()
                cv2.line(canvas, ends[0], ends[1], hue(number), thickness=2)
        for x, y, score in points:
            if score > 0:
                cv2.circle(canvas, (int(x), int(y)), 4, (0, 0, 255), thickness=-1)
    return canvas


def hue(number: int) -> list[float]:
    """The published color of a bone, before rounding."""
    sixth, rest = divmod(number / 20 * 6.0, 1)
    falling, rising = 1.0 - rest, 1.0 - (1.0 - rest)
    colors = [(1, rising, 0), (falling, 1, 0), (0, 1, rising), (0, falling, 1), (rising, 0, 1), (1, 0, falling)]
    return [255 * channel for channel in colors[int(sixth)]]


@pytest.mark.parametrize("style", ["released", "v1.1"])
@pytest.mark.parametrize("missing", [(), (0,), (3, 8, 20)])
def test_hands_are_drawn_pixel_for_pixel_as_published(style, missing):
    hands = [hand(1, missing), hand(2)]
    drawn = skeleton.draw(np.zeros((1, 18, 3)), 128, 160, style, hands=[hands])
    assert np.array_equal(drawn, plain_hands(hands))


def test_hands_equal_those_of_the_release():
    """These were drawn by the release's own `draw_handpose`."""
    hands = hands_to_draw()
    drawn = skeleton.draw(np.zeros((1, 18, 3)), 128, 160, hands=hands[None])
    with np.load(FILE) as golden:
        assert np.array_equal(np.packbits(drawn.any(axis=2)), golden["drawn"])
        assert np.array_equal(np.unique(drawn.reshape(-1, 3), axis=0), golden["drawn/colours"])


def test_the_bones_of_a_hand_have_20_hues():
    hues = [colorsys.rgb_to_hsv(*(channel / 255 for channel in color)) for color in skeleton.HAND_COLORS]
    assert [round(h * 20, 1) for h, _, _ in hues] == list(range(20))
    assert all(saturation == value == 1 for _, saturation, value in hues)
    assert skeleton.HAND_EDGES[4:6] == ((0, 5), (5, 6))
    assert sorted({joint for edge in skeleton.HAND_EDGES for joint in edge}) == list(range(21))


def test_hands_are_drawn_over_all_bodies_or_each_over_its_own():
    body, other = person(), person()
    other[:, 0] += 3
    hands = np.zeros((2, 2, 21, 3))
    # The first person's right wrist, where both bodies have a disc.
    hands[0, 1, 0] = (*body[4, :2], 1)
    x, y = body[4, :2].astype(int)
    released = skeleton.draw([body, other], 256, 256, hands=hands)
    assert released[y, x].tolist() == [0, 0, 255]
    newer = skeleton.draw([body, other], 256, 256, "v1.1", hands=hands)
    assert newer[y, x].tolist() == list(skeleton.COLORS[4]), "the second person is drawn after the first one's hands"
    assert newer[y, x - 3].tolist() == [0, 0, 255]


@pytest.mark.parametrize("style", ["released", "v1.1"])
def test_without_hands_nothing_changes(style):
    bodies = [person(), person()[:, [1, 0, 2]]]
    plain = skeleton.draw(bodies, 256, 256, style)
    assert np.array_equal(plain, skeleton.draw(bodies, 256, 256, style, hands=np.zeros((2, 2, 21, 3))))
    assert not skeleton.draw([], 20, 30, style, hands=[]).any()


def test_points_of_hands_at_the_upper_and_left_border_and_undefined_ones_are_not_drawn():
    points = hand(3)
    points[5], points[6], points[7], points[8] = (0.9, 40, 1), (40, -3, 1), (np.nan, 4, 1), (40, 1.2, 1)
    without = points.copy()
    without[[5, 6, 7], 2] = 0
    drawn = skeleton.draw(np.zeros((1, 18, 3)), 128, 160, hands=[[points, without * 0]])
    assert np.array_equal(drawn, plain_hands([without]))
    assert drawn[1, 40].tolist() == [0, 0, 255]


def test_hands_of_another_number_of_people_are_refused():
    with pytest.raises(ValueError, match="reshape"):
        skeleton.draw([person()], 20, 30, hands=np.zeros((2, 2, 21, 3)))
