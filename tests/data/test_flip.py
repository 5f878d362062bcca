"""Pairs in the mirror: the map is that of the mirrored image, for each kind."""

import io

import numpy as np
import pytest
from PIL import Image

from cn.conditions import KINDS, ConditionInfo
from cn.data.examples import Example
from cn.data.flip import mirror, mirror_map
from cn.data.scenes import SceneDataset
from cn.detect.pose import coco_skeleton, skeleton
from cn.detect.surfaces.encoding import FLAT, normals_to_map
from cn.scenes import describe, render

SIZE = 512
STYLES = {
    "openpose": lambda people: skeleton.draw(people, SIZE, SIZE),
    "openpose v1.1": lambda people: skeleton.draw(people, SIZE, SIZE, "v1.1"),
    "openpifpaf": lambda people: coco_skeleton.draw(people, SIZE, SIZE),
}


def scene_people(count: int) -> list[np.ndarray]:
    views = (render(describe(0, i), SIZE) for i in range(60) if any(item.person for item in describe(0, i).items))
    return [next(views).keypoints for _ in range(count)]


def as_coco(people: np.ndarray) -> np.ndarray:
    made = np.zeros((len(people), 17, 3))
    for joint, name in enumerate(coco_skeleton.JOINTS):
        made[:, joint] = people[:, skeleton.JOINTS.index(name)]
    return made


def mirrored(people: np.ndarray, joints: tuple[str, ...]) -> np.ndarray:
    """The same people in the mirror: their right wrist is a left wrist there."""
    swap = {"left": "right", "right": "left"}
    order = [joints.index(" ".join(swap.get(word, word) for word in name.split())) for name in joints]
    made = np.array(people, np.float64)[:, order]
    made[..., 0] = SIZE - 1 - made[..., 0]
    return made


def unlike(found: np.ndarray, wanted: np.ndarray) -> float:
    """The share of drawn pixels for which no pixel next to them in `wanted` has their color (coordinates are cut off
    to whole pixels in drawing, which the mirror turns around)."""
    padded = np.pad(wanted.astype(int), ((1, 1), (1, 1), (0, 0)))
    near = [padded[y : y + SIZE, x : x + SIZE] for y in range(3) for x in range(3)]
    same = np.any([(np.abs(part - found) <= 8).all(axis=-1) for part in near], axis=0)
    drawn = found.any(axis=-1)
    return float((drawn & ~same).sum() / drawn.sum())


@pytest.mark.parametrize("style", STYLES)
def test_a_mirrored_pose_is_the_pose_of_the_mirrored_people(style):
    draw = STYLES[style]
    for people in scene_people(4):
        bodies, joints = (as_coco(people), coco_skeleton.JOINTS) if style == "openpifpaf" else (people, skeleton.JOINTS)
        found, wanted = mirror_map(draw(bodies), style.split()[0]), draw(mirrored(bodies, joints))
        assert max(unlike(found, wanted), unlike(wanted, found)) < 0.08
        assert unlike(np.ascontiguousarray(draw(bodies)[:, ::-1]), wanted) > 0.7, "mirroring alone is wrong"


def test_single_joints_and_limbs_change_exactly():
    person = np.zeros((1, 18, 3))
    person[0, 2:5] = [(100, 100, 1), (100, 200, 1), (200, 200, 1)]  # the right arm
    found = mirror_map(skeleton.draw(person, SIZE, SIZE), "openpose")
    colors = {tuple(color) for color in found.reshape(-1, 3).tolist()} - {(0, 0, 0)}
    left = {skeleton.COLORS[joint] for joint in (5, 6, 7)}
    limbs = {tuple(round(0.6 * channel) for channel in skeleton.COLORS[limb]) for limb in (4, 5)}
    assert left | limbs <= colors
    right = {skeleton.COLORS[joint] for joint in (2, 3, 4)} - left
    assert not right & colors
    again = (mirror_map(found, "openpose") != skeleton.draw(person, SIZE, SIZE)).any(axis=-1)
    assert again.sum() < 0.03 * found.any(axis=-1).sum(), "where limbs cross, a color may be of two crossings"


def test_hands_and_faces_keep_their_colors():
    person, hands, faces = np.zeros((1, 18, 3)), np.zeros((1, 2, 21, 3)), np.zeros((1, 70, 3))
    person[0, 12:14] = [(300, 300, 1), (300, 400, 1)]  # the left knee has the blue of the dots of hands
    hands[0, 0] = [(100 + 9 * (i % 7), 100 + 20 * (i // 7), 1) for i in range(21)]
    faces[0] = [(50 + 3 * i, 450, 1) for i in range(70)]
    for style in ("released", "v1.1"):
        drawn = skeleton.draw(person, SIZE, SIZE, style, hands, faces)
        found = mirror_map(drawn, "openpose")
        assert np.array_equal(found[:250], drawn[:250, ::-1])
        assert np.array_equal(found[430:], drawn[430:, ::-1])
        below = {tuple(color) for color in found[290:310].reshape(-1, 3).tolist()}
        assert skeleton.COLORS[9] in below
        assert skeleton.COLORS[12] not in below


def test_poses_in_a_jpeg_change_their_sides_too():
    """Compression gives colors that no drawing has."""
    (people,) = scene_people(1)
    drawn = skeleton.draw(people, SIZE, SIZE)
    file = io.BytesIO()
    Image.fromarray(drawn).save(file, "JPEG", quality=95, subsampling=0)
    found = mirror_map(np.array(Image.open(file)), "openpose").astype(int)
    wanted = mirror_map(drawn, "openpose")
    inside = wanted.any(axis=-1)
    assert np.median(np.abs(found - wanted)[inside].max(axis=-1)) < 16
    assert np.median(np.abs(found - drawn[:, ::-1])[inside].max(axis=-1)) > 60


@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize("stated", [False, True])
def test_normals_change_the_sign_of_x(bgr, stated):
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((20, 30, 3)) * (0.6, 0.6, 0.2) + (0, 0, 0.8)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals[..., 2] = np.abs(normals[..., 2])
    normals[:5] = 0
    order = slice(None, None, -1 if bgr else 1)
    info = ConditionInfo("normal", "test", {"bgr": bgr}) if stated else None
    found = mirror_map(normals_to_map(normals)[..., order], "normal", info)[..., order]
    wanted = normals_to_map((normals * (-1, 1, 1))[:, ::-1])
    assert np.abs(found.astype(int) - wanted).max() <= 1
    assert (found[:5] == FLAT).all(), "what faces the viewer stays as it is"
    black = mirror_map(np.zeros((4, 4, 3), np.uint8), "normal", info)
    assert not black.any(), "pixels without a surface"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"normal", "openpose", "openpifpaf"}))
def test_other_maps_are_mirrored_as_they_are(kind):
    rng = np.random.default_rng(1)
    target, condition = rng.integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
    found = mirror(Example(target, condition, "a prompt"), kind)
    assert np.array_equal(found.target, target[:, ::-1])
    assert np.array_equal(found.condition, condition[:, ::-1])
    assert found.prompt == "a prompt"


def test_scenes_have_a_mirror_image_too():
    scenes = SceneDataset("normal", 64)
    plain, found = scenes.fetch(3).example, scenes.fetch(3, mirrored=True).example
    assert np.array_equal(found.target, plain.target[:, ::-1])
    assert np.array_equal(found.condition[..., 1:], plain.condition[:, ::-1, 1:])
    assert not np.array_equal(found.condition, plain.condition[:, ::-1])
