"""Scribbles: the released synthesis, the paper's augmentations, and drawings."""

from dataclasses import replace

import numpy as np
import pytest

from cn.detect.lines.scribble import (
    MORPHOLOGIES,
    Augmentation,
    augmented,
    from_drawing,
    random_augmentation,
    released,
    ridges,
)
from tests.golden.make_detectors_edges import FILE

PLAIN = Augmentation(
    threshold=0.5, sigma=1.5, thin=True, dropped=0.0, morphology="none", steps=1, stroke_sigma=2.0, seed=0
)
SIZES = [(1, 1), (7, 5), (1, 300), (3, 800), (800, 3)]


def golden(name):
    with np.load(FILE) as file:
        return file[name]


def unpacked(name, shape):
    return np.unpackbits(golden(name))[: np.prod(shape)].reshape(shape) > 0


def test_the_released_scribble_is_that_of_the_published_code():
    soft = golden("scribble/soft")
    for made, name in ((ridges(soft), "scribble/nms"), (released(soft), "scribble")):
        assert made.dtype == np.uint8
        assert set(np.unique(made)) == {0, 255}
        assert np.array_equal(made > 0, unpacked(name, soft.shape))


def soft_lines(rows=(20, 60, 100, 140), size=(160, 200)):
    """Soft horizontal edges."""
    distance = np.abs(np.arange(size[0])[:, None] - np.array(rows)).min(axis=1)
    return np.repeat((255 * np.exp(-((distance / 4.0) ** 2))).astype(np.uint8)[:, None], size[1], axis=1)


def test_a_soft_edge_becomes_one_stroke():
    scribble = released(soft_lines())
    runs = np.flatnonzero(np.diff(scribble[:, 100].astype(int)))
    assert len(runs) == 8, "four strokes"
    assert 8 <= runs[1] - runs[0] <= 20


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("thin", [True, False])
def test_any_size_works(size, thin):
    soft = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    for made in (released(soft), augmented(soft, replace(PLAIN, thin=thin, dropped=0.5, morphology="open"))):
        assert made.shape == size
        assert made.dtype == np.uint8
        assert set(np.unique(made)) <= {0, 255}


def test_an_empty_or_nearly_empty_map_gives_no_strokes():
    for level in (0, 2):
        flat = np.full((50, 60), level, np.uint8)
        assert not released(flat).any()
        for number in range(20):
            assert not augmented(flat, random_augmentation(0, str(number))).any()


def test_the_threshold_says_how_weak_an_edge_may_be():
    soft = soft_lines()
    soft[:80] //= 2
    assert augmented(soft, replace(PLAIN, threshold=0.3))[:80].any()
    assert not augmented(soft, replace(PLAIN, threshold=0.7))[:80].any()
    assert augmented(soft, replace(PLAIN, threshold=0.7))[80:].any()


def test_without_thinning_edges_stay_as_wide_as_they_are():
    wide = np.zeros((100, 100), np.uint8)
    wide[30:70] = 255
    thick = augmented(wide, replace(PLAIN, thin=False))
    assert 36 <= (thick[:, 50] > 0).sum() <= 44


def test_the_share_that_is_dropped_is_a_share_of_all_strokes():
    soft = soft_lines(rows=range(20, 620, 20), size=(640, 64))
    whole = (augmented(soft, PLAIN) > 0).sum()
    for dropped in (0.25, 0.5):
        left = (augmented(soft, replace(PLAIN, dropped=dropped)) > 0).sum() / whole
        assert left == pytest.approx(1 - dropped, abs=0.06)
    thick = replace(PLAIN, thin=False)
    left = (augmented(soft, replace(thick, dropped=0.5)) > 0).sum() / (augmented(soft, thick) > 0).sum()
    assert left == pytest.approx(0.5, abs=0.06)


def test_strokes_that_stay_are_whole_and_which_go_follows_from_the_seed():
    soft = soft_lines(rows=range(20, 620, 20), size=(640, 64))
    half = replace(PLAIN, dropped=0.5)
    first = augmented(soft, half)
    assert np.array_equal(first, augmented(soft, half))
    assert not np.array_equal(first, augmented(soft, replace(half, seed=1)))
    rows = first[:, 4:-4] > 0
    assert (rows.all(axis=1) == rows.any(axis=1)).all()


def test_strokes_that_hang_together_are_cut_where_they_meet():
    grid = np.maximum(soft_lines(size=(160, 160)), soft_lines(size=(160, 160)).T)
    whole, half = augmented(grid, PLAIN), augmented(grid, replace(PLAIN, dropped=0.5))
    assert 0.35 < (half > 0).sum() / (whole > 0).sum() < 0.75


def test_dots_are_no_strokes():
    soft = soft_lines()
    soft[78:82, 98:102] = 255
    assert not augmented(soft, PLAIN)[74:86, 90:110].any()


@pytest.mark.parametrize(("morphology", "grows"), [("none", 0), ("dilate", 1), ("erode", -1)])
def test_morphology_makes_strokes_wider_or_narrower(morphology, grows):
    plain = (augmented(soft_lines(), PLAIN)[:, 100] > 0).sum()
    changed = (augmented(soft_lines(), replace(PLAIN, morphology=morphology, steps=2))[:, 100] > 0).sum()
    assert changed - plain == 4 * 2 * 2 * grows


def test_settings_follow_from_seed_and_name_alone():
    assert random_augmentation(0, "a/b.jpg") == random_augmentation(0, "a/b.jpg")
    assert random_augmentation(0, "a/b.jpg") != random_augmentation(1, "a/b.jpg")
    assert random_augmentation(0, "a/b.jpg") != random_augmentation(0, "a/c.jpg")
    assert random_augmentation(7, "undecodable\udcff.jpg") == random_augmentation(7, "undecodable\udcff.jpg")


def test_all_settings_are_drawn_and_the_ranges_filled():
    drawn = [random_augmentation(3, f"{number}.png") for number in range(2000)]
    for field, low, high in (
        ("threshold", 0.25, 0.75),
        ("sigma", 1, 4),
        ("dropped", 0, 0.6),
        ("stroke_sigma", 1, 4),
        ("steps", 1, 2),
    ):
        values = np.array([getattr(one, field) for one in drawn])
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.03 * (high - low)
    assert {one.morphology for one in drawn} == set(MORPHOLOGIES)
    assert 0.65 < np.mean([one.thin for one in drawn]) < 0.75
    assert len({one.seed for one in drawn}) == 2000


def test_random_scribbles_of_an_image_with_edges_have_strokes_and_paper():
    for number in range(60):
        share = (augmented(soft_lines(), random_augmentation(0, str(number))) > 0).mean()
        assert 0.01 < share < 0.6, number


def test_the_record_is_plain_data():
    record = random_augmentation(0, "a").record()
    assert set(record) == set(vars(PLAIN))
    assert {type(value) for value in record.values()} <= {int, float, bool, str}


def drawing(paper, ink):
    image = np.full((40, 50, 3), paper, np.uint8)
    image[10:12, 5:45] = ink
    return image


@pytest.mark.parametrize(
    ("paper", "ink"),
    [
        (255, 0),
        (235, 60),
        (255, (200, 30, 30)),
        ((250, 240, 200), (20, 60, 200)),
        (0, 255),
        (20, 190),
        ((10, 30, 60), (255, 220, 40)),
    ],
)
def test_ink_is_white_whatever_the_paper(paper, ink):
    scribble = from_drawing(drawing(paper, ink))
    assert scribble.dtype == np.uint8
    expected = np.zeros((40, 50), np.uint8)
    expected[10:12, 5:45] = 255
    assert np.array_equal(scribble, expected)


def test_the_released_threshold_holds_on_light_paper():
    image = np.full((4, 6, 3), 255, np.uint8)
    image[0, 0], image[0, 1] = (255, 126, 255), (255, 127, 255)
    assert np.argwhere(from_drawing(image)).tolist() == [[0, 0]]
    assert np.argwhere(from_drawing(image, ink=200)).tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("size", [(1, 1), (7, 5)])
def test_an_empty_page_has_no_ink(level, size):
    scribble = from_drawing(np.full((*size, 3), level, np.uint8))
    assert scribble.shape == size
    assert not scribble.any()
