"""Scribbles with the paper's augmentations."""

from dataclasses import replace

import numpy as np
import pytest

from cn.detect.lines.scribble import released_scribble
from cn.detect.lines.scribble_augmentation import MORPHOLOGIES, Augmentation, augmented_scribble, random_augmentation
from tests.helpers.detect_cases import soft_lines

PLAIN = Augmentation(
    threshold=0.5, sigma=1.5, thin=True, dropped=0.0, morphology="none", steps=1, stroke_sigma=2.0, seed=0
)
SIZES = [(1, 1), (7, 5), (1, 300), (3, 800), (800, 3)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("thin", [True, False])
def test_any_size_works(size, thin):
    soft = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    for made in (
        released_scribble(soft),
        augmented_scribble(soft, replace(PLAIN, thin=thin, dropped=0.5, morphology="open")),
    ):
        assert made.shape == size
        assert made.dtype == np.uint8
        assert set(np.unique(made)) <= {0, 255}


def test_an_empty_or_nearly_empty_map_gives_no_strokes():
    for level in (0, 2):
        flat = np.full((50, 60), level, np.uint8)
        assert not released_scribble(flat).any()
        for number in range(20):
            assert not augmented_scribble(flat, random_augmentation(0, str(number))).any()


def test_the_threshold_drops_weak_edges():
    soft = soft_lines()
    soft[:80] //= 2
    assert augmented_scribble(soft, replace(PLAIN, threshold=0.3))[:80].any()
    assert not augmented_scribble(soft, replace(PLAIN, threshold=0.7))[:80].any()
    assert augmented_scribble(soft, replace(PLAIN, threshold=0.7))[80:].any()


def test_without_thinning_edges_stay_as_wide_as_they_are():
    wide = np.zeros((100, 100), np.uint8)
    wide[30:70] = 255
    thick = augmented_scribble(wide, replace(PLAIN, thin=False))
    assert 36 <= (thick[:, 50] > 0).sum() <= 44


def test_dropped_is_a_fraction_of_all_strokes():
    soft = soft_lines(rows=range(20, 620, 20), size=(640, 64))
    whole = (augmented_scribble(soft, PLAIN) > 0).sum()
    for dropped in (0.25, 0.5):
        left = (augmented_scribble(soft, replace(PLAIN, dropped=dropped)) > 0).sum() / whole
        assert left == pytest.approx(1 - dropped, abs=0.06)
    thick = replace(PLAIN, thin=False)
    left = (augmented_scribble(soft, replace(thick, dropped=0.5)) > 0).sum() / (
        augmented_scribble(soft, thick) > 0
    ).sum()
    assert left == pytest.approx(0.5, abs=0.06)


def test_whole_strokes_are_dropped_depending_on_the_seed():
    soft = soft_lines(rows=range(20, 620, 20), size=(640, 64))
    half = replace(PLAIN, dropped=0.5)
    first = augmented_scribble(soft, half)
    assert np.array_equal(first, augmented_scribble(soft, half))
    assert not np.array_equal(first, augmented_scribble(soft, replace(half, seed=1)))
    rows = first[:, 4:-4] > 0
    assert (rows.all(axis=1) == rows.any(axis=1)).all()


def test_connected_strokes_are_cut_at_junctions():
    grid = np.maximum(soft_lines(size=(160, 160)), soft_lines(size=(160, 160)).T)
    whole, half = augmented_scribble(grid, PLAIN), augmented_scribble(grid, replace(PLAIN, dropped=0.5))
    assert 0.35 < (half > 0).sum() / (whole > 0).sum() < 0.75


def test_dots_are_removed():
    soft = soft_lines()
    soft[78:82, 98:102] = 255
    assert not augmented_scribble(soft, PLAIN)[74:86, 90:110].any()


@pytest.mark.parametrize(("morphology", "grows"), [("none", 0), ("dilate", 1), ("erode", -1)])
def test_morphology_makes_strokes_wider_or_narrower(morphology, grows):
    plain = (augmented_scribble(soft_lines(), PLAIN)[:, 100] > 0).sum()
    changed = (augmented_scribble(soft_lines(), replace(PLAIN, morphology=morphology, steps=2))[:, 100] > 0).sum()
    assert changed - plain == 4 * 2 * 2 * grows


def test_parameters_depend_on_seed_and_key_only():
    assert random_augmentation(0, "a/b.jpg") == random_augmentation(0, "a/b.jpg")
    assert random_augmentation(0, "a/b.jpg") != random_augmentation(1, "a/b.jpg")
    assert random_augmentation(0, "a/b.jpg") != random_augmentation(0, "a/c.jpg")
    assert random_augmentation(7, "undecodable\udcff.jpg") == random_augmentation(7, "undecodable\udcff.jpg")


def test_parameters_cover_their_ranges_uniformly():
    samples = [random_augmentation(3, f"{number}.png") for number in range(2000)]
    for field, low, high in (
        ("threshold", 0.25, 0.75),
        ("sigma", 1, 4),
        ("dropped", 0, 0.6),
        ("stroke_sigma", 1, 4),
        ("steps", 1, 2),
    ):
        values = np.array([getattr(sample, field) for sample in samples])
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.03 * (high - low)
    assert {sample.morphology for sample in samples} == set(MORPHOLOGIES)
    assert 0.65 < np.mean([sample.thin for sample in samples]) < 0.75
    assert len({sample.seed for sample in samples}) == 2000


def test_random_scribbles_of_an_image_with_edges_have_strokes_and_background():
    for number in range(60):
        share = (augmented_scribble(soft_lines(), random_augmentation(0, str(number))) > 0).mean()
        assert 0.01 < share < 0.6, number


def test_scaled_to_smaller_images_edges_keep_their_strokes():
    assert PLAIN.scaled(1) == PLAIN
    assert PLAIN.scaled(2) == PLAIN
    half = replace(PLAIN, sigma=4, steps=2).scaled(0.5)
    assert (half.sigma, half.steps, half.stroke_sigma) == (2, 1, 1)
    for number in range(60):
        augmentation = random_augmentation(0, str(number)).scaled(0.25)
        assert augmented_scribble(soft_lines()[::2, ::2], augmentation).any(), number


def test_the_record_is_plain_data():
    record = random_augmentation(0, "a").record()
    assert set(record) == set(vars(PLAIN))
    assert {type(value) for value in record.values()} <= {int, float, bool, str}
