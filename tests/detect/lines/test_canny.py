"""The Canny detector: its edges and its random thresholds."""

import cv2
import numpy as np
import pytest

from cn.conditions import get
from cn.detect.lines.canny import CannyDetector, canny, random_thresholds


def step(value: int, channel: int | None = None) -> np.ndarray:
    """A vertical step from 0 to `value` in the middle of a 32×32 image, in one channel or all."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 16:, slice(None) if channel is None else channel] = value
    return image


@pytest.mark.parametrize("channel", [None, 0, 1, 2])
def test_a_step_is_one_white_line(channel):
    edges = canny(step(255, channel))
    assert edges.dtype == np.uint8
    assert edges.shape == (32, 32)
    assert set(np.unique(edges)) == {0, 255}
    columns = np.flatnonzero(edges.any(axis=0))
    assert len(columns) == 1
    assert columns[0] in (15, 16)


@pytest.mark.parametrize(("value", "seen"), [(50, False), (51, True)])
def test_the_upper_threshold_is_in_units_of_the_sobel_gradient(value, seen):
    # The 3×3 Sobel kernel has the weights 1 + 2 + 1, so the gradient of a step of v is 4 v; an edge must exceed 200.
    assert canny(step(value), 100, 200).any() == seen


def test_an_edge_continues_down_to_the_lower_threshold():
    image = np.zeros((64, 32, 3), np.uint8)
    image[:32, 16:] = 60
    image[32:, 16:] = 40
    assert canny(image, 100, 200)[50].any()
    assert not canny(image, 170, 200)[50].any()
    assert canny(image, 170, 200)[10].any()


def test_flat_images_have_no_edges():
    assert not canny(np.full((40, 50, 3), 77, np.uint8)).any()


def test_thresholds_depend_on_seed_and_key_only():
    assert random_thresholds(0, "a/b.jpg") == random_thresholds(0, "a/b.jpg")
    assert random_thresholds(0, "a/b.jpg") != random_thresholds(1, "a/b.jpg")
    assert random_thresholds(0, "a/b.jpg") != random_thresholds(0, "a/c.jpg")
    assert random_thresholds(7, "undecodable\udcff.jpg") == random_thresholds(7, "undecodable\udcff.jpg")


def test_thresholds_are_uniform_in_their_ranges():
    drawn = np.array([random_thresholds(3, f"{number}.png") for number in range(4000)])
    low, high = drawn.T
    assert (low.min(), low.max()) == (50, 150)
    assert ((low + 50 <= high) & (high <= 300)).all()
    assert abs(low.mean() - 100) < 2
    assert abs(((high - low - 50) / (250 - low)).mean() - 0.5) < 0.02


def test_the_detector_records_its_thresholds():
    fixed, random = CannyDetector(10, 20), CannyDetector(random=True, seed=5)
    convention = get("canny").convention
    assert fixed.info("a.png").params == {"low": 10, "high": 20, "convention": convention}
    low, high = random_thresholds(5, "a.png")
    assert random.info("a.png").params == {"low": low, "high": high, "seed": 5, "convention": convention}
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (detection,) = random.detect([image], ["a.png"])
    assert np.array_equal(detection.map, canny(image, low, high))
    assert detection.found == {"edges": round(float((detection.map == 255).mean()), 4)}
    assert not detection.empty
    (nothing,) = fixed.detect([np.full((8, 8, 3), 77, np.uint8)], ["b.png"])
    assert nothing.empty
    assert nothing.found == {"edges": 0}


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 2), (127, 40), (128, 33), (129, 64), (300, 70)])
def test_edges_equal_opencvs_canny_on_three_channels(size):
    """Gradients are computed in strips: sizes around that of a strip, smooth and noisy images, unusual thresholds."""
    rng = np.random.default_rng(size)
    noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2).reshape(noise.shape)
    smooth = np.clip(128 + 8.0 * (smooth.astype(float) - smooth.mean()), 0, 255).astype(np.uint8)
    for image in (noise, smooth):
        for low, high in ((100, 200), (30.5, 70.2), (0, 0), (700, 900)):
            assert np.array_equal(canny(image, low, high), cv2.Canny(image, low, high))
    gray = noise[..., 1]
    assert np.array_equal(canny(gray, 100, 200), cv2.Canny(np.ascontiguousarray(gray), 100, 200))
