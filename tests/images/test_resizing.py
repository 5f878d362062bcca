"""Sizes of images and maps, as the released checkpoints were fed."""

import numpy as np
import pytest

from cn import images
from cn.images.resizing import short_side_size


@pytest.mark.parametrize(
    ("height", "width", "short", "expected"),
    [
        (512, 512, 512, (512, 512)),
        (400, 600, 512, (512, 768)),
        (600, 400, 512, (768, 512)),
        (451, 300, 512, (768, 512)),
        (300, 300, 100, (128, 128)),
        (10, 5000, 64, (64, 32000)),
        (300, 3, 16, (1600, 64)),
    ],
)
def test_short_side_and_multiples_of_64(height, width, short, expected):
    assert short_side_size(height, width, short) == expected


def test_discrete_maps_keep_their_colors_and_smooth_ones_their_mean():
    labels = np.kron(np.array([[3, 200], [90, 7]], np.uint8), np.ones((16, 16), np.uint8))
    for size in ((13, 21), (50, 47), (32, 32)):
        resized = images.resize(labels, size, "discrete")
        assert resized.shape == size
        assert set(np.unique(resized)) <= {3, 7, 90, 200}
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    smaller = images.resize(noise, (16, 16), "smooth")
    blocks = noise.reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(smaller - blocks).max() <= 0.51
    assert images.resize(noise[..., :1], (70, 90), "smooth").shape == (70, 90, 1)


def test_resize_short_side_leaves_what_fits_alone():
    array = np.random.default_rng(0).integers(0, 256, (128, 192, 3), dtype=np.uint8)
    assert images.resize_short_side(array, 128) is array
    assert images.resize_short_side(array, 64).shape == (64, 128, 3)
    assert images.resize_short_side(array, 256).shape == (256, 384, 3)
