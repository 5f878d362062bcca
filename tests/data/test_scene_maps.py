"""Maps of the built-in scenes, kind by kind: where their lines are, how they look, and their random choices."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from cn.conditions import KINDS
from cn.data.flip import mirror_map
from cn.data.maps import EXACT, FROM_EDGES, condition_info, condition_map, training_info, training_map
from cn.data.scene_maps.boundaries import boundaries_of
from cn.data.scene_maps.line_drawing import LineDrawing, line_drawing
from cn.data.scene_maps.random_choices import PARAMETERS, random_parameters
from cn.data.scene_maps.soft_edges import SoftEdges, soft_edges
from cn.data.scene_maps.straight_lines import StraightLines, straight_lines
from cn.detect.lines.canny import canny
from cn.detect.lines.hough import lsd_lines
from cn.detect.pose import coco_skeleton, skeleton
from cn.detect.segmentation.palettes import COCO_STUFF
from cn.scenes import describe, render
from cn.scenes.render import View

LINES = ("canny", "hough", "hed", "scribble", "lineart")
SIZE = 128
SOMEBODY = next(number for number in range(40) if any(item.person for item in describe(0, number).items))


@cache
def view(number: int) -> View:
    return render(describe(0, number), SIZE)


def blank(size: int = 96) -> View:
    """A gray wall that faces the viewer, five meters away."""
    return View(
        rgb=np.full((size, size, 3), 128, np.uint8),
        depth=np.full((size, size), 5, np.float32),
        normals=np.tile(np.array([0, 0, 1], np.float32), (size, size, 1)),
        classes=np.ones((size, size), np.uint8),
        coco=np.zeros((size, size), np.uint8),
        keypoints=np.zeros((0, 18, 3), np.float32),
    )


def with_box(size: int = 96) -> View:
    """A box before that wall, of the same color: rows 24 to 71, columns 30 to 65."""
    made = blank(size)
    made.depth[24:72, 30:66] = 3
    return made


def with_disk(size: int = 96) -> View:
    """A white disk in front of the wall."""
    made = blank(size)
    inside = np.hypot(*(np.mgrid[:size, :size] - size / 2)) < size / 3
    made.depth[inside] = 3
    return replace(made, rgb=np.where(inside[..., None], 230, made.rgb).astype(np.uint8))


def near(mask: np.ndarray, pixels: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)) > 0


def outline_of_the_box(size: int = 96) -> np.ndarray:
    box = np.zeros((size, size), np.uint8)
    box[24:72, 30:66] = 1
    return cv2.morphologyEx(box, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0


@pytest.mark.parametrize("kind", ["hough", "hed", "scribble", "lineart"])
def test_an_edge_without_contrast_is_known(kind):
    """The labels say where the box ends, though the image shows nothing, and a detector would find nothing."""
    shown = with_box()
    found = condition_map(shown, kind)[..., 0] >= 96
    assert not canny(shown.rgb).any()
    assert (near(found, 2) & outline_of_the_box()).sum() > 0.9 * outline_of_the_box().sum()
    assert not (found & ~near(outline_of_the_box(), 4)).any()


@pytest.mark.parametrize("kind", LINES)
def test_a_blank_view_has_no_lines(kind):
    assert not condition_map(blank(), kind).any()


def test_slanted_planes_and_round_things_have_no_edges_inside():
    rows = np.linspace(0.02, 0.5, 96, dtype=np.float32)
    ground = replace(blank(), depth=1 / np.repeat(rows[:, None], 96, axis=1))
    y, x = np.mgrid[:96, :96] / 47.5 - 1
    z = np.sqrt(np.maximum(1 - 0.4 * (x * x + y * y), 0))
    ball = replace(blank(), normals=np.stack([0.63 * x, -0.63 * y, z], axis=-1).astype(np.float32))
    for shown in (ground, ball):
        assert not boundaries_of(shown).occlusions.any()
        assert not boundaries_of(shown).creases.any()


def test_creases_are_edges_of_less_strength_than_contours():
    bent = with_box()
    bent.normals[:, 10:20] = (0, 1, 0)
    edges = soft_edges(boundaries_of(bent))[48]
    assert 0 < edges[5:25].max() < edges[26:34].max()
    drawn = line_drawing(boundaries_of(bent), LineDrawing(creases=0.5))[48]
    assert drawn[5:25].max() == pytest.approx(0.5 * drawn[26:34].max(), abs=8)


def test_boundaries_are_found_once_for_a_view():
    first, second = with_box(), with_box()
    assert boundaries_of(first) is boundaries_of(first)
    assert boundaries_of(second) is not boundaries_of(first)


def test_straight_lines_are_straight_and_on_edges():
    for number in range(4):
        lines = straight_lines(view(number), boundaries_of(view(number)))
        assert len(lines) > 3
        assert (np.hypot(lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1]) >= 0.06 * SIZE).all()
        edges = boundaries_of(view(number))
        true = (np.maximum(edges.occlusions, edges.creases) > 0.3) | (canny(view(number).rgb, 10, 30) > 0)
        drawn = condition_map(view(number), "hough")[..., 0] > 0
        assert (drawn & near(true, 2)).sum() > 0.95 * drawn.sum()
    disk = with_disk(256)
    assert 3 * len(straight_lines(disk, boundaries_of(disk))) <= len(lsd_lines(disk.rgb)), "an arc is no straight line"
    box = straight_lines(with_box(), boundaries_of(with_box()))
    sides = [(24, 72), (30, 66)]
    for line in box:
        across = int(abs(line[2] - line[0]) < abs(line[3] - line[1]))
        assert min(abs(line[1 - across] - side) for side in sides[across]) < 2


def test_fewer_lines_with_a_longer_limit_without_patterns_and_with_some_missed():
    shown, edges = view(0), boundaries_of(view(0))
    count = len(straight_lines(shown, edges))
    for drawn in (StraightLines(length=0.2), StraightLines(patterns=0), StraightLines(dropped=0.5, seed=1)):
        assert len(straight_lines(shown, edges, drawn)) < count


def test_soft_edges_are_graded_and_as_wide_as_wanted():
    gray = condition_map(view(SOMEBODY), "hed")[..., 0]
    assert len(np.unique(gray)) > 100
    assert gray.max() == 255
    assert (gray < 16).mean() > 0.5
    widths = [(soft_edges(boundaries_of(with_box()), SoftEdges(sigma=s))[48] > 64).sum() for s in (0.7, 1.0, 1.6)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    assert set(np.unique(soft_edges(boundaries_of(view(0)), SoftEdges(safe=True)))) == {0, 127, 255}


def test_a_boundary_with_contrast_is_stronger_than_one_without():
    plain, colored = with_box(), with_box()
    colored.rgb[24:72, 30:66] = 250
    weak, strong = (int(soft_edges(boundaries_of(each))[48, 28:33].max()) for each in (plain, colored))
    assert 64 < weak < strong


def test_drawings_are_thin_lines_on_black():
    for number in range(4):
        gray = condition_map(view(number), "lineart")[..., 0]
        assert (gray < 16).mean() > 0.6
        wide = cv2.erode((gray > 128).astype(np.uint8), np.ones((5, 5), np.uint8))
        assert wide.sum() < 0.03 * (gray > 128).sum()
    for width in (1.0, 1.8, 2.6):
        row = line_drawing(boundaries_of(with_box()), LineDrawing(width=width))[48]
        assert row[25:36].sum() / 255 == pytest.approx(width, abs=0.3)


def test_lines_of_the_image_are_drawn_where_wanted():
    striped = blank()
    striped.rgb[40:56] = 255
    assert line_drawing(boundaries_of(striped)).any()
    assert not line_drawing(boundaries_of(striped), LineDrawing(details=0)).any()


def test_scribbles_are_few_strokes_of_one_level():
    for number in range(8):
        for made in (condition_map(view(number), "scribble"), training_map(view(number), "scribble", 0, number)):
            assert set(np.unique(made)) == {0, 255}
            assert 0.01 < (made[..., 0] > 0).mean() < 0.6


def test_coco_poses_are_those_of_openpose_without_the_neck():
    people = view(SOMEBODY).keypoints
    coco = coco_skeleton.from_openpose(people)
    assert coco.shape == (len(people), 17, 3)
    for joint, name in enumerate(coco_skeleton.JOINTS):
        assert np.array_equal(coco[:, joint], people[:, skeleton.JOINTS.index(name)])
    made = condition_map(view(SOMEBODY), "openpifpaf")
    assert np.array_equal(made, coco_skeleton.draw(coco, SIZE, SIZE))
    assert made.any()


def test_coco_maps_have_the_colors_of_coco_stuff():
    made, ids = condition_map(view(SOMEBODY), "coco"), view(SOMEBODY).coco
    assert {tuple(color) for color in COCO_STUFF.colors[np.unique(ids[ids < 171])].tolist()} == {
        tuple(color) for color in made[ids < 171].reshape(-1, 3).tolist()
    }
    assert COCO_STUFF.id_of("person") in ids


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_pure_functions(kind):
    again = render(describe(0, SOMEBODY), SIZE)
    assert np.array_equal(condition_map(again, kind), condition_map(view(SOMEBODY), kind))
    assert np.array_equal(training_map(again, kind, 3, 5), training_map(view(SOMEBODY), kind, 3, 5))
    assert condition_map(again, kind).shape == (SIZE, SIZE, 3)
    assert condition_map(again, kind).dtype == np.uint8
    assert training_info(kind, 3, 5) == training_info(kind, 3, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_lines_vary_in_training_and_the_rest_is_exact(kind):
    made = {training_map(view(SOMEBODY), kind, 0, number).tobytes() for number in range(8)}
    stated = {str(training_info(kind, 0, number).params) for number in range(8)}
    if kind in LINES:
        assert len(made) > 5
        assert len(stated) > 5
        assert training_map(view(1), kind, 0, 0).tobytes() != training_map(view(1), kind, 1, 0).tobytes()
    else:
        assert made == {condition_map(view(SOMEBODY), kind).tobytes()}
        assert stated == {str(condition_info(kind).params)}


def test_what_is_stated_about_maps():
    makers = {kind: condition_info(kind).detector for kind in KINDS}
    assert {kind for kind, maker in makers.items() if maker == EXACT} == {
        *("openpose", "openpifpaf", "ade20k", "coco", "depth", "normal")
    }
    assert {kind for kind, maker in makers.items() if maker == FROM_EDGES} == {"hough", "hed", "scribble", "lineart"}
    assert makers["canny"] == "canny (OpenCV)"


@pytest.mark.parametrize("kind", PARAMETERS)
def test_a_quarter_of_the_training_maps_are_detected_in_the_image(kind):
    detected = [number for number in range(200) if random_parameters(kind, 0, number) is None]
    assert 0.15 < len(detected) / 200 < 0.35
    number = detected[0]
    made = training_map(with_box(), kind, 0, number)
    assert not made.any(), "an image without contrast shows no edge"
    assert training_info(kind, 0, number).params["method"] in ("lsd", "gradient", "standard")


def mirrored(shown: View) -> View:
    """What a camera sees in the mirror."""
    swap = {"left": "right", "right": "left"}
    order = [skeleton.JOINTS.index(" ".join(swap.get(w, w) for w in name.split())) for name in skeleton.JOINTS]
    people = shown.keypoints[:, order].copy()
    people[..., 0] = SIZE - 1 - people[..., 0]
    turned = {name: np.ascontiguousarray(getattr(shown, name)[:, ::-1]) for name in ("rgb", "depth", "classes", "coco")}
    normals = shown.normals[:, ::-1] * np.array([-1, 1, 1], np.float32)
    return View(**turned, normals=normals, keypoints=people)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mirrored_map_is_the_map_of_the_mirrored_view(kind):
    """But for the rounding of lines and for LSD, which finds other ends of lines in the mirror."""
    shown = [view(number) for number in (range(8) if kind == "hough" else [SOMEBODY])]
    found = np.stack([mirror_map(condition_map(one, kind), kind, condition_info(kind)) for one in shown])
    wanted = np.stack([condition_map(mirrored(one), kind) for one in shown])
    if kind in ("hough", "openpose", "openpifpaf"):
        drawn, other = found.any(axis=-1), wanted.any(axis=-1)
        for one, of in ((drawn, other), (other, drawn)):
            assert sum((a & near(b, 2)).sum() for a, b in zip(one, of, strict=True)) > 0.7 * one.sum()
    else:
        assert (np.abs(found.astype(int) - wanted).max(axis=-1) <= 2).mean() > 0.98
