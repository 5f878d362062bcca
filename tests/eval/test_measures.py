"""The measures of control against values computed by hand, and their invariants."""

import math

import numpy as np
import pytest

from cn import conditions
from cn.detect.detector import Detection
from cn.detect.lines.canny import canny
from cn.detect.pose import coco_skeleton, json_format, skeleton
from cn.detect.pose.people import ImagePoses
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF, paint
from cn.detect.surfaces.encoding import normals_to_map
from cn.errors import UsageError, WeightsError
from cn.eval.measures import image_edges, measurement, measurement_or_image_edges
from cn.eval.measures.classes import MeanIoU
from cn.eval.measures.edges import LineF1, LineRecall, edge_f1, thin
from cn.eval.measures.keypoints import PCK, CocoPCK, pck
from cn.eval.measures.measurement import COMPARISONS
from cn.eval.measures.skeletons import read_coco_people, read_people
from cn.eval.measures.surfaces import DepthRMSE, NormalAngle
from cn.scenes import describe, render
from tests.helpers.photos import photo


def score(comparison, given, found) -> float:
    return comparison.score(comparison.given(given), comparison.given(found))


def strokes(column: int, width: int = 7) -> np.ndarray:
    drawn = np.zeros((64, 64, 3), np.uint8)
    drawn[8:56, column : column + width] = 255
    return drawn


def test_wide_strokes_are_compared_by_their_center_lines():
    measure = LineF1()
    assert score(measure, strokes(20), strokes(20)) == 1
    assert score(measure, strokes(20), strokes(22)) == 1
    assert score(measure, strokes(20), strokes(23)) == 0
    # Another width around the same center changes the ends of the line only.
    assert score(measure, strokes(20), strokes(21, 5)) > 0.9
    assert score(measure, strokes(20) // 3, strokes(20) // 3) == 1, "nothing is half white: both are empty"
    assert score(measure, strokes(20), strokes(20) // 3) == 0


def test_thinning_leaves_lines_of_one_pixel_and_keeps_what_is_connected():
    import cv2
    from skimage.morphology import skeletonize

    mask = np.zeros((80, 80), np.uint8)
    cv2.circle(mask, (40, 40), 25, 1, 6)
    cv2.line(mask, (5, 5), (75, 60), 1, 5)
    thinned = thin(mask > 0)
    assert 0 < thinned.sum() < mask.sum() / 3
    assert not (thinned & ~(mask > 0)).any()
    assert cv2.connectedComponents(thinned.astype(np.uint8))[0] == cv2.connectedComponents(mask)[0]
    reference = skeletonize(mask > 0, method="zhang")
    assert abs(int(thinned.sum()) - int(reference.sum())) <= 0.1 * reference.sum()
    assert edge_f1(thinned * np.uint8(255), reference * np.uint8(255), tolerance=1.5) > 0.98


def test_line_recall_counts_the_lines_of_the_map_only():
    measure = LineRecall()
    assert score(measure, strokes(10, 1) | strokes(40, 1), strokes(12, 1)) == 0.5
    assert score(measure, strokes(10, 1), strokes(10, 1) | strokes(40, 1)) == 1
    assert score(measure, strokes(10, 1), strokes(13, 1)) == 0
    assert math.isnan(score(measure, np.zeros((64, 64, 3), np.uint8), strokes(10)))


def test_depth_does_not_depend_on_scale_and_shift():
    measure = DepthRMSE()
    rng = np.random.default_rng(0)
    depth = rng.integers(0, 256, (40, 50)).astype(np.float64)
    assert measure.score(depth, depth) == 0
    assert measure.score(depth, 0.3 * depth + 70) == pytest.approx(0, abs=1e-9)
    # Inverted and constant depth are both as wrong as can be: the standard deviation of the map.
    assert measure.score(depth, 255 - depth) == pytest.approx(depth.std())
    assert measure.score(depth, np.full_like(depth, 9)) == pytest.approx(depth.std())
    assert math.isnan(measure.score(np.full_like(depth, 9), depth))
    # By hand: m = (0, 0, 6, 6), d = (0, 2, 2, 4) → a = 12/8, residuals (0, 3, -3, 0), root of 18/4.
    given, found = np.array([[0.0, 0, 6, 6]]), np.array([[0.0, 2, 2, 4]])
    assert measure.score(given, found) == pytest.approx(math.sqrt(18 / 4))


def test_depth_is_the_least_squares_fit():
    rng = np.random.default_rng(1)
    given = rng.normal(size=(20, 20))
    found = given + 0.5 * rng.normal(size=(20, 20))
    design = np.stack([found.ravel(), np.ones(400)], axis=1)
    residuals = design @ np.linalg.lstsq(design, given.ravel(), rcond=None)[0] - given.ravel()
    assert DepthRMSE().score(given, found) == pytest.approx(np.sqrt((residuals**2).mean()))


def test_normal_angle_in_degrees():
    measure = NormalAngle()
    towards, right = np.zeros((2, 4, 4, 3))
    towards[..., 2] = right[..., 0] = 1
    half = towards.copy()
    half[:2] = right[:2]
    towards, right, half = (normals_to_map(n) for n in (towards, right, half))
    assert score(measure, towards, towards) == pytest.approx(0, abs=1e-3)
    assert score(measure, towards, right) == pytest.approx(90, abs=0.5)
    assert score(measure, half, towards) == pytest.approx(45, abs=0.5)
    black = np.zeros_like(towards)
    assert math.isnan(score(measure, black, towards))
    half[2:] = 0
    assert score(measure, half, towards) == pytest.approx(90, abs=0.5), "black has no normal and is left out"


def test_mean_iou_by_hand():
    measure = MeanIoU(ADE20K)
    given = np.array([[0, 0, 1, 1], [0, 0, 1, 255]])
    found = np.array([[0, 0, 1, 0], [0, 2, 1, 1]])
    # Without the pixel of no class: class 0: 3 of 5 (4 + 4 - 3), class 1: 2 of 3, class 2: 0 of 1.
    expected = (3 / 5 + 2 / 3 + 0) / 3
    assert score(measure, paint(given, ADE20K), paint(found, ADE20K)) == pytest.approx(expected)
    assert score(measure, paint(given, ADE20K), paint(given, ADE20K)) == 1
    assert math.isnan(score(measure, np.zeros((4, 4, 3), np.uint8), paint(given[:, :], ADE20K).repeat(2, 0)))


def test_classes_that_share_a_color_are_one():
    (first, second) = next(ids for ids in COCO_STUFF.shared().values() if 255 not in ids)[:2]
    measure = MeanIoU(COCO_STUFF)
    a, b = (paint(np.full((8, 8), number), COCO_STUFF) for number in (first, second))
    assert score(measure, a, b) == 1


def body(x: float, y: float, size: float, scores: float = 1.0) -> np.ndarray:
    """A standing person (18, 3), about `size` tall."""
    places = np.array(
        [
            *((50, 10), (50, 30), (35, 30), (25, 50), (20, 70), (65, 30), (75, 50), (80, 70), (40, 75), (38, 105)),
            *((36, 135), (60, 75), (62, 105), (64, 135), (45, 5), (55, 5), (38, 8), (62, 8)),
        ]
    )
    return np.concatenate([places * size / 130 + (x, y), np.full((18, 1), scores)], axis=1)


def test_pck_by_hand():
    person = body(10, 10, 130)
    assert pck(person[None], person[None]) == 1
    moved = person.copy()
    moved[:6, 0] += 12.9  # The box is 130 tall: 13 pixels are near enough.
    moved[6:9, 0] += 13.1
    moved[9:11, 2] = 0
    assert pck(person[None], moved[None]) == pytest.approx(13 / 18)
    assert pck(person[None], np.zeros((0, 18, 3))) == 0
    assert math.isnan(pck(np.zeros((0, 18, 3)), person[None]))
    two = np.stack([person, body(200, 10, 260)])
    assert pck(two, person[None]) == 0.5
    assert pck(two, two[::-1]) == 1


@pytest.mark.parametrize("style", ["released", "v1.1"])
@pytest.mark.parametrize("size", [128, 256, 512])
def test_joints_are_read_off_a_drawn_skeleton(style, size):
    people = np.stack([body(size * 0.05, size * 0.1, size * 0.7), body(size * 0.5, size * 0.15, size * 0.8)])
    people[1, [4, 17]] = 0
    read = read_people(skeleton.draw(people, size, size, style))
    assert len(read) == 2
    read = read[np.argsort([person[person[:, 2] > 0, 0].mean() for person in read])]
    seen = read[..., 2] > 0
    assert not seen[1, [4, 17]].any()
    assert seen.sum() >= {"v1.1": 33, "released": 24}[style]
    apart = np.hypot(*(read[..., :2] - people[..., :2])[seen].T)
    assert apart.max() < 4
    assert np.median(apart) < 1.5
    assert pck(read, people) == pck(people * seen[..., None], people)


def test_joints_are_read_off_the_drawing_of_openpifpaf():
    order = [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10]
    people = np.stack([body(20, 60, 330)[order], body(270, 60, 380)[order]])
    read = read_coco_people(coco_skeleton.draw(people, 512, 512))
    assert len(read) == 2
    read = read[np.argsort([person[person[:, 2] > 0, 0].mean() for person in read])]
    wanted = coco_skeleton.to_openpose(people)
    seen = read[..., 2] > 0
    assert seen.sum() >= 32
    assert np.hypot(*(read[..., :2] - wanted[..., :2])[seen].T).max() < 2


def test_a_map_without_people_has_no_pck_and_one_of_either_style_has():
    blank = np.zeros((64, 64, 3), np.uint8)
    for measure in (PCK(), CocoPCK()):
        assert math.isnan(score(measure, blank, blank))
    people = np.stack([body(10, 10, 200)])
    drawn = skeleton.draw(people, 256, 256)
    poses = ImagePoses(people, np.zeros((1, 2, 21, 3)), 256, 256)
    detection = Detection(drawn, sidecar=json_format.write(poses).encode())
    for measure in (PCK(), CocoPCK()):
        found = measure.found(detection)
        np.testing.assert_allclose(found, people)
        assert measure.score(measure.given(drawn), found) == 1


def test_scene_maps_agree_with_themselves_and_less_with_others():
    """Every comparison, on maps of real content."""
    views = [render(describe(7, number), 128) for number in (3, 5)]
    from cn.data.maps import condition_map

    for kind in conditions.KINDS:
        comparison = COMPARISONS[kind]
        a, b = (comparison.given(condition_map(view, kind)) for view in views)
        perfect, other = comparison.score(a, a), comparison.score(a, b)
        if math.isnan(perfect):
            continue
        best = 1 if comparison.measure.better == "higher" else 0
        assert perfect == pytest.approx(best, abs=1e-3)
        assert (other < perfect) if best else (other > perfect), kind


def test_a_measurement_detects_and_compares():
    images = [photo(seed) for seed in range(2)]
    found = measurement("canny", device="cpu")
    assert (found.kind, found.against, found.name, found.measure.better) == ("canny", "map", "edge F1", "higher")
    assert found.info.params["low"] == 100
    maps = [np.repeat(canny(image)[..., None], 3, axis=2) for image in images]
    np.testing.assert_array_equal(found.scores(maps, images), [1, 1])
    assert (found.scores(maps, images[::-1]) < 0.9).all()
    np.testing.assert_array_equal(found.scores(maps, images), found.compare(found.given(maps), found.detect(images)))
    other = measurement("canny", device="cpu", low=10.0, high=20.0)
    assert (other.scores(maps, images) < 1).all()
    with pytest.raises(ValueError, match="cannot be compared"):
        found.scores(maps, [image[:64] for image in images])


@pytest.mark.parametrize("kind", ["hough", "hed", "scribble", "lineart"])
def test_methods_without_weights_find_their_own_maps_again(kind):
    from cn.detect.create import create_detector

    images = [photo(seed, 128, 96) for seed in range(2)]
    found = measurement(kind, device="cpu")
    maps = [one.map for one in create_detector(kind).detect(images, ["0", "1"])]
    np.testing.assert_array_equal(found.scores(maps, images), [1, 1])
    assert found.info.weights_sha256 is None


@pytest.mark.parametrize("kind", ["depth", "normal", "openpose", "openpifpaf", "ade20k", "coco"])
def test_learned_detectors_say_which_file_is_missing(kind):
    with pytest.raises(WeightsError, match="cn weights pull"):
        measurement(kind, device="cpu")
    found, error = measurement_or_image_edges(kind, device="cpu")
    assert "cn weights pull" in str(error)
    assert (found.kind, found.against, found.name) == (kind, "image", "edge F1 with the image")
    images = [photo(seed) for seed in range(2)]
    np.testing.assert_array_equal(found.scores(images, images), [1, 1])


def test_image_edges_and_unknown_kinds():
    assert measurement_or_image_edges("canny", device="cpu")[1] is None
    assert image_edges("pose").kind == "openpose"
    with pytest.raises(UsageError, match="unknown condition"):
        measurement("edges")
    assert set(COMPARISONS) == set(conditions.KINDS)
