"""The built-in world: deterministic, exact labels, any size."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF
from cn.scenes import Scene, View, describe, render
from cn.scenes.choose_scene import GROUND_NAMES, LIGHT_NAMES
from cn.scenes.classes import CLASSES, COCO, LABELS, NONE
from cn.scenes.geometry import look_at
from cn.scenes.ground import GROUNDS
from cn.scenes.groups import GROUPS
from cn.scenes.kinds import KINDS
from cn.scenes.models.poses import POSES
from cn.scenes.roles import ROLES
from cn.scenes.weather import WEATHERS, weathers_of

SIZE = 128
SKY, PERSON = CLASSES["sky"], CLASSES["person"]


@pytest.fixture(scope="module")
def views() -> list[tuple[Scene, View]]:
    """Some scenes with their images."""
    return [(scene, render(scene, SIZE)) for scene in (describe(11, i) for i in range(40))]


def camera_of(scene: Scene, height: int, width: int):
    return look_at(np.array(scene.eye), np.array(scene.target), scene.fov, height, width)


def test_same_scene_whatever_was_asked_before():
    forwards = [describe(5, i) for i in range(8)]
    backwards = [describe(5, i) for i in reversed(range(8))][::-1]
    assert forwards == backwards
    assert len({describe(s, i) for s in range(3) for i in range(8)}) == 24


def test_same_image_whatever_was_drawn_before():
    scene = describe(5, 3)
    first = render(scene, 64)
    render(describe(5, 4), 64)
    again = render(describe(5, 3), 64)
    for name in ("rgb", "depth", "normals", "classes", "coco", "keypoints"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


def test_scenes_and_views_are_frozen():
    scene = describe(0, 0)
    with pytest.raises(FrozenInstanceError):
        scene.ground = "sand"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        render(scene, 16).rgb = None  # type: ignore[misc]


@pytest.mark.parametrize("size", [(96, 160), (160, 96), (33, 47), (1, 1), (8, 200), 70])
def test_any_size(size: int | tuple[int, int]):
    height, width = (size, size) if isinstance(size, int) else size
    scene = next(s for s in (describe(1, i) for i in range(50)) if s.items[0].person)
    view = render(scene, size)
    assert view.rgb.shape == (height, width, 3)
    assert view.rgb.dtype == np.uint8
    assert view.depth.shape == view.classes.shape == (height, width)
    assert view.depth.dtype == view.normals.dtype == view.keypoints.dtype == np.float32
    assert view.classes.dtype == view.coco.dtype == np.uint8
    assert view.coco.shape == (height, width)
    assert view.normals.shape == (height, width, 3)
    assert view.keypoints.shape == (sum(i.person is not None for i in scene.items), 18, 3)


@pytest.mark.parametrize("size", [0, (0, 5), (5, -1)])
def test_no_image_without_pixels(size: int | tuple[int, int]):
    with pytest.raises(ValueError, match="cannot render"):
        render(describe(0, 0), size)


def test_sky_is_infinitely_far_and_faces_nowhere(views: list[tuple[Scene, View]]):
    for scene, view in views:
        sky = view.classes == SKY
        assert sky.mean() < 0.9
        assert sky.any() or scene.ground in ("room", "street", "forest")
        np.testing.assert_array_equal(np.isinf(view.depth), sky)
        assert not view.normals[sky].any()
        np.testing.assert_allclose(np.linalg.norm(view.normals[~sky], axis=1), 1, atol=1e-4)
        assert view.depth.min() > 0


def test_normals_face_the_camera(views: list[tuple[Scene, View]]):
    for scene, view in views:
        camera = camera_of(scene, SIZE, SIZE)
        i, j = np.nonzero(view.classes != SKY)
        _, direction = camera.rays((j + 0.5).astype(np.float32), (i + 0.5).astype(np.float32))
        seen = camera.axes @ direction
        assert (np.einsum("cn,nc->n", seen, view.normals[i, j]) < 1e-2).mean() > 0.9995


def test_classes_come_from_the_table(views: list[tuple[Scene, View]]):
    for _, view in views:
        assert set(np.unique(view.classes).tolist()) <= set(CLASSES.values())
        assert set(np.unique(view.coco).tolist()) <= set(COCO.values())


def test_both_maps_come_from_one_label(views: list[tuple[Scene, View]]):
    pairs = set(LABELS.values())
    for _, view in views:
        both = np.stack([view.classes, view.coco], axis=-1).reshape(-1, 2)
        assert {(int(a), int(c)) for a, c in np.unique(both, axis=0)} <= pairs


def test_label_words_name_classes_of_the_palettes():
    ade, coco = [name for name, _ in ADE20K.entries], [name for name, _ in COCO_STUFF.entries]
    assert all(1 <= c <= 150 for c in CLASSES.values())
    assert all(0 <= c <= 170 or c == NONE for c in COCO.values())
    same = [word for word in LABELS if word in ade]
    assert len(same) > 40
    assert all(ade[CLASSES[word] - 1] == word for word in same)
    same = [word for word in LABELS if word in coco and word != "table"]  # ours is a dining table
    assert len(same) > 40
    assert all(coco[COCO[word]] == word for word in same)


def test_the_ground_is_where_the_camera_height_puts_it(views: list[tuple[Scene, View]]):
    """Where the ground is seen, depth times the ray is a drop by exactly the height of the eye."""
    for scene, view in views:
        camera = camera_of(scene, SIZE, SIZE)
        up = camera.axes[:, 1].astype(np.float32)
        flat = (view.classes == CLASSES[GROUNDS[scene.ground].label]) & (view.normals @ up > 0.9999)
        flat &= view.depth < 40
        i, j = np.nonzero(flat)
        assert len(i) > 200 or scene.framing != "whole"
        _, direction = camera.rays((j + 0.5).astype(np.float32), (i + 0.5).astype(np.float32))
        drop = scene.eye[1] + view.depth[i, j] * direction[1]
        assert (np.abs(drop) < 1e-3 * (1 + view.depth[i, j])).sum() >= 0.99 * len(i)


def test_normals_agree_with_the_slope_of_depth():
    """On smooth interiors the cross product of neighboring points is the normal."""
    scene = describe(11, 2)
    size = 256
    view, camera = render(scene, size), camera_of(scene, size, size)
    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    local = np.stack([(x - size / 2) / camera.scale[0], -(y - size / 2) / camera.scale[1], -np.ones_like(x)], axis=-1)
    with np.errstate(invalid="ignore"):
        points = local * view.depth[..., None].astype(np.float64)
        across = points[1:-1, 2:] - points[1:-1, :-2]
        upward = points[:-2, 1:-1] - points[2:, 1:-1]
        slope = np.cross(across, upward)
        slope /= np.linalg.norm(slope, axis=-1, keepdims=True)
    n = view.normals.astype(np.float64)
    middle = n[1:-1, 1:-1]
    smooth = np.ones(middle.shape[:2], bool)
    for di, dj in ((0, 1), (2, 1), (1, 0), (1, 2)):
        neighbor = n[di : di + size - 2, dj : dj + size - 2]
        smooth &= np.einsum("hwc,hwc->hw", neighbor, middle) > 0.995
        smooth &= view.classes[di : di + size - 2, dj : dj + size - 2] == view.classes[1:-1, 1:-1]
    smooth &= view.depth[1:-1, 1:-1] < 30
    agreement = np.einsum("hwc,hwc->hw", slope, middle)[smooth]
    assert smooth.sum() > 20_000
    assert np.mean(agreement > 0.99) > 0.98


def test_visible_keypoints_lie_on_a_person(views: list[tuple[Scene, View]]):
    seen = 0
    for scene, view in views:
        assert len(view.keypoints) == sum(i.person is not None for i in scene.items)
        for x, y, score in view.keypoints.reshape(-1, 3):
            assert score in (0, 0.5, 1)
            inside = 0 <= x < SIZE and 0 <= y < SIZE
            assert inside or score == 0
            if score == 1:
                seen += 1
                i, j = int(y), int(x)
                assert (view.classes[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3] == PERSON).any()
    assert seen > 200


def test_who_faces_away_shows_no_face():
    for i in range(300):
        scene = describe(2, i)
        people = [item for item in scene.items if item.person]
        if len(people) != 1 or people[0].person.pose not in ("standing", "waving", "hips", "crossed"):
            continue
        turned = abs(people[0].heading)
        points = render(scene, 96).keypoints[0] if turned > 2.7 or turned < 0.1 else None
        if points is None:
            continue
        if turned > 2.7:
            assert (points[[0, 14, 15], 2] < 1).all()
        else:  # the person's right is on the left of the image
            assert points[2, 0] < points[5, 0]
            assert points[8, 0] < points[11, 0]


def test_every_kind_ground_light_and_pose_turns_up():
    scenes = [describe(0, i) for i in range(2500)]
    assert {s.ground for s in scenes} == set(GROUND_NAMES)
    assert {s.light for s in scenes} == set(LIGHT_NAMES)
    assert {s.weather for s in scenes} == set(WEATHERS)
    assert all(s.weather in weathers_of(s.ground) for s in scenes)
    assert 0.45 < np.mean([s.weather == "clear" for s in scenes]) < 0.65
    assert {i.kind for s in scenes for i in s.items} == {*KINDS, "person"}
    people = [i.person for s in scenes for i in s.items if i.person]
    assert {p.pose for p in people} == {*POSES, "posing", "catching"}
    assert {p.role for p in people} == {*ROLES, ""}
    assert {s.group for s in scenes} == {*GROUPS, ""}
    assert 0.4 < np.mean([any(i.person for i in s.items) for s in scenes]) < 0.6


def test_the_main_things_are_in_the_image(views: list[tuple[Scene, View]]):
    for scene, _ in views:
        camera = camera_of(scene, SIZE, SIZE)
        for item in scene.items:
            x, y, depth = camera.project(np.array(item.position))
            assert depth > 0
            if scene.framing == "whole":
                assert 0 < x < SIZE
                assert 0 < y < 1.05 * SIZE


def test_images_are_antialiased():
    """An image is near the area average of one four times as large: no jagged edges, no speckles."""
    for i in range(6):
        scene = describe(11, i)
        small, large = render(scene, 64).rgb.astype(float), render(scene, 256).rgb.astype(float)
        average = large.reshape(64, 4, 64, 4, 3).mean((1, 3))
        assert np.sqrt(np.mean((small - average) ** 2)) < 9
