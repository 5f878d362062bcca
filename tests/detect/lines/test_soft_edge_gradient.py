"""Soft edges from gradients, without weights."""

import cv2
import numpy as np
import pytest

from cn.detect.lines.soft_edge_gradient import MAX_SHORT_SIDE, gradient_soft_edge
from tests.golden.make_detectors_edges import FILE, photograph

SIZES = [(1, 1), (7, 5), (1, 40), (33, 17), (16, 200)]


def step(low, high, size=(96, 96)):
    image = np.full((*size, 3), low, np.uint8)
    image[:, size[1] // 2 :] = high
    return image


@pytest.mark.parametrize(("low", "high"), [((0, 0, 0), (255, 255, 255)), ((255, 255, 255), (0, 0, 0))])
def test_a_step_becomes_a_soft_white_line_on_black(low, high):
    edge = gradient_soft_edge(step(low, high))
    assert edge.dtype == np.uint8
    profile = edge[48]
    assert profile[46:50].max() > 200
    assert profile[:30].max() == 0
    assert profile[66:].max() == 0
    assert ((profile > 20) & (profile < 200)).sum() >= 2, "soft on its sides"


def test_colors_of_equal_lightness_have_an_edge():
    # Red and green of one lightness: a gray image would show nothing.
    edge = gradient_soft_edge(step((204, 0, 0), (0, 116, 0)))
    assert edge[48, 46:50].max() > 150


def test_flat_and_noisy_images_have_no_edges():
    assert not gradient_soft_edge(np.full((64, 64, 3), 99, np.uint8)).any()
    noise = 99 + np.random.default_rng(0).normal(0, 4, (256, 256, 3))
    assert gradient_soft_edge(noise.astype(np.uint8)).max() < 64


def test_outlines_are_stronger_than_texture():
    rng = np.random.default_rng(2)
    image = np.full((256, 256, 3), 90, np.int16)
    image[:, 128:] = 170
    image += rng.integers(-25, 26, image.shape, dtype=np.int16)
    edge = gradient_soft_edge(image.clip(0, 255).astype(np.uint8))
    assert edge[40:216, 125:131].max(axis=1).mean() > 4 * edge[40:216, 20:100].mean()


@pytest.mark.parametrize("size", [*SIZES, (3, 2000), (2000, 3)])
def test_any_size_works_and_the_result_is_deterministic(size):
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    edge = gradient_soft_edge(image)
    assert edge.shape == size
    assert np.array_equal(edge, gradient_soft_edge(image.copy()))


def test_large_images_give_the_map_of_the_reduced_one():
    image = photograph("astronaut")
    large = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert min(large.shape[:2]) > MAX_SHORT_SIDE
    small = cv2.resize(gradient_soft_edge(large), image.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.corrcoef(small.ravel(), gradient_soft_edge(image).ravel())[0, 1] > 0.95


def test_edges_correlate_with_those_of_a_learned_detector():
    with np.load(FILE) as file:
        learned = file["real/tin2/astronaut"].astype(float)
    ours = gradient_soft_edge(photograph("astronaut"))[::6, ::6]
    assert np.corrcoef(ours.ravel(), learned.ravel())[0, 1] > 0.7
