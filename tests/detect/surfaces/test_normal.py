"""Normal maps from inverse depth, as published."""

import numpy as np
import pytest

from cn.detect.surfaces.camera import surface_normals
from cn.detect.surfaces.depth import inverse_depth
from cn.detect.surfaces.encoding import normals_to_map
from cn.detect.surfaces.normal import normal_from_depth, reversed_channels
from cn.detect.surfaces.preprocessing import InputSize
from cn.errors import UsageError
from tests.helpers.depth_cases import CAMERA, Stub, golden, sample_image, sphere_depth


def test_the_map_equals_that_of_the_released_annotator():
    (found,) = inverse_depth(Stub(), [sample_image(100, 150)], InputSize("released", 64))
    ours, reference = normal_from_depth(found), golden("released.normal")
    assert ours.dtype == np.uint8
    assert ours.shape == reference.shape == (64, 128, 3)
    # One level of rounding; at the edge of the background whole pixels may change.
    assert (np.abs(ours.astype(int) - reference).max(axis=-1) <= 1).mean() > 0.999
    assert (reference == (127, 127, 255)).all(axis=-1).any()
    assert len(np.unique(reference.reshape(-1, 3), axis=0)) > 100


def test_red_faces_left_green_up_and_blue_the_viewer():
    y, x = np.mgrid[0:40.0, 0:40.0].astype(np.float32)
    nearer_to_the_right, nearer_below = (normal_from_depth(d, background=0)[20, 20] for d in (x, y))
    assert nearer_to_the_right.tolist() == [227, 127, 206]  # (8, 0, 2π) of length 1
    assert nearer_below.tolist() == [127, 227, 206]
    assert normal_from_depth(-x, background=0)[20, 20].tolist() == [27, 127, 206]


def test_larger_strength_is_flatter_and_the_unit_of_depth_matters():
    y, x = np.mgrid[0:40.0, 0:40.0].astype(np.float32)
    red = [int(normal_from_depth(x + y, strength=s, background=0)[20, 20, 0]) for s in (1, 2 * np.pi, 50)]
    assert red == sorted(red, reverse=True)
    assert red[0] > red[-1] > 127
    assert np.array_equal(normal_from_depth(3 * x, strength=3.0), normal_from_depth(x, strength=1.0))


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan")])
def test_a_strength_that_is_not_positive_is_refused(strength):
    with pytest.raises(UsageError, match="more than 0"):
        normal_from_depth(np.eye(4, dtype=np.float32), strength=strength)


def test_the_background_is_flat():
    x = np.tile(np.linspace(0, 1, 101, dtype=np.float32), (9, 1))
    flat = (normal_from_depth(x, background=0.4) == (127, 127, 255)).all(axis=-1)
    assert flat[:, :40].all()
    assert not flat[:, 41:-1].any()
    # At the border the filter mirrors the image, so there is no slope across the first column.
    assert not (normal_from_depth(x, background=0) == (127, 127, 255)).all(axis=-1)[:, 1:-1].any()


@pytest.mark.parametrize("value", [0.0, 3.0, np.nan, np.inf])
def test_constant_depth_is_flat(value):
    made = normal_from_depth(np.full((5, 7), value, np.float32), (9, 8))
    assert made.shape == (9, 8, 3)
    assert (made == (127, 127, 255)).all()


def test_pixels_that_are_not_finite_affect_only_their_neighbors():
    y, x = np.mgrid[0:40.0, 0:40.0].astype(np.float32)
    whole = normal_from_depth(x + y)
    broken = x + y
    broken[20, 20] = np.nan
    made = normal_from_depth(broken)
    changed = (made != whole).any(axis=-1)
    assert changed.sum() <= 9
    assert changed[19:22, 19:22].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 2), (300, 200)])
def test_the_map_has_the_requested_size(size):
    made = normal_from_depth(np.random.default_rng(0).random((64, 96)).astype(np.float32), size)
    assert made.shape == (*size, 3)
    assert made.dtype == np.uint8


def test_normals_have_the_signs_of_true_normals():
    depth = sphere_depth((0.1, -0.05, -3), 0.8)
    inverse = np.where(np.isfinite(depth), 1 / depth, 0).astype(np.float32)
    published = normal_from_depth(inverse, strength=0.05).astype(int) - 127
    true = normals_to_map(surface_normals(depth, CAMERA)).astype(int) - 127
    core = np.isfinite(depth) & (np.abs(true[..., :2]).min(axis=-1) > 25)
    assert core.sum() > 1000
    assert (np.sign(published[core][:, :2]) == np.sign(true[core][:, :2])).mean() > 0.99


def test_reversed_channels_swaps_rgb_and_bgr():
    made = sample_image(6, 5)
    assert np.array_equal(reversed_channels(made), made[..., [2, 1, 0]])
    assert np.array_equal(reversed_channels(reversed_channels(made)), made)
