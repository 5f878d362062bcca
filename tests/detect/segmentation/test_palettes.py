"""Segmentation colors, depth maps and normal maps: the conventions of existing ControlNets."""

import hashlib
import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cn.detect.segmentation import palette_ade20k, palette_coco
from cn.detect.segmentation.color_matching import ids_from_colors
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF, NONE, Palette, paint
from cn.detect.surfaces.encoding import depth_to_map, normals_to_map
from tests.helpers.segmentation_cases import golden


def test_the_ade20k_table():
    assert len(ADE20K.entries) == 150
    assert len(set(ADE20K.names)) == 150
    known = {"wall": (120, 120, 120), "sky": (6, 230, 230), "tree": (4, 200, 3), "person": (150, 5, 61),
             "car": (0, 102, 200), "grass": (4, 250, 7), "clock": (102, 255, 0), "flag": (92, 0, 255)}  # fmt: skip
    for name, color in known.items():
        assert tuple(ADE20K.colors[ADE20K.id_of(name)]) == color
    assert (ADE20K.id_of("wall"), ADE20K.id_of("person"), ADE20K.id_of("flag")) == (0, 12, 149)
    # One pair of classes shares a color; the published table is like that.
    _, counts = np.unique(ADE20K.colors, axis=0, return_counts=True)
    assert sorted(counts)[-2:] == [1, 2]
    assert tuple(ADE20K.colors[ADE20K.id_of("road")]) == tuple(ADE20K.colors[ADE20K.id_of("skyscraper")])
    with pytest.raises(KeyError, match="dragon"):
        ADE20K.id_of("dragon")
    assert [ADE20K.name_of(number) for number in (0, 149, 150, NONE, -1)] == ["wall", "flag"] + 3 * ["no class"]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_painting(dtype):
    ids = np.arange(150).reshape(10, 15).astype(dtype)
    painted = paint(ids, ADE20K)
    assert painted.dtype == np.uint8
    assert np.array_equal(painted.reshape(150, 3), ADE20K.colors)


def test_what_has_no_class_is_black():
    ids = np.array([[-1, 150, 255, 0]], np.int32)
    assert paint(ids, ADE20K).tolist() == [[[0, 0, 0]] * 3 + [[120, 120, 120]]]


def test_the_ade20k_table_is_that_of_mmseg_and_of_the_challenge():
    # Theirs has blanks behind some names.
    assert list(ADE20K.names) == [name.strip() for name in str(golden("ade20k.names")).splitlines()]
    assert np.array_equal(ADE20K.colors, golden("ade20k.palette"))
    objects = sorted((number + 1, thing) for number, row in enumerate(palette_ade20k.CLASSES) for thing in row[2])
    assert objects == sorted(map(tuple, golden("ade20k.objects").tolist()))
    assert len({thing for _, thing in objects}) == len(objects) == 153


@pytest.mark.parametrize(
    ("lines", "count", "digest"),
    [
        (
            [f"{n} {r} {g} {b} {name}" for n, (name, (r, g, b), _) in enumerate(palette_ade20k.CLASSES)],
            150,
            "bdbea67e6ab2803c0a24b6cbd5a3ad0f883f20fca09f9dbc1d0bac2e0cf93e8d",
        ),
        (
            [f"{n} {label} {r} {g} {b} {name}" for n, (name, (r, g, b), label) in enumerate(palette_coco.CLASSES)],
            171,
            "2e03fb2973e0b4a25af73e8fac1c074783c2c76f3fbed0f15281ccaf2ceaeee2",
        ),
    ],
    ids=["ADE20K", "COCO-Stuff"],
)
def test_no_entry_of_the_tables_has_changed(lines, count, digest):
    assert len(lines) == count
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == digest


def test_the_coco_stuff_table():
    assert len(set(COCO_STUFF.names)) == 171
    # Labels rise, and the eleven that are left out are the ones that COCO never used.
    labels = [label for _, _, label in palette_coco.CLASSES]
    assert labels == sorted(set(labels))
    assert set(range(182)) - set(labels) == {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}
    assert tuple(COCO_STUFF.colors[COCO_STUFF.id_of("wall-other")]) == (192, 192, 192)
    merged = [name for _, names in palette_coco.MERGED for name in names]
    assert [category for category, _ in palette_coco.MERGED] == list(range(184, 201))
    assert len(merged) == len(set(merged)) == 43
    assert set(merged) <= set(COCO_STUFF.names)


def test_which_classes_share_a_color():
    assert ADE20K.shared() == {(140, 140, 140): (ADE20K.id_of("road"), ADE20K.id_of("skyscraper"))}
    named = [[COCO_STUFF.names[i] if i != NONE else None for i in ids] for ids in COCO_STUFF.shared().values()]
    assert sorted(map(len, named)) == [2] * 8 + [3]
    assert ["person", "bicycle"] in named
    assert ["truck", "traffic light", "cloth"] in named
    assert ["handbag", None] in named


def blocks(palette: Palette, side: int, rows: int = 8, columns: int = 10, seed: int = 0) -> np.ndarray:
    """Ids (rows · side, columns · side) in squares, without the classes whose color does not tell them."""
    unclear = {i for ids in palette.shared().values() for i in ids}
    usable = [i for i in range(len(palette.entries)) if i not in unclear] + [NONE] * ((0, 0, 0) not in palette.shared())
    ids = np.random.default_rng(seed).choice(usable, (rows, columns)).astype(np.uint8)
    return np.kron(ids, np.ones((side, side), np.uint8))


def as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


PALETTES = [ADE20K, COCO_STUFF]
each_palette = pytest.mark.parametrize("palette", PALETTES, ids=lambda p: p.name)


@each_palette
def test_what_was_painted_is_read_back(palette):
    ids = np.array([*range(len(palette.entries)), NONE], np.uint8)[None]
    snapped = ids_from_colors(paint(ids, palette), palette)
    groups = palette.shared().values()
    # Of those that share a color the first is meant, and none of them where black could be nothing.
    meant = {i: NONE if NONE in group else min(group) for group in groups for i in group}
    assert snapped.ids.tolist() == [[meant.get(i, i) for i in ids[0].tolist()]]
    assert snapped.ids.dtype == np.uint8
    assert snapped.matched == 1
    assert {frozenset(group) for group in palette.ambiguous(snapped.ids)} == set(map(frozenset, groups))
    assert all(group[0] in snapped.ids for group in palette.ambiguous(snapped.ids)), "what is read comes first"


@each_palette
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_painting_and_snapping_are_inverse(palette, seed):
    ids = blocks(palette, 1, seed=seed)
    snapped = ids_from_colors(paint(ids, palette), palette)
    assert np.array_equal(snapped.ids, ids)
    assert palette.ambiguous(snapped.ids) == (
        [(NONE, palette.id_of("handbag"))] if NONE in snapped.ids and palette is COCO_STUFF else []
    )


@each_palette
def test_only_what_occurs_is_called_ambiguous(palette):
    first, second, *_ = next(iter(palette.shared().values()))
    elephant, bear = 20, 21
    ids = np.array([[first, elephant, bear, second]], np.uint8)
    snapped = ids_from_colors(paint(ids, palette), palette)
    assert palette.ambiguous(snapped.ids) == list(palette.shared().values())[:1]
    assert snapped.ids[0, 0] == first


@each_palette
@pytest.mark.parametrize("quality", [95, 90])
def test_jpeg_is_undone_but_for_the_edges(palette, quality):
    side = 48
    ids = blocks(palette, side)
    snapped = ids_from_colors(as_jpeg(paint(ids, palette), quality), palette)
    inside = np.zeros((side, side), bool)
    inside[3:-3, 3:-3] = True
    inside = np.tile(inside, (8, 10))
    right = snapped.ids == ids
    assert right[inside].mean() > (0.9999 if quality == 95 else 0.998)
    assert right.mean() > 0.97
    assert snapped.matched > 0.9


@each_palette
@pytest.mark.parametrize("size", [(131, 97), (40, 600)])
def test_resizing_to_the_nearest_pixel_is_undone(palette, size):
    ids = blocks(palette, 16)
    resized = cv2.resize(paint(ids, palette), size, interpolation=cv2.INTER_NEAREST)
    assert np.array_equal(ids_from_colors(resized, palette).ids, cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST))


def test_a_smooth_resizing_leaves_right_what_is_away_from_the_edges():
    ids = blocks(COCO_STUFF, 32)
    doubled = cv2.resize(paint(ids, COCO_STUFF), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    right = ids_from_colors(doubled, COCO_STUFF).ids == np.kron(ids, np.ones((2, 2), np.uint8))
    inside = np.tile(np.pad(np.ones((58, 58), bool), 3), (8, 10))
    assert right[inside].all()
    assert right.mean() > 0.98


def test_what_has_no_color_of_the_palette_takes_the_id_beside_it():
    sky, tree = (ADE20K.id_of(name) for name in ("sky", "tree"))
    image = paint(np.array([[sky, sky, sky, tree, tree]]), ADE20K)
    image[0, 2] = (200, 20, 120)
    snapped = ids_from_colors(image, ADE20K)
    assert snapped.ids.tolist() in ([[sky, sky, sky, tree, tree]], [[sky, sky, tree, tree, tree]])
    assert snapped.matched == pytest.approx(0.8)
    assert ids_from_colors(image, ADE20K, tolerance=500).matched == 1


def test_a_tolerance_is_a_distance_that_counts_to_its_end():
    image = paint(np.array([[7, 9]]), COCO_STUFF)
    image[0, 0] += np.array([3, 4, 0], np.uint8)
    assert ids_from_colors(image, COCO_STUFF, tolerance=5).matched == 1
    assert ids_from_colors(image, COCO_STUFF, tolerance=4.9).matched == 0.5


def test_what_is_no_map_at_all_has_no_ids():
    snapped = ids_from_colors(np.full((4, 5, 3), (17, 99, 201), np.uint8), COCO_STUFF)
    assert (snapped.ids == NONE).all()
    assert snapped.matched == 0


def test_near_is_white_and_the_sky_black():
    depth = np.array([[1.0, 2.0, 4.0], [np.inf, np.nan, -1.0]])
    assert depth_to_map(depth).tolist() == [[255, 127, 63], [0, 0, 0]]


def test_without_sky_the_farthest_is_black():
    depth = np.array([[1.0, 2.0, 4.0]])
    # Inverse depth 1, 1/2, 1/4, stretched: (1/2 − 1/4) / (1 − 1/4) = 1/3.
    assert depth_to_map(depth).tolist() == [[255, 85, 0]]
    assert not depth_to_map(np.full((3, 3), 5.0)).any()
    assert not depth_to_map(np.full((3, 3), np.inf)).any()


def test_the_map_does_not_depend_on_the_unit_of_length():
    depth = np.random.default_rng(0).uniform(1, 30, (40, 40))
    difference = depth_to_map(depth).astype(int) - depth_to_map(depth * 1000)
    assert np.abs(difference).max() <= 1
    assert depth_to_map(depth).max() == 255


def test_normals_are_colored_red_left_green_up_blue_front():
    normals = np.array([[[-1, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, 0]]], float)
    assert normals_to_map(normals).tolist() == [
        [[255, 127, 127], [0, 127, 127], [127, 255, 127], [127, 0, 127], [127, 127, 255], [127, 127, 255]]
    ]


def test_normals_have_the_signs_of_the_gradients_of_inverse_depth():
    """The paper's extended normals: (∂d/∂x, ∂d/∂y, a) of inverse depth d, on a sphere in front of the camera."""
    y, x = np.mgrid[-1.5:1.5:61j, -1.5:1.5:61j]
    inside = x**2 + y**2 < 0.81
    z = np.sqrt(np.where(inside, 1 - x**2 - y**2, 1))
    inverse = 1 / (4 - z)
    colors = normals_to_map(np.stack([x, -y, z], axis=-1)).astype(int) - 127
    along_x, along_y = np.gradient(inverse, axis=1), np.gradient(inverse, axis=0)
    core = (x**2 + y**2 < 0.5) & (np.abs(x) > 0.1) & (np.abs(y) > 0.1)
    assert (np.sign(colors[core][:, 0]) == np.sign(along_x[core])).all()
    assert (np.sign(colors[core][:, 1]) == np.sign(along_y[core])).all()
