"""Crops and sizes of training images, worked out by hand."""

import math

import numpy as np
import pytest

from cn.data.build.frame import bucket, frame


def test_the_center_square():
    found = frame(300, 500, 128, "center")
    assert (found.top, found.left, found.height, found.width, found.size) == (0, 100, 300, 300, (128, 128))
    assert not found.enlarges
    assert frame(100, 100, 128, "center").enlarges
    assert frame(128, 128, 128, "center").is_whole
    assert not frame(128, 129, 128, "center").is_whole


def test_a_random_crop_depends_on_seed_and_key_alone_and_reaches_both_ends():
    lefts = [frame(64, 67, 64, "random", seed=1, key=str(key)).left for key in range(200)]
    assert set(lefts) == {0, 1, 2, 3}
    assert lefts == [frame(64, 67, 64, "random", seed=1, key=str(key)).left for key in range(200)]
    assert lefts != [frame(64, 67, 64, "random", seed=2, key=str(key)).left for key in range(200)]
    # Each of four places has a quarter of 200, within five standard deviations.
    assert all(abs(lefts.count(left) - 50) < 5 * math.sqrt(200 * 0.25 * 0.75) for left in range(4))


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (512, 512, (512, 512)),
        (1000, 1000, (512, 512)),
        (768, 1024, (448, 576)),  # 1.286; the neighbors are 1.0 × … and 1.667
        (1024, 768, (576, 448)),
        (1080, 1920, (384, 640)),
        (100, 1000, (256, 1024)),
        (1000, 100, (1024, 256)),
    ],
)
def test_buckets_of_512(height, width, expected):
    assert bucket(height, width, 512) == expected


def test_no_bucket_is_larger_than_the_square_or_no_multiple_of_64():
    rng = np.random.default_rng(0)
    for height, width in rng.integers(64, 3000, (300, 2)):
        down, across = bucket(int(height), int(width), 512)
        assert down * across <= 512 * 512
        assert down % 64 == across % 64 == 0
        # No other bucket has a nearer aspect ratio.
        off = abs(math.log(width / height) - math.log(across / down))
        for other_across in range(256, 1025, 64):
            other_down = min(1024, 512 * 512 // other_across // 64 * 64)
            if other_down >= 256:
                assert off <= abs(math.log(width / height) - math.log(other_across / other_down)) + 1e-9


def test_a_bucket_loses_little_of_the_image():
    found = frame(768, 1024, 512, "buckets")
    assert found.height == 768
    assert found.width == round(768 * 576 / 448)
    assert found.left == (1024 - found.width) // 2


def test_without_cropping_both_sides_become_multiples_of_64():
    found = frame(300, 500, 128, "none")
    assert (found.height, found.width) == (300, 500)
    assert found.size == (128, 192)  # 500 · 128 / 300 = 213 → 192


def test_a_map_of_half_the_size_is_cut_at_the_same_place():
    rng = np.random.default_rng(1)
    small = rng.integers(0, 255, (30, 50), dtype=np.uint8)
    large = np.repeat(np.repeat(small, 2, axis=0), 2, axis=1)
    found = frame(60, 100, 64, "center")
    assert np.array_equal(found.cut(small), small[:, 10:40])
    assert np.array_equal(found.apply(large, "discrete"), found.apply(small, "discrete"))


def test_a_map_keeps_its_levels_and_an_image_is_averaged():
    checks = np.zeros((128, 128), np.uint8)
    checks[::2] = 255
    found = frame(128, 128, 64, "center")
    assert set(np.unique(found.apply(checks, "discrete"))) <= {0, 255}
    assert set(np.unique(found.apply(checks, "smooth"))) <= {127, 128}
