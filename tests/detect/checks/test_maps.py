"""Maps that cannot be right, each rule with maps that are right and look suspicious."""

import numpy as np
import pytest

from cn import conditions
from cn.conditions import ConditionInfo
from cn.data.scenes import render_examples
from cn.detect.checks import MapFacts, check_map
from cn.detect.create import create_detector
from cn.detect.pose.skeleton import draw
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF, paint
from cn.detect.surfaces.encoding import depth_to_map, normals_to_map

SIDE = 256
LINES = ("canny", "hough", "hed", "scribble", "lineart")


def rules(image, kind, info=None, facts=None) -> list[str]:
    return [warning.rule for warning in check_map(image, kind, info, facts)]


def color(red: int, green: int, blue: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), (red, green, blue), np.uint8)


def strokes(width: int = 1, every: int = 16) -> np.ndarray:
    """White upright lines on black, (h, w)."""
    map = np.zeros((SIDE, SIDE), np.uint8)
    for left in range(4, SIDE, every):
        map[4:-4, left : left + width] = 255
    return map


def photograph(name: str = "astronaut") -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return np.asarray(getattr(data, name)())


def jpeg(image: np.ndarray, quality: int = 75) -> np.ndarray:
    import cv2

    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1].copy()


def labels(palette=ADE20K) -> np.ndarray:
    ids = np.zeros((SIDE, SIDE), np.int16) + 2
    ids[100:] = 9
    ids[60:140, 80:170] = 1
    return paint(ids, palette)


def person(*shown: int) -> np.ndarray:
    """A skeleton on black, of all joints or of these."""
    points = np.zeros((1, 18, 3))
    layout = [(128, 50), (128, 80), (100, 82), (90, 120), (85, 160), (156, 82), (166, 120), (171, 160), (110, 160)]
    layout += [(108, 200), (107, 240), (146, 160), (148, 200), (149, 240), (122, 44), (134, 44), (114, 48), (142, 48)]
    points[0, :, :2] = layout
    points[0, list(shown) or list(range(18)), 2] = 1
    return draw(points, SIDE, SIDE)


def landscape() -> np.ndarray:
    """Metric depth: a sky that is infinitely far over ground from 60 m at the horizon to 2 m below the camera."""
    depth = np.full((SIDE, SIDE), np.inf)
    depth[80:] = np.linspace(60, 2, SIDE - 80)[:, None]
    return depth


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("width", [1, 3])
def test_inverted_lines(kind, width):
    assert rules(255 - strokes(width), kind) == ["inverted"]
    assert rules(strokes(width), kind) == []


def test_right_maps_with_much_white():
    brick = np.zeros((SIDE, SIDE), np.uint8)
    brick[:, ::5] = brick[:, 1::5] = 255
    assert (brick == 255).mean() == pytest.approx(0.4, abs=0.01)
    assert rules(brick, "canny") == []
    filled = np.zeros((SIDE, SIDE), np.uint8)
    filled[: SIDE // 2] = 255
    assert rules(filled, "scribble") == []
    filled[30:230, 30:230] = 255
    filled[:30] = filled[230:] = 0
    assert rules(filled, "scribble") == []


def test_a_drawing_that_cn_made_with_invert_is_right():
    info = ConditionInfo("lineart", "lineart", {"invert": True})
    assert rules(255 - strokes(3), "lineart", info) == []


def test_a_map_of_cn_that_another_program_inverted():
    """ImageMagick, for one, keeps the text of a PNG."""
    assert rules(255 - strokes(), "canny", ConditionInfo("canny", "canny (OpenCV)")) == ["inverted"]


@pytest.mark.parametrize("kind", [*LINES, "openpose", "openpifpaf", "ade20k", "coco", "depth"])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_photographs_in_place_of_maps(kind, name):
    assert rules(photograph(name), kind) == ["photograph"]


@pytest.mark.parametrize("kind", [*LINES, "openpose"])
@pytest.mark.parametrize("name", ["camera", "coins", "brick", "moon"])
def test_gray_photographs_in_place_of_maps(kind, name):
    assert rules(photograph(name), kind) == ["photograph"]


def test_a_photograph_in_place_of_normals():
    assert rules(photograph(), "normal") == ["not unit length"]
    assert rules(photograph("camera"), "normal") == ["not unit length"]


@pytest.mark.parametrize(
    ("value", "what"), [(0, "entirely black"), (255, "entirely white"), (130, "one color"), (20, "one color")]
)
@pytest.mark.parametrize("kind", [*LINES, "openpose", "depth", "normal", None])
def test_maps_of_one_value(value, what, kind):
    (warning,) = check_map(np.full((SIDE, SIDE), value, np.uint8), kind)
    assert warning.rule == "blank"
    assert what in str(warning)


def test_maps_of_almost_one_value_are_right():
    dot = np.zeros((SIDE, SIDE), np.uint8)
    dot[100, 101] = 255
    assert rules(dot, "canny") == []
    assert rules(person(4), "openpose") == [], "a pose with one wrist"
    assert rules(color(*ADE20K.entries[2][1]), "ade20k") == [], "one class"
    assert rules(color(0, 0, 0), "ade20k") == ["blank"]


@pytest.mark.parametrize("kind", ["canny", "depth", "openpose", None])
def test_maps_of_few_bits_in_many(kind):
    gray = np.linspace(0, 16, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint8)
    (warning,) = check_map(gray, kind, None, MapFacts(bits=16))
    assert warning.rule == "dark"
    assert "16 bits" in str(warning)
    (warning,) = check_map(gray, kind)
    assert "16 bits" not in str(warning)


def test_small_values_in_16_bits_that_are_black_in_8():
    (warning,) = check_map(color(0, 0, 0), "canny", None, MapFacts(bits=16))
    assert "stretch" in str(warning)
    (warning,) = check_map(color(0, 0, 0), "canny")
    assert "stretch" not in str(warning)


def test_a_dark_depth_map_with_something_near_is_right():
    night = np.full((SIDE, SIDE), 8, np.uint8)
    night[200:, 100:140] = 40
    assert rules(night, "depth", None, MapFacts(bits=16)) == []


@pytest.mark.parametrize(("kind", "palette"), [("ade20k", ADE20K), ("coco", COCO_STUFF)])
def test_labels_as_jpeg(kind, palette):
    clean = labels(palette)
    assert rules(clean, kind) == []
    for quality in (50, 75, 95):
        (warning,) = check_map(jpeg(clean, quality), kind, None, MapFacts("JPEG"))
        assert warning.rule == "smeared colors"
        assert "JPEG" in str(warning)
        assert f"cn detect {kind} --from-labels colors" in str(warning)


def test_a_lossy_file_of_unsmeared_labels_is_right():
    assert rules(labels(), "ade20k", None, MapFacts("WebP")) == []


def test_labels_of_another_palette_and_of_class_numbers():
    swapped = labels()[..., ::-1]
    assert rules(swapped, "ade20k") == ["reversed channels"]
    foreign = labels() // 2 + 17
    assert rules(foreign, "ade20k") == ["no palette"]
    numbers = np.zeros((SIDE, SIDE), np.uint8) + 4
    numbers[100:] = 30
    (warning,) = check_map(numbers, "ade20k")
    assert "--from-labels ids" in str(warning)


def test_labels_with_soft_edges_are_right():
    import cv2

    large = cv2.resize(labels(), (SIDE * 2, SIDE * 2), interpolation=cv2.INTER_LINEAR)
    assert rules(large, "ade20k") == []


def test_poses_as_jpeg_and_on_white():
    assert rules(person(), "openpose") == []
    assert rules(jpeg(person()), "openpose", None, MapFacts("JPEG")) == ["smeared colors"]
    on_white = person()
    on_white[(on_white == 0).all(axis=2)] = 255
    assert rules(on_white, "openpose") == ["inverted"]


def test_a_sky_that_is_nearer_than_the_ground():
    right = depth_to_map(landscape())
    assert rules(right, "depth") == []
    assert rules(255 - right, "depth") == ["inverted depth"]
    distance = landscape()
    distance[np.isinf(distance)] = 100
    assert rules((distance * 2.55).astype(np.uint8), "depth") == ["inverted depth"], "distance, stretched"


def test_depth_maps_that_are_nearer_above_are_right():
    rows = np.linspace(0, 1, SIDE)[:, None] * np.ones(SIDE)
    ceiling = np.clip(np.maximum(255 - 300 * rows, 300 * rows - 240), 0, 255).astype(np.uint8)
    assert rules(ceiling, "depth") == []
    assert rules((255 - 255 * rows).astype(np.uint8), "depth") == [], "only a ceiling"
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    face = (255 * np.clip(1 - (x / 0.8) ** 2 - ((y + 0.2) / 1.1) ** 2, 0, 1)).astype(np.uint8)
    assert rules(face, "depth") == []


def sphere(away: bool = False) -> np.ndarray:
    """Unit normals of a ball before a wall that faces the viewer; with `away`, of a whole world around."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j] * (1.2 if not away else 1.0)
    z = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))
    n = np.stack([-x, -y, z], axis=2)
    n[x**2 + y**2 >= 1] = (0, 0, 1)
    return n


def room(floor: float = 1.0) -> np.ndarray:
    """Unit normals of a wall above a floor, whose y is `floor`."""
    n = np.zeros((SIDE, SIDE, 3))
    n[..., 2] = 1
    n[150:] = (0, 0.95 * floor, np.sqrt(1 - 0.95**2))
    return n


def test_normals():
    for right in (sphere(), room()):
        assert rules(normals_to_map(right), "normal") == []
    flat = normals_to_map(sphere())
    flat[:, :60] = 0
    assert rules(flat, "normal") == [], "no surface: black"
    assert rules(normals_to_map(sphere())[..., ::-1], "normal") == ["reversed channels"]
    assert rules(normals_to_map(room(-1.0)), "normal") == ["flipped green"]
    # A turned world: the wall faces away, the floor up, two other walls to the sides.
    world = room()
    world[:150, :128] = (0, 0, -1)
    world[:150, 128:] = (-1, 0, 0)
    world[:150, 190:] = (1, 0, 0)
    assert rules(normals_to_map(world), "normal") == ["world space"]
    assert rules(depth_to_map(landscape()), "normal") == ["not unit length"]


def test_a_ceiling_seen_by_a_camera_that_looks_up():
    ceiling = np.full((SIDE, SIDE, 3), (0, -0.7, 0.714), np.float32)
    ceiling[40:60, 40:60] = (0, 0, 1)
    assert rules(normals_to_map(ceiling), "normal") == []


def test_a_reversed_normal_map_of_cn_is_right():
    info = ConditionInfo("normal", "x", {"bgr": True})
    assert rules(normals_to_map(sphere())[..., ::-1], "normal", info) == []


def test_kind_and_content_disagree():
    assert rules(strokes(), "canny", ConditionInfo("depth", "x")) == ["other kind"]
    for kind in ("canny", "depth", "scribble"):
        (warning,) = check_map(person(), kind)
        assert "looks like a map of openpose" in str(warning)
        (warning,) = check_map(labels(), kind)
        assert "looks like a map of ade20k" in str(warning)
        (warning,) = check_map(normals_to_map(sphere()), kind)
        assert "looks like a map of normal" in str(warning)
    (warning,) = check_map(strokes(), "depth")
    assert "edges" in str(warning)


@pytest.mark.parametrize("kind", ["openpose", "openpifpaf", "ade20k", "coco", "depth", "normal"])
def test_edges_for_another_control(kind):
    assert rules(strokes(), kind) == ["other kind"]


def test_maps_for_the_control_of_poses_or_labels():
    assert rules(labels(), "openpose") == ["other kind"]
    assert rules(person(), "ade20k") == ["other kind"]
    assert rules(person(), "openpifpaf") == [], "the same skeletons in another style"
    ramp = np.clip(np.arange(-100, 156), 0, 255).astype(np.uint8)
    assert rules(np.repeat(ramp[:, None], SIDE, axis=1), "openpose") == ["other kind"], "depth"
    faces = np.zeros((SIDE, SIDE, 3), np.uint8)
    faces[100:160:10, 100:160:10] = faces[101:160:10, 100:160:10] = 255
    assert rules(faces, "openpose") == [], "a face without a body"
    few = np.zeros((SIDE, SIDE, 3), np.uint8)
    few[100:120, 100:120] = ADE20K.colors[5]
    assert rules(few, "ade20k") == [], "little but what has no class"


def test_strokes_of_several_colors_are_a_scribble():
    scribble = np.repeat(strokes(5)[..., None], 3, axis=2)
    scribble[:, :100, 1:] = 0
    assert rules(scribble, "scribble") == []


@pytest.mark.parametrize("number", range(4))
def test_the_scenes_are_right(number):
    made = render_examples(conditions.KINDS, 192, 0, number)
    for kind, example in made.items():
        assert rules(example.condition, kind) == []
        assert rules(example.condition, kind, example.info) == []


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket", "camera", "coins", "brick", "grass", "text"])
def test_what_the_detectors_make_is_right(kind, name):
    import cv2

    image = photograph(name)[:400, :400]
    image = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    (found,) = create_detector(kind).detect([image], ["-"])
    half = cv2.resize(found.map, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    for map in (found.map, half, jpeg(np.repeat(found.map[..., None], 3, axis=2))):
        assert rules(map, kind) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 9), (16, 16)])
@pytest.mark.parametrize("kind", [*conditions.KINDS, None])
def test_maps_of_any_size(shape, kind):
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    assert len(check_map(noise, kind)) <= 1
