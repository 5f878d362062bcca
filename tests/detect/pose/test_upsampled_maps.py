"""A network's maps at the size of the image: equal to those of OpenCV and SciPy."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cn.detect.pose.openpose_body import scaled_maps
from cn.detect.pose.peaks import HEAT
from cn.detect.pose.upsampled_maps import Fields, cubic_matrix, smoothed_matrix, upsampling_matrix
from tests.helpers.model_helpers import uniform
from tests.helpers.pose_fields import maps_of, placed


@pytest.mark.parametrize(("old", "new"), [(1, 5), (2, 9), (23, 184), (184, 512), (184, 37), (100, 333), (7, 7), (9, 1)])
def test_cubic_interpolation_equals_opencv(old, new):
    maps = uniform("cubic", (old, old + 3)).numpy()
    enlarged = cv2.resize(maps, (new + 2, new), interpolation=cv2.INTER_CUBIC)
    assert np.abs(cubic_matrix(old, new) @ maps @ cubic_matrix(old + 3, new + 2).T - enlarged).max() < 1e-5


@pytest.mark.parametrize("size", [1, 2, 5, 12, 13, 40])
def test_smoothing_equals_scipy_at_any_size(size):
    maps = uniform("smooth", (size, size)).double().numpy()
    eye = smoothed_matrix(np.eye(size), 3.0)
    assert np.abs(eye @ maps @ eye.T - gaussian_filter(maps, sigma=3)).max() < 1e-12


def two_scales():
    """Fields from maps of two sizes, and their mean at full size, computed with OpenCV."""
    size, layers, total = (90, 130), [], np.zeros((90, 130, 3))
    for number, (seen, cells) in enumerate((((92, 133), (12, 17)), ((184, 266), (23, 34)))):
        maps = uniform(f"scale {number}", (3, *cells)).numpy()
        layers.append(scaled_maps(maps / 2, seen, size))
        large = cv2.resize(maps.transpose(1, 2, 0), None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
        large = np.ascontiguousarray(large[: seen[0], : seen[1]])
        total += cv2.resize(large, size[::-1], interpolation=cv2.INTER_CUBIC) / 2
    return Fields(layers), total.transpose(2, 0, 1)


def test_fields_are_the_mean_of_enlarged_maps():
    fields, total = two_scales()
    assert (fields.height, fields.width) == (90, 130)
    for channel in range(3):
        assert np.abs(fields.full(channel) - total[channel]).max() < 1e-5
        smooth = gaussian_filter(total[channel], sigma=3)
        assert np.abs(fields.smoothed(3.0).full(channel) - smooth).max() < 1e-5


@pytest.mark.parametrize("count", [1, 50, 40_000])
def test_single_values_equal_those_of_the_full_map(count):
    fields, total = two_scales()
    rng = np.random.default_rng(count)
    channels, y, x = rng.integers(0, 3, (2, count)), rng.integers(0, 90, count), rng.integers(0, 130, count)
    values = fields.at(channels, y, x)
    assert values.dtype == np.float64
    assert values.shape == (2, count)
    assert np.abs(values - total[channels, y, x]).max() < 1e-5


def test_single_values_of_smoothed_fields_are_exact():
    fields, _ = two_scales()
    smooth = fields.smoothed(3.0)
    full = sum(smoother.down @ smoother.maps[1].astype(np.float64) @ smoother.across.T for smoother in smooth.layers)
    y, x = (places.ravel() for places in np.indices((90, 130)))
    assert np.abs(smooth.at(np.array(1), y, x) - full.ravel()).max() < 1e-14
    assert smooth.at(np.array([], int), np.array([], int), np.array([], int)).shape == (0,)


def test_all_values_above_the_threshold_are_in_the_region():
    heat, _ = maps_of([placed(0, 40, 20, 60)], (12, 17), 8)
    fields = Fields([scaled_maps(heat, (90, 130), (90, 130))])
    for channel, (rows, columns) in enumerate(fields.regions_above(18, HEAT)):
        full = fields.full(channel)
        y, x = np.nonzero(full >= HEAT)
        # Including their neighbors.
        for step in (-1, 0, 1):
            assert np.isin(np.clip(y + step, 0, 89), rows).all()
            assert np.isin(np.clip(x + step, 0, 129), columns).all()
        assert len(rows) < 90
        assert np.array_equal(fields.region(channel, rows, columns), full[np.ix_(rows, columns)])


def test_upsampling_crops_the_padding():
    maps = uniform("padding", (3, 3)).numpy()
    large = cv2.resize(maps, (24, 24), interpolation=cv2.INTER_CUBIC)[:20]
    expected = cv2.resize(np.ascontiguousarray(large), (24, 55), interpolation=cv2.INTER_CUBIC)
    assert np.abs(upsampling_matrix(3, 8, 20, 55) @ maps @ cubic_matrix(3, 24).T - expected).max() < 1e-5
