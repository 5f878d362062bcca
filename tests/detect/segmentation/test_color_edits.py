"""Colored maps that were edited, blurred, resized or compressed: edges stay edges, other colors are named."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from cn.detect.segmentation.color_matching import ids_from_colors
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF, NONE, Palette, paint

SKY, TREE, PERSON, CAR, WALL = (ADE20K.id_of(name) for name in ("sky", "tree", "person", "car", "wall"))
STRANGE = (40, 70, 150)
"""Far from every color of ADE20K; the nearest is that of cars."""


def scene() -> np.ndarray:
    """Ids (200, 200): sky over trees."""
    ids = np.full((200, 200), SKY, np.uint8)
    ids[120:] = TREE
    return ids


def painted(ids: np.ndarray, palette: Palette = ADE20K) -> np.ndarray:
    return np.ascontiguousarray(paint(ids, palette))


def as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def circle(image: np.ndarray, color: tuple[int, int, int], **options: int) -> np.ndarray:
    cv2.circle(image, (100, 110), 50, color, -1, **options)
    return image


def test_smooth_edges_become_one_of_the_two_classes_beside_them():
    """Between any two classes, whatever third color the blend resembles."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        a, b = rng.choice(150, 2, replace=False)
        image = painted(np.full((40, 40), a))
        color = ADE20K.entries[b][1]
        cv2.circle(image, (20, 20), 12, color, -1, cv2.LINE_AA)
        found = ids_from_colors(image, ADE20K)
        same = {min(group) if (group := ADE20K.shared().get(ADE20K.entries[i][1])) else i for i in (a, b)}
        assert set(np.unique(found.ids)) == same, (a, b)
        assert found.unknown == ()


@pytest.mark.parametrize("factor", [2, 3])
def test_an_enlarged_map_has_no_new_classes(factor):
    ids = scene()
    ids[60:160, 80:90] = PERSON
    large = cv2.resize(painted(ids), None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    found = ids_from_colors(large, ADE20K)
    assert set(np.unique(found.ids)) == {SKY, TREE, PERSON}
    assert (found.ids == np.kron(ids, np.ones((factor, factor), np.uint8))).mean() > 0.995
    assert found.unknown == ()


@pytest.mark.parametrize("quality", [95, 85, 75])
def test_jpeg_makes_no_new_classes_and_no_unknown_colors(quality):
    ids = scene()
    circle_ids = circle(painted(ids), ADE20K.entries[PERSON][1])
    found = ids_from_colors(as_jpeg(circle_ids, quality), ADE20K)
    assert set(np.unique(found.ids)) == {SKY, TREE, PERSON}
    assert found.unknown == ()
    assert found.scattered == 0


def test_a_jpeg_with_a_strange_color_gives_one_name():
    image = circle(painted(scene()), STRANGE)
    found = ids_from_colors(as_jpeg(image, 80), ADE20K)
    (color,) = found.unknown
    assert np.abs(np.subtract(color.color, STRANGE)).max() <= 4
    assert color.share == pytest.approx((image == STRANGE).all(axis=-1).mean(), abs=0.005)
    assert color.nearest == CAR


@pytest.mark.parametrize("soft", [False, True])
def test_a_soft_brush_of_a_strange_color_is_one_color_with_clean_edges(soft):
    image = circle(painted(scene()), STRANGE)
    area = (image == STRANGE).all(axis=-1)
    if soft:
        image = cv2.GaussianBlur(image, (0, 0), 1.5)
    found = ids_from_colors(image, ADE20K)
    assert [color.hex for color in found.unknown] == ["#284696"]
    assert ((found.ids == NONE) == area).mean() > (0.985 if soft else 0.99999)
    assert set(np.unique(found.ids)) == {SKY, TREE, NONE}
    nearest = ids_from_colors(image, ADE20K, nearest=True)
    assert np.array_equal(nearest.ids == CAR, found.ids == NONE)


def test_thin_lines_stay():
    """A wire of a class, and one of a strange color, one pixel wide and in front of smooth edges."""
    image = cv2.resize(painted(scene()), (400, 400), interpolation=cv2.INTER_LINEAR)
    image[:, 100] = ADE20K.entries[PERSON][1]
    image[:, 200] = STRANGE
    found = ids_from_colors(image, ADE20K)
    assert (found.ids[:, 100] == PERSON).all()
    assert (found.ids[:, 200] == NONE).all()
    assert [color.hex for color in found.unknown] == ["#284696"]
    assert set(np.unique(found.ids[:, [99, 101, 199, 201]])) == {SKY, TREE}


def test_a_blend_that_is_exactly_another_color_of_the_palette_is_still_a_blend():
    """COCO-Stuff's colors are multiples of 32: (0, 128, 192) and (0, 0, 192) meet at (0, 64, 192)."""
    colors = [color for _, color in COCO_STUFF.entries]
    first, second, between = next(
        (a, b, middle)
        for a in colors
        for b in colors
        if (middle := tuple((x + y) // 2 for x, y in zip(a, b, strict=True))) in colors and middle not in (a, b)
    )
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :30], image[:, 31:], image[:, 30] = first, second, between
    wire = ids_from_colors(image, COCO_STUFF)
    assert wire.ids[0, 30] == colors.index(between), "in a map without any blended pixel it is a wire"
    image[20, 30] = np.add(first, np.subtract(second, first) * 0.3).astype(int)
    blended = ids_from_colors(image, COCO_STUFF)
    assert blended.ids[0, 30] in (colors.index(first), colors.index(second))


def test_many_strange_colors_are_told_apart_the_largest_first():
    image = painted(scene())
    strange = [(255, 255, 255), (40, 70, 150), (90, 30, 30)]
    for number, color in enumerate(strange):
        image[10 : 40 - 8 * number, 40 * number + 5 : 40 * number + 35] = color
    found = ids_from_colors(image, ADE20K)
    assert [color.color for color in found.unknown] == strange
    assert [color.share for color in found.unknown] == [900 / 40000, 660 / 40000, 420 / 40000]
    assert [round(color.distance) for color in found.unknown] == [43, 72, 30]


def test_a_part_that_is_a_photograph_is_not_called_a_class():
    image = painted(scene())
    image[20:100, 20:100] = np.random.default_rng(0).integers(0, 256, (80, 80, 3))
    found = ids_from_colors(image, ADE20K)
    assert set(np.unique(found.ids)) == {SKY, TREE, NONE}
    assert found.scattered == pytest.approx(64 * 64 / 200 / 200, rel=0.1)


def test_colors_that_are_all_a_little_off_are_read():
    """As a program with color management saves them."""
    ids = circle(painted(scene()), ADE20K.entries[PERSON][1])
    shifted = np.clip(ids.astype(int) + np.array([4, -5, 3]), 0, 255).astype(np.uint8)
    assert np.array_equal(ids_from_colors(shifted, ADE20K).ids, ids_from_colors(ids, ADE20K).ids)
    assert ids_from_colors(shifted, ADE20K).unknown == ()


def test_another_palette_with_nearest_is_said(tmp_path):
    from cn.detect.segmentation.detectors import Ade20kLabels

    other = np.full((64, 64, 3), STRANGE, np.uint8)
    other[:32] = (250, 250, 100)
    Image.fromarray(other).save(tmp_path / "other.png")
    detector = Ade20kLabels("colors", nearest=True)
    (found,) = detector.detect([detector.read(str(tmp_path / "other.png"))], ["other"])
    assert found.warning is not None
    assert found.warning.startswith("only 0 % of what is not black has a color of the palette of ADE20K")
